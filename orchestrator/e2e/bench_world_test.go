package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/catalog"
	"meridian/stacks"
)

// benchPoll is how often a benchmark looks whether something is done: often enough to time it, seldom enough not to be felt.
const benchPoll = 10 * time.Millisecond

// parallel is how many terraforms each side of a comparison may run at once: what Meridian takes by itself.
func parallel() int { return max(2, 2*runtime.NumCPU()) }

// running is the real server as a user starts it, measured from outside.
type running struct {
	*server
	rows    *meridian // its rows, read beside it
	meter   *meter
	account *account
}

// asUsersDo makes the server's command what a user would start, with the meter before terraform and PostgreSQL.
func asUsersDo(s *site, m *meter) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = []string{cmd.Args[0], "server", "--data", s.data, "--listen", "127.0.0.1:0"}
		cmd.Env = append(os.Environ(), m.environ()...)
	}
}

// serveMeasured starts a server whose every process is accounted for.
func serveMeasured(b *testing.B, s *site) *running {
	m := newMeter(b)
	r := &running{meter: m, account: openAccount(b, m)}
	r.server = s.serve(asUsersDo(s, m), func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, s.env...) })
	r.rows = s.look()
	return r
}

// single is the spec of a database in one region.
func single(name string) string {
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: %s}
spec:
  engine: {name: postgres}
  databases: [{name: app, owner: app}]
  users: [{name: app}]
  regions:
    - {name: ankara, provider: local, role: primary}
  deletion: {protect: false}
`, name)
}

// submit submits specs at once, with a yes, and returns their runs.
func (r *running) submit(names []string) []orchestrator.RunView {
	r.site.t.Helper()
	var docs []orchestrator.Document
	for _, name := range names {
		docs = append(docs, orchestrator.Document{File: name + ".yaml", Text: single(name)})
	}
	res, err := r.Submit(context.Background(), orchestrator.SubmitRequest{Documents: docs, Yes: true, Actor: "bench"})
	if err != nil {
		r.site.t.Fatalf("submit: %v", err)
	}
	return res.Runs
}

// until waits until each run is as wanted, looking at rows only: the server is not asked anything meanwhile.
func (r *running) until(runs []orchestrator.RunView, wanted func(catalog.Run) bool) {
	r.site.t.Helper()
	deadline := time.After(cmp.Or(r.site.patience, patience))
	tick := time.NewTicker(benchPoll)
	defer tick.Stop()
	for _, v := range runs {
		for {
			run, err := r.rows.catalog.Run(context.Background(), v.ID)
			if err != nil {
				r.site.t.Fatal(err)
			}
			if wanted(run) {
				break
			}
			select {
			case <-tick.C:
			case <-deadline:
				r.site.t.Fatalf("run %s is %s: %s\n%+v\n%s", v.ID, run.Phase, run.Message, run.Regions, r.logTail())
			}
		}
	}
}

// terraformDone says that no terraform of a run is to come or runs.
func terraformDone(run catalog.Run) bool {
	if run.Phase.Ended() {
		return true
	}
	for _, region := range run.Regions {
		switch region.Phase {
		case stacks.RegionWaiting, stacks.RegionReady, stacks.RegionRemoved, stacks.RegionUnchanged:
		default:
			return false
		}
	}
	return len(run.Regions) > 0
}

func ended(run catalog.Run) bool { return run.Phase.Ended() }

func awaiting(run catalog.Run) bool { return run.Phase == stacks.PhaseAwaiting || run.Phase.Ended() }

// wantAllDone waits for the end of the runs and wants them done.
func (r *running) wantAllDone(runs []orchestrator.RunView) {
	r.site.t.Helper()
	r.until(runs, ended)
	for _, v := range runs {
		r.wantDone(v.ID)
	}
	r.quiet()
}

// quiet waits until no runner and no terraform is left of the site.
func (r *running) quiet() {
	r.site.eventually("the site is quiet", func() error {
		for _, s := range descendants() {
			if s.state != 'Z' && s.pid != r.cmd.Process.Pid {
				return fmt.Errorf("%s (%d) still runs", s.name, s.pid)
			}
		}
		return nil
	})
}

// remove destroys databases and everything in them.
func (r *running) remove(names []string) {
	r.site.t.Helper()
	ctx := context.Background()
	var runs []orchestrator.RunView
	for _, name := range names {
		v, err := r.Destroy(ctx, stacks.DefaultNamespace, name, "bench")
		if err != nil {
			r.site.t.Fatalf("destroy %s: %v", name, err)
		}
		runs = append(runs, v)
	}
	r.until(runs, awaiting)
	for _, v := range runs {
		v, err := r.Run(ctx, v.ID)
		if err == nil {
			_, err = r.Approve(ctx, v.ID, v.PlanDigest, "bench")
		}
		if err != nil {
			r.site.t.Fatalf("approve %s: %v", v.ID, err)
		}
	}
	r.wantAllDone(runs)
	r.account.reap()
}
