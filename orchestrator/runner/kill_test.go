package runner_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// applying starts the apply of a stack of n objects, which takes until the gate is open, and waits until terraform makes one of them.
func (w *world) applying(n int) (step string, s stacks.Stack) {
	w.t.Helper()
	s = w.slow(n)
	step = w.applyStep(s, w.plan(s))
	runner := w.spawn("step", "--step", step)
	w.t.Cleanup(func() { w.endAll(); _ = runner.Wait() }) // a test that failed opens no gate
	w.until("something is being made", func() bool { return w.lines("begin") > 0 })
	return step, s
}

// one returns the only process of a role. A child of it between its fork and its exec looks like a second one, for a moment.
func (w *world) one(role string) (p proc) {
	w.t.Helper()
	w.until("there is one "+role, func() bool {
		list := w.processes(role)
		if len(list) == 1 {
			p = list[0]
		}
		return len(list) == 1
	})
	return p
}

// gone waits until no process of a role lives.
func (w *world) gone(role string) {
	w.t.Helper()
	w.until("no "+role+" lives", func() bool { return len(w.processes(role)) == 0 })
}

// covered asserts that what was made is known: it is in the newest state or, if it was interrupted, its start is among the events.
func (w *world) covered(step string, n int) {
	w.t.Helper()
	_, file := w.state()
	known := map[string]bool{}
	for _, r := range file.Resources {
		known[r.Address] = true
	}
	events := w.events(step)
	data, err := os.ReadFile(w.ledger)
	check(w.t, err)
	for i := range n {
		address := fmt.Sprintf("terraform_data.item[%d]", i)
		begun := slices.Contains(strings.Split(string(data), "\n"), fmt.Sprintf("begin %d", i))
		if begun && !known[address] && !strings.Contains(events, address) {
			w.t.Errorf("%s was begun and is nowhere", address)
		}
		ended := slices.Contains(strings.Split(string(data), "\n"), fmt.Sprintf("end %d", i))
		if ended && !known[address] && !strings.Contains(events, address) {
			w.t.Errorf("%s was made and is nowhere", address)
		}
	}
}

// once asserts that nothing was made twice.
func (w *world) once(n int) {
	w.t.Helper()
	data, err := os.ReadFile(w.ledger)
	check(w.t, err)
	for i := range n {
		if k := strings.Count(string(data), fmt.Sprintf("begin %d\n", i)); k > 1 {
			w.t.Errorf("object %d was begun %d times", i, k)
		}
	}
}

func TestRunnerKilledTerraformGoesOn(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(3)
	before := w.one("terraform")
	w.kill("runner", syscall.SIGKILL)
	w.gone("runner")
	after := w.one("terraform")
	if before.pid != after.pid {
		t.Fatalf("terraform was %d, is %d", before.pid, after.pid)
	}
	w.open()
	r := w.do(step)
	if r.Outcome != journal.OutcomeApplied || r.ExitCode != 0 || r.Launches != 1 {
		t.Fatalf("adopted: %+v\n%s", r, w.log())
	}
	if _, file := w.state(); len(file.Resources) != 3 {
		t.Errorf("state: %+v", file.Resources)
	}
	if text := w.events(step); strings.Count(text, `"apply_complete"`) != 3 {
		t.Errorf("events: %s", text)
	}
	w.covered(step, 3)
	w.once(3)
	w.clean()
}

func TestRunnerKilledNobodyAdoptsUntilTerraformIsDone(t *testing.T) {
	w := newWorld(t)
	step, s := w.applying(2)
	w.kill("runner", syscall.SIGKILL)
	w.open()
	w.gone("terraform")
	w.gone("shim")
	if _, err := w.journal.Result(context.Background(), step); err == nil {
		t.Fatal("the step has a result though nobody was there")
	}
	// The next step of the stack, not the same one, settles what is left.
	next := w.put(journal.StepPlan, s, nil)
	if r := w.do(next); r.Outcome != journal.OutcomeUnchanged {
		t.Errorf("the next plan: %+v", r)
	}
	if r := w.result(step); r.Outcome != journal.OutcomeApplied || r.ExitCode != 0 {
		t.Errorf("the step that was left: %+v", r)
	}
	w.once(2)
	w.clean()
}

