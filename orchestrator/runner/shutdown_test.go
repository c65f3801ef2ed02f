package runner_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// finishing gives terraform so long to finish once its host shuts down.
func finishing(d time.Duration) []string {
	return []string{fmt.Sprintf(`%s={"ShutdownFinish":%d}`, terraform.EnvTiming, d)}
}

// TestAHostThatShutsDownLetsTerraformFinish: a runner that is told of it goes on while terraform has time, and ends as ever.
func TestAHostThatShutsDownLetsTerraformFinish(t *testing.T) {
	w := newWorld(t)
	w.env = finishing(time.Hour)
	step, _ := w.applying(2)
	w.kill("runner", syscall.SIGTERM)
	w.until("the runner knows", func() bool { return strings.Contains(w.log(), "the host shuts down") })
	w.open()
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeApplied || w.lines("end") != 2 {
		t.Fatalf("terraform had an hour: %+v\n%s", r, w.log())
	}
	w.clean()
}

// TestAHostThatShutsDownStopsTerraform: once its time is over terraform alone is told to stop; its state is kept, the head is free, the
// result says why, and the run goes on with another plan.
func TestAHostThatShutsDownStopsTerraform(t *testing.T) {
	w := newWorld(t)
	w.env = finishing(100 * time.Millisecond)
	step, s := w.applying(2)
	w.kill("runner", syscall.SIGTERM)
	w.gone("runner")
	r := w.result(step)
	if r.Outcome != journal.OutcomeInterrupted || r.StoppedAt.IsZero() {
		t.Fatalf("result %+v, want it interrupted\n%s", r, w.log())
	}
	said := false
	for _, d := range r.Diagnostics {
		said = said || strings.Contains(d.Detail, "its host shuts down")
	}
	if !said {
		t.Errorf("the result does not say why: %+v", r.Diagnostics)
	}
	w.covered(step, 2)
	w.clean()
	w.open()
	w.env = nil
	w.end()
	w.submit(true)
	if r := w.do(w.applyStep(s, w.plan(s))); r.Outcome != journal.OutcomeApplied {
		t.Errorf("after the boot: %+v\n%s", r, w.log())
	}
}

// TestDrain: while a host shuts down a terraform without a runner gets one, nothing else is started, and who waits for it waits to the end.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	step, s := w.applying(1)
	w.kill("runner", syscall.SIGKILL)
	w.gone("runner")
	drain := w.spawn("drain", "--finish", "100ms")
	if code := w.wait(drain); code != terraform.ExitDone {
		t.Fatalf("drain: exit code %d\n%s", code, w.log())
	}
	for _, role := range []string{"terraform", "shim"} {
		if left := w.processes(role); len(left) > 0 {
			t.Errorf("the drain is over, and there are %v", left)
		}
	}
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeInterrupted {
		t.Errorf("result %+v, want it interrupted", r)
	}
	w.open()
	w.end()
	w.submit(true)
	plan := w.put(journal.StepPlan, s, nil)
	if code := w.wait(w.spawn("step", "--step", plan)); code != terraform.ExitParked {
		t.Errorf("a step while the host shuts down: exit code %d, want %d", code, terraform.ExitParked)
	}
	if code := w.wait(w.spawn("drain", "--undo")); code != terraform.ExitDone {
		t.Fatalf("undo: exit code %d\n%s", code, w.log())
	}
	if r := w.do(plan); r.Outcome != journal.OutcomeChanges {
		t.Errorf("once the host stays: %+v", r)
	}
}

// TestAnotherBootDoesNotLeave: what was said of an earlier boot stops nobody.
func TestAnotherBootDoesNotLeave(t *testing.T) {
	w := newWorld(t)
	check(t, os.WriteFile(w.site.LeavingFile(), []byte(`{"bootId":"another","since":1}`), 0o600))
	if r := w.do(w.put(journal.StepPlan, w.items(1, 0), nil)); r.Outcome != journal.OutcomeChanges {
		t.Errorf("plan: %+v", r)
	}
}

// TestWhoIsEndedFirst: where memory runs out, the kernel ends terraform and what it starts before shim and runner, and no database.
func TestWhoIsEndedFirst(t *testing.T) {
	w := newWorld(t)
	_, _ = w.applying(1)
	score := func(p proc) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.pid))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return "" // it ended since it was listed
		}
		check(t, err)
		return strings.TrimSpace(string(text))
	}
	ours, err := os.ReadFile("/proc/self/oom_score_adj")
	check(t, err)
	for role, want := range map[string]string{"runner": strings.TrimSpace(string(ours)), "shim": strings.TrimSpace(string(ours)), "terraform": "500"} {
		if got := score(w.one(role)); got != want {
			t.Errorf("oom_score_adj of the %s is %s, want %s", role, got, want)
		}
	}
	for _, p := range w.processes("other") { // what terraform started
		if got := score(p); got != "500" && got != "" {
			t.Errorf("oom_score_adj of %q is %s, want terraform's", p.args, got)
		}
	}
	w.open()
	w.gone("runner")
}
