package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/catalog"
	"meridian/stacks"
)

// fleet is how many databases are made at once.
const fleet = 8

// measured is what one side took for one job.
type measured struct {
	wall, cpu time.Duration
	server    time.Duration // of the CPU time, what the server's own process took
	launches  string
}

// measure runs f and counts what it takes.
func (r *running) measure(f func()) measured {
	r.site.t.Helper()
	r.account.reap()
	launches, cpu, server, began := len(r.meter.launches()), r.account.used(), r.own(), time.Now()
	f()
	return measured{
		wall: time.Since(began), cpu: r.account.used() - cpu, server: r.own() - server,
		launches: countVerbs(r.meter.launches()[launches:]),
	}
}

// own is the CPU time that the server's process has taken so far, without its runners.
func (r *running) own() time.Duration {
	s, ok := readStat(r.cmd.Process.Pid)
	if !ok {
		r.site.t.Fatal("the server is gone")
	}
	return s.own
}

// countVerbs counts launches by terraform's verbs, like "8 apply, 8 plan".
func countVerbs(list []launched) string {
	counts := map[string]int{}
	for _, l := range list {
		counts[l.verb()]++
	}
	var out []string
	for _, verb := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%d %s", counts[verb], verb))
	}
	return strings.Join(out, ", ")
}

// side collects the rounds of one side.
type side struct {
	wall, cpu, server []time.Duration
	launches          []string
}

func (s *side) add(m measured) {
	s.wall = append(s.wall, m.wall)
	s.cpu = append(s.cpu, m.cpu)
	s.server = append(s.server, m.server)
	s.launches = append(s.launches, m.launches)
}

// BenchmarkTerraform compares eight databases through a running Meridian with a parallel shell loop of terraform: making them,
// looking again when nothing has changed, and checking them for drift, which beside a plan asks each database itself. The sides take turns; who begins, alternates.
func BenchmarkTerraform(b *testing.B) {
	r := serveMeasured(b, newSite(b))
	first := r.submit([]string{"first"}) // makes the template of .terraform, once for all that come
	r.wantAllDone(first)
	sh := newShell(b, r, first[0].ID)
	var ours, theirs, oursAgain, theirsAgain, whole, wholeAgain, drift side
	for b.Loop() {
		for round := range *benchRounds {
			names := make([]string, fleet)
			for i := range names {
				names[i] = fmt.Sprintf("db-%d-%d", round, i)
			}
			sides := []func(){
				func() { r.meridian(names, &ours, &oursAgain, &whole, &wholeAgain, &drift) },
				func() {
					sh.lay(fleet)
					theirs.add(r.measure(func() { sh.loop(shellApply) }))
					theirsAgain.add(r.measure(func() { sh.loop(shellVerify) }))
					sh.remove()
					r.account.reap()
				},
			}
			if round%2 == 1 {
				slices.Reverse(sides)
			}
			for _, f := range sides {
				f()
			}
		}
	}
	t := &table{b: b, name: fmt.Sprintf("%d one-region databases, %d terraforms at once", fleet, parallel())}
	compare(t, "make: ", "0.90 x", "0.75 x", "make", ours, theirs, whole)
	compare(t, "nothing to change: ", "", "1.10 x", "verify", oursAgain, theirsAgain, wholeAgain)
	compareCPU(t, "check for drift: ", "", "drift", drift, theirsAgain)
	t.print()
}

// compare adds the rows of one job.
func compare(t *table, job, wallGoal, cpuGoal, unit string, ours, theirs, whole side) {
	t.seconds(job+"wall, Meridian", "", "", ours.wall)
	t.seconds(job+"wall, shell loop", "", "", theirs.wall)
	t.ratio(job+"wall, ratio", wallGoal, unit+"-wall-x", ours.wall, theirs.wall)
	t.seconds(job+"CPU, Meridian", "", "", ours.cpu)
	t.seconds(job+"CPU, Meridian, of it the server", "", "", ours.server)
	t.seconds(job+"CPU, shell loop", "", "", theirs.cpu)
	t.ratio(job+"CPU, ratio", cpuGoal, unit+"-cpu-x", ours.cpu, theirs.cpu)
	t.seconds(job+"wall, Meridian, until every run is done", "", "", whole.wall)
	t.seconds(job+"CPU, Meridian, until every run is done", "", "", whole.cpu)
	t.row(job+"launches, Meridian", slices.Max(ours.launches), "", slices.Compact(slices.Sorted(slices.Values(ours.launches)))...)
	t.row(job+"launches, shell loop", slices.Max(theirs.launches), "", slices.Compact(slices.Sorted(slices.Values(theirs.launches)))...)
}

// meridian makes the databases, submits them again unchanged, checks them for drift, and removes them. Each of the first two jobs is measured until every terraform
// is done, and whole: until every run is done (the databases answer, and have their users) and nothing of it is left running.
func (r *running) meridian(names []string, ours, again, whole, wholeAgain, drift *side) {
	for _, job := range []struct{ terraform, whole *side }{{ours, whole}, {again, wholeAgain}} {
		var until measured
		job.whole.add(r.measure(func() {
			var runs []orchestrator.RunView
			until = r.measure(func() {
				runs = r.submit(names)
				r.until(runs, terraformDone)
			})
			r.wantAllDone(runs)
		}))
		job.terraform.add(until)
	}
	drift.add(r.measure(func() { r.checkDrift(names) }))
	r.remove(names)
}

// checkDrift checks databases for drift, all at once, and wants none.
func (r *running) checkDrift(names []string) {
	r.site.t.Helper()
	ctx := context.Background()
	checks := make([]string, len(names))
	for i, name := range names {
		v, err := r.CheckDrift(ctx, stacks.DefaultNamespace, name, "bench")
		if err != nil {
			r.site.t.Fatalf("check %s for drift: %v", name, err)
		}
		checks[i] = v.ID
	}
	for i, name := range names {
		r.site.eventually("check "+checks[i]+" ends", func() error {
			v, err := r.DriftCheck(ctx, stacks.DefaultNamespace, name, checks[i])
			if err == nil && v.EndedAt == nil {
				err = errNotYet
			}
			if err == nil && v.Outcome != string(catalog.DriftClean) {
				r.site.t.Fatalf("check %s of an untouched database is %s: %s %+v", v.ID, v.Outcome, v.Message, v.Drift)
			}
			return err
		})
	}
}