func TestAdoptOnlySettles(t *testing.T) {
	w := newWorld(t)
	s := w.items(1, 0)
	plan := w.plan(s)
	step := w.applyStep(s, plan)
	if code := w.wait(w.spawn("step", "--step", step, "--adopt")); code != terraform.ExitDone {
		t.Fatalf("exit code %d\n%s", code, w.log())
	}
	if _, err := w.journal.Result(context.Background(), step); err == nil || w.lines("begin") > 0 {
		t.Fatal("--adopt began a step")
	}
	w.clean()
}

func TestShimKilled(t *testing.T) {
	w := newWorld(t)
	step, s := w.applying(3)
	before := w.one("terraform")
	w.kill("shim", syscall.SIGKILL)
	w.gone("shim")
	if after := w.one("terraform"); after.pid != before.pid {
		t.Fatalf("terraform was %d, is %d", before.pid, after.pid)
	}
	w.open()
	w.gone("runner")
	r := w.result(step)
	if r.Outcome != journal.OutcomeInterrupted || r.ExitCode != -1 || r.Diagnostics[len(r.Diagnostics)-1].Rule != "terraform.interrupted" {
		t.Fatalf("shim killed: %+v\n%s", r, w.log())
	}
	// terraform ended its work alone, and nothing of it was lost.
	if _, file := w.state(); len(file.Resources) != 3 || w.lines("end") != 3 {
		t.Errorf("state: %+v", file.Resources)
	}
	if again := w.do(w.put(journal.StepPlan, s, nil)); again.Outcome != journal.OutcomeUnchanged {
		t.Errorf("plan after: %+v", again)
	}
	w.clean()
}

func TestTerraformKilled(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(4)
	w.kill("terraform", syscall.SIGKILL)
	w.gone("runner")
	r := w.result(step)
	if r.Outcome != journal.OutcomeInterrupted || !strings.Contains(r.Diagnostics[len(r.Diagnostics)-1].Detail, "killed") {
		t.Fatalf("terraform killed: %+v\n%s", r, w.log())
	}
	w.covered(step, 4)
	w.clean() // also: what its provisioners had started was ended
}

// TestTerraformToldToStop has somebody else than Meridian end terraform: it stops by itself and fails, and nobody takes that for a failure.
func TestTerraformToldToStop(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(4)
	w.kill("terraform", syscall.SIGTERM)
	w.gone("runner")
	r := w.result(step)
	if last := r.Diagnostics[len(r.Diagnostics)-1]; r.Outcome != journal.OutcomeInterrupted || last.Rule != "terraform.interrupted" || !strings.Contains(last.Detail, "signal") {
		t.Fatalf("terraform told to stop: %+v\n%s", r, w.log())
	}
	if r.StoppedAt.Before(r.StartedAt) || r.StoppedAt.After(r.FinishedAt) {
		t.Errorf("stopped at %s, between %s and %s", r.StoppedAt, r.StartedAt, r.FinishedAt)
	}
	w.covered(step, 4)
	w.clean()
}

func TestAllKilled(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(4)
	for _, role := range []string{"runner", "shim", "terraform"} {
		w.kill(role, syscall.SIGKILL)
	}
	w.gone("terraform")
	r := w.do(step)
	if r.Outcome != journal.OutcomeInterrupted {
		t.Fatalf("all killed: %+v\n%s", r, w.log())
	}
	w.covered(step, 4)
	w.clean()
}

func TestStoppedRunnerIsEnded(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(2)
	stopped := w.one("runner")
	w.kill("runner", syscall.SIGSTOP)
	w.open()
	r := w.do(step)
	if r.Outcome != journal.OutcomeApplied || r.ExitCode != 0 {
		t.Fatalf("after a stopped runner: %+v\n%s", r, w.log())
	}
	for _, p := range w.processes("runner") {
		if p.pid == stopped.pid {
			t.Error("the stopped runner lives")
		}
	}
	w.once(2)
	w.clean()
}

func TestStoppedShimIsWoken(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(1)
	w.kill("shim", syscall.SIGSTOP)
	w.open()
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeApplied || r.ExitCode != 0 {
		t.Fatalf("after a stopped shim: %+v\n%s", r, w.log())
	}
	w.clean()
}

func TestSignalsDoNotStopAStep(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(1)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		w.kill("runner", sig)
		w.kill("shim", sig)
	}
	w.open()
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeApplied || w.lines("end") != 1 {
		t.Fatalf("after signals: %+v\n%s", r, w.log())
	}
	w.clean()
}

func TestManyRunnersAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.items(3, 200*time.Millisecond)
	step := w.applyStep(s, w.plan(s))
	done := make(chan int)
	for range 6 {
		cmd := w.spawn("step", "--step", step)
		go func() {
			_ = cmd.Wait()
			done <- cmd.ProcessState.ExitCode()
		}()
	}
	for range 6 {
		if code := <-done; code != terraform.ExitDone {
			t.Errorf("a runner ended with %d\n%s", code, w.log())
		}
	}
	if r := w.result(step); r.Outcome != journal.OutcomeApplied {
		t.Errorf("result: %+v", r)
	}
	w.once(3)
	w.clean()
}

// cancel cancels the world's run, as a person does.
func (w *world) cancel() {
	w.t.Helper()
	ctx := context.Background()
	_, err := w.catalog.Cancel(ctx, w.run.ID, "test", func(tx *store.Tx) error {
		return w.journal.RequestCancel(ctx, tx, w.id, w.run.ID)
	})
	check(w.t, err)
}

func TestCancelStopsTerraform(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(2)
	w.cancel()
	w.gone("runner")
	r := w.result(step)
	if r.Outcome != journal.OutcomeCancelled || r.Diagnostics[len(r.Diagnostics)-1].Rule != "run.cancelled" {
		t.Fatalf("cancelled: %+v\n%s", r, w.log())
	}
	if n := strings.Count(w.log(), "told terraform to stop"); n != 1 {
		t.Errorf("told to stop %d times", n)
	}
	w.covered(step, 2)
	w.clean()
}

func TestCancelReachesAnAdoptedTerraform(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(2)
	w.kill("runner", syscall.SIGKILL)
	w.gone("runner")
	w.cancel()
	if r := w.do(step); r.Outcome != journal.OutcomeCancelled {
		t.Fatalf("cancelled: %+v\n%s", r, w.log())
	}
	w.clean()
}

func TestCancelKillsAfterTheGrace(t *testing.T) {
	w := newWorld(t)
	w.env = []string{terraform.EnvTiming + `={"StopGrace":300000000}`}
	step, _ := w.applying(2)
	w.kill("terraform", syscall.SIGSTOP) // it will not hear the signal
	w.cancel()
	w.gone("runner")
	r := w.result(step)
	if r.Outcome != journal.OutcomeCancelled {
		t.Fatalf("cancelled: %+v\n%s", r, w.log())
	}
	w.covered(step, 2)
	w.clean()
}

// TestSeededKills kills at random moments, settles, and asserts each time that what was made is known and that nothing is left.
func TestSeededKills(t *testing.T) {
	const trials = 20
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("MERIDIAN_TEST_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		check(t, err)
	}
	t.Logf("MERIDIAN_TEST_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	victims := [][]string{
		{"runner"}, {"terraform"}, {"shim"}, {"runner", "terraform"}, {"runner", "shim"}, {"shim", "terraform"},
		{"runner", "shim", "terraform"}, {"terraform", "shim", "runner"},
	}
	var mu sync.Mutex
	outcomes := map[journal.Outcome]int{}
	t.Cleanup(func() { t.Logf("outcomes: %v", outcomes) })
	for trial := range trials {
		who := victims[rnd.IntN(len(victims))]
		after := time.Duration(rnd.IntN(400)) * time.Millisecond
		t.Run(fmt.Sprintf("%02d", trial), func(t *testing.T) {
			w := newWorld(t)
			s := w.items(12, 40*time.Millisecond)
			step := w.applyStep(s, w.plan(s))
			cmd := w.spawn("step", "--step", step)
			<-time.After(after) // the moment of the kill is the test's input
			for _, role := range who {
				w.kill(role, syscall.SIGKILL)
			}
			_ = cmd.Wait()
			r := w.do(step)
			mu.Lock()
			outcomes[r.Outcome]++
			mu.Unlock()
			switch {
			case r.Outcome == journal.OutcomeApplied, r.Outcome == journal.OutcomeInterrupted:
			case r.Outcome == journal.OutcomeFailed && r.Retryable && w.lines("begin") == 0: // the shim was killed before it began
			default:
				t.Errorf("%v killed after %s: %+v\n%s", who, after, r, w.log())
			}
			if r.Outcome == journal.OutcomeApplied && w.lines("end") != 12 {
				t.Errorf("%v killed after %s: applied, and made %d of 12", who, after, w.lines("end"))
			}
			if w.lines("begin") > 0 {
				w.covered(step, 12)
				w.once(12)
			}
			if st, _ := w.state(); st.Serial != r.Serial {
				t.Errorf("the state is %d, the result says %d", st.Serial, r.Serial)
			}
			w.clean()
		})
	}
}
