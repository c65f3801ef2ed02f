package runner_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// leased are the durations of these tests: what takes ten minutes takes five seconds.
func leased() stacks.Timing {
	t := stacks.DefaultTiming()
	t.BeatEvery = 200 * time.Millisecond
	t.Lease, t.LeaseStop, t.LeaseKill = 5*time.Second, 3*time.Second, time.Second
	return t
}

// twoSites are two work directories with one PostgreSQL: a has the run, b sees the same rows.
func twoSites(t *testing.T, server string) (a, b *world) {
	t.Helper()
	t.Parallel()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("no terraform on PATH")
	}
	where := storetest.Schema(t, server, t.Name())
	text, err := json.Marshal(leased())
	check(t, err)
	env := []string{terraform.EnvTiming + "=" + string(text), store.Env + "=" + where}
	a = newWorldIn(t, t.TempDir(), where)
	a.env = env
	there := *a
	b = &there
	b.steps = 100 // its steps are others
	b.site = terraform.Site{Root: t.TempDir()}
	t.Cleanup(b.endAll)
	keys, err := filepath.Glob(filepath.Join(a.site.Root, "keyring*"))
	check(t, err)
	for _, file := range keys {
		data, err := os.ReadFile(file)
		check(t, err)
		check(t, os.WriteFile(filepath.Join(b.site.Root, filepath.Base(file)), data, 0o600))
	}
	return a, b
}

// elsewhere runs a step on a site and reports, at the moment when its result is there, how many terraforms of the other one live.
func elsewhere(b, a *world, step string) (r journal.Result, living []proc) {
	b.t.Helper()
	runner := b.spawn("step", "--step", step)
	b.until("the step has a result", func() bool {
		_, err := b.journal.Result(context.Background(), step)
		return err == nil
	})
	living = a.processes("terraform")
	if code := b.wait(runner); code != terraform.ExitDone {
		b.t.Fatalf("exit code %d\n%s", code, b.log())
	}
	return b.result(step), living
}

// TestTwoSites: what site A does when its runner is stopped or gone, and when site B may go on.
func TestTwoSites(t *testing.T) {
	server := storetest.Postgres(t)
	for name, c := range map[string]struct {
		happens func(a *world)
		proves  func(a *world)
		because string
		// quick: the proof is there before a lease is over.
		quick bool
		// asleep: all of A is stopped, so its terraform is there still when B goes on.
		asleep bool
	}{
		"the runner is stopped": {
			happens: func(a *world) { a.kill("runner", syscall.SIGSTOP) }, because: "its lease is over",
		},
		"the whole machine is stopped": {
			happens: func(a *world) { a.kill("", syscall.SIGSTOP) }, because: "its lease is over", asleep: true,
		},
		"the runner is dead and nobody adopts": {
			happens: func(a *world) { a.kill("runner", syscall.SIGKILL) }, because: "its lease is over",
		},
		"all is dead and an operator says so": {
			happens: func(a *world) {
				a.kill("runner", syscall.SIGKILL)
				a.kill("shim", syscall.SIGKILL)
				a.kill("", syscall.SIGKILL)
			},
			proves: declareDead, because: "was declared dead by ada", quick: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := twoSites(t, server)
			step, s := a.applying(2)
			a.until("both are being made", func() bool { return a.lines("begin") == 2 })
			before := leased().Lease
			time0 := time.Now()
			c.happens(a)
			if c.proves != nil {
				c.proves(a)
			}
			r, living := elsewhere(b, a, step)
			took := time.Since(time0)
			if r.Outcome != journal.OutcomeInterrupted || !strings.Contains(r.Diagnostics[0].Detail, c.because) {
				t.Fatalf("result %+v", r)
			}
			if quick := took < before; quick != c.quick {
				t.Errorf("taken over after %s; the lease is %s", took, before)
			}
			if (len(living) > 0) != c.asleep {
				t.Errorf("when the other site went on, these terraforms lived: %v", living)
			}
			head, err := b.journal.Head(t.Context(), b.id)
			check(t, err)
			if head.Status != journal.HeadIdle || head.Fence.Number != 3 { // the plan's, the apply's, the taker's
				t.Fatalf("head %+v", head)
			}
			// Site B goes on: it plans, though its work path is another.
			if next := b.do(b.put(journal.StepPlan, s, nil)); next.Outcome != journal.OutcomeChanges {
				t.Fatalf("the other site's plan: %+v", next)
			}
			begun := a.lines("begin")
			states, err := b.journal.LatestState(t.Context(), b.id)
			check(t, err)
			// Site A wakes: it ends what it has, and writes nothing.
			a.kill("", syscall.SIGCONT)
			a.gone("terraform")
			a.gone("runner")
			a.gone("shim")
			if n := a.lines("begin"); n != begun {
				t.Errorf("the woken site began %d more objects", n-begun)
			}
			after, err := b.journal.LatestState(t.Context(), b.id)
			check(t, err)
			now, err := b.journal.Head(t.Context(), b.id)
			check(t, err)
			if after.Serial != states.Serial || after.Fence != states.Fence || now.Site != head.Site || now.Fence.Number != 4 {
				t.Errorf("state %d of %+v, was %d of %+v; head %+v", after.Serial, after.Fence, states.Serial, states.Fence, now)
			}
			if got := b.result(step); got.Outcome != journal.OutcomeInterrupted {
				t.Errorf("the result became %s", got.Outcome)
			}
		})
	}
}

// declareDead is what an operator does.
func declareDead(a *world) {
	a.t.Helper()
	id, err := os.ReadFile(filepath.Join(a.site.Root, "site"))
	check(a.t, err)
	check(a.t, a.store.Write(context.Background(), func(tx *store.Tx) error {
		_, err := a.journal.DeclareDead(context.Background(), tx, strings.TrimSpace(string(id)), "ada")
		return err
	}))
}

// TestALeaseThatIsRenewedDisturbsNobody: an apply that takes longer than a lease, adopted in the middle.
func TestALeaseThatIsRenewedDisturbsNobody(t *testing.T) {
	a, b := twoSites(t, storetest.Postgres(t))
	step, _ := a.applying(2)
	other := b.spawn("step", "--step", step)
	begin := time.Now()
	a.kill("runner", syscall.SIGKILL)
	a.gone("runner")
	adopter := a.spawn("step", "--step", step)
	a.until("a lease and a half are over", func() bool { return time.Since(begin) > leased().Lease*3/2 })
	if len(a.processes("terraform")) == 0 {
		t.Fatalf("terraform is gone\n%s", a.log())
	}
	a.open()
	if code := a.wait(adopter); code != terraform.ExitDone {
		t.Fatalf("exit code %d\n%s", code, a.log())
	}
	if r := a.result(step); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("result %+v", r)
	}
	if code := b.wait(other); code != terraform.ExitDone { // it found the result of the first
		t.Fatalf("exit code %d\n%s", code, b.log())
	}
	a.once(2)
	a.clean()
}
