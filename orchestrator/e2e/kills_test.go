package e2e

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/journal"
	"meridian/providers/local/plugin"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

// slowly holds each creation up for a moment, so that a test can act in the middle of it.
func slowly(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, pgserver.EnvDelay+"=2s") }

// TestServerKilledInEachPhase kills the server with SIGKILL in each phase of an apply, and of the destroy after it, and starts another one:
// the run goes on by itself to its end, terraform is not disturbed, and nothing is done twice.
func TestServerKilledInEachPhase(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	srv := s.serve(slowly)
	m := s.look()
	ctx := t.Context()

	// The reply to the submission may be lost with the server: the row is there all the same.
	go func() {
		_, _ = srv.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: orders("orders")}}, Actor: "test"})
	}()
	run := srv.killIn(m, 0, stacks.PhasePending)
	srv = s.serve(slowly)
	srv.killIn(m, 0, stacks.PhasePlanning)
	srv = s.serve(slowly)
	srv.killIn(m, 0, stacks.PhaseAwaiting)
	digest := m.newest("orders").PlanDigest
	srv = s.serve(slowly)
	if v := srv.wait(run.ID); v.Phase != stacks.PhaseAwaiting || v.PlanDigest != digest {
		t.Fatalf("run is %s with plan %s, want it to await a yes for %s still", v.Phase, v.PlanDigest, digest)
	}
	if n := len(m.servers()); n != 0 {
		t.Errorf("%d servers run before the yes", n)
	}
	if _, err := srv.Approve(ctx, run.ID, digest, "test"); err != nil {
		t.Fatal(err)
	}
	srv = killedInTheMiddle(t, s, srv, m)
	srv.killIn(m, 0, stacks.PhaseLinking)
	srv = s.serve()
	if v := srv.wantDone(run.ID); len(v.Links) != 1 || v.Links[0].Phase != "verified" {
		t.Errorf("links = %+v, want one that is verified", v.Links)
	}
	m.atRest()
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})
	m.wantFences(2) // one plan, one apply
	m.wantSlots("ankara", 1)
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run, want 2", n)
	}
	m.query("orders", "ankara", "create table parcels (id int primary key)")
	if runs, err := srv.Runs(ctx, stacks.DefaultNamespace, "orders", 10); err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v, want the one that was submitted", len(runs), err)
	}

	if _, err := srv.Destroy(ctx, stacks.DefaultNamespace, "orders", "test"); err != nil {
		t.Fatal(err)
	}
	run = srv.killIn(m, 1, stacks.PhasePlanning)
	srv = s.serve()
	srv.killIn(m, 1, stacks.PhaseAwaiting)
	srv = s.serve()
	v := srv.wait(run.ID)
	if v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("destroy is %s: %s\n%s", v.Phase, v.Message, logOf(srv, run.ID))
	}
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run before the yes to the destruction, want 2", n)
	}
	go func() { _, _ = srv.Approve(ctx, run.ID, v.PlanDigest, "test") }()
	srv.killIn(m, 1, stacks.PhaseUnlinking)
	srv = s.serve()
	srv.killIn(m, 1, stacks.PhaseApplying)
	srv = s.serve()
	srv.wantDone(run.ID)
	m.nothingLeft()
	gone := made + ", delete begin, delete end"
	s.wantOps(map[string]string{"ankara": gone, "istanbul": gone})
	srv.stop()
}

// killedInTheMiddle kills the server while terraform makes both regions, and proves from the process table that the terraforms of before
// are those of after; the plugins are stopped meanwhile, so that there is time to look. It returns the server that attached to them.
func killedInTheMiddle(t *testing.T, s *site, srv *server, m *meridian) *server {
	t.Helper()
	var creating []plugin.LedgerLine
	s.eventually("both regions are being made", func() error {
		creating = s.ledger()
		if len(creating) < 2 {
			return errNotYet
		}
		return nil
	})
	for _, l := range creating {
		if l.Op != "create" || l.Phase != "begin" {
			t.Fatalf("the plugin did %+v, want two creations begun", creating)
		}
		signal(t, l.PID, syscall.SIGSTOP)
	}
	before := s.terraforms("apply")
	if len(before) != 2 {
		t.Fatalf("terraforms before the kill: %+v, want one per region", before)
	}
	srv.killIn(m, 0, stacks.PhaseApplying)
	killed := time.Now()
	srv = s.serve()
	run := m.newest("orders")
	s.eventually("the new server attaches to both regions", func() error {
		v, err := srv.Run(t.Context(), run.ID)
		if err != nil {
			return err
		}
		if n := len(slices.DeleteFunc(v.Regions, func(r orchestrator.RunRegionView) bool { return r.Phase != stacks.RegionApplying || r.Resource == "" })); n != 2 {
			return errNotYet
		}
		return nil
	})
	after := s.terraforms("apply")
	if !slices.Equal(before, after) {
		t.Errorf("terraforms before the kill: %+v\nafter: %+v\nwant the same processes", before, after)
	}
	for _, l := range creating {
		signal(t, l.PID, syscall.SIGCONT)
	}
	for _, r := range run.Regions {
		var res journal.Result
		s.eventually("terraform ends in "+r.Region, func() (err error) {
			res, err = m.journal.Result(context.Background(), r.ApplyStep)
			return err
		})
		if res.Outcome != journal.OutcomeApplied || res.Launches != 1 || !res.StartedAt.Before(killed) || !res.FinishedAt.After(killed) {
			t.Errorf("%s: %+v, want applied by the one terraform that was there at the kill at %s", r.ApplyStep, res, killed)
		}
		if !strings.HasSuffix(r.ApplyStep, "/apply.1") {
			t.Errorf("%s was applied by %s, want by the first step", r.Region, r.ApplyStep)
		}
	}
	return srv
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("%s to process %d: %v", sig, pid, err)
	}
}

// wantFences wants each stack to have been taken so often: once per step that ran.
func (m *meridian) wantFences(n int64) {
	m.site.t.Helper()
	heads, err := m.journal.Heads(context.Background(), "")
	if err != nil {
		m.site.t.Fatal(err)
	}
	for _, h := range heads {
		if h.Fence.Number != n || h.Status != journal.HeadIdle {
			m.site.t.Errorf("head of %s is %s with fence %d, want idle with %d", h.Stack.Region, h.Status, h.Fence.Number, n)
		}
	}
}
