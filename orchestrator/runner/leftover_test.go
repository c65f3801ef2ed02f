package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"meridian/orchestrator/runner"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks/terraform"
)

// take takes the fence for a step, as a runner of a site that then died.
func (w *world) take(step, site string) journal.Fence {
	w.t.Helper()
	ctx := context.Background()
	var fence journal.Fence
	check(w.t, w.store.Write(ctx, func(tx *store.Tx) (err error) {
		fence, err = w.journal.TakeFence(ctx, tx, journal.TakeInput{Stack: w.id, Step: step, Attempt: "dead", Site: site, BootID: "some"})
		return err
	}))
	return fence
}

// born makes the stack's head, and returns the ID of this site.
func (w *world) born() string {
	w.t.Helper()
	w.do(w.put(journal.StepPlan, w.stack(`resource "terraform_data" "x" { inputt = 1 }`), nil))
	data, err := os.ReadFile(filepath.Join(w.site.Root, "site"))
	check(w.t, err)
	return strings.TrimSpace(string(data))
}

// leave writes an attempt into the spool that never came to its shim.
func (w *world) leave(step string, kind journal.StepKind, f journal.Fence, boot string) {
	w.t.Helper()
	st, _ := w.state()
	check(w.t, os.MkdirAll(w.site.SpoolDir(w.id), 0o700))
	data, err := json.Marshal(map[string]any{
		"id": f.Attempt, "step": step, "kind": kind, "stack": w.id, "fence": f, "bootId": boot, "serial": st.Serial, "lineage": st.Lineage,
	})
	check(w.t, err)
	check(w.t, os.WriteFile(filepath.Join(w.site.SpoolDir(w.id), "attempt.json"), data, 0o600))
}

func boot(t *testing.T) string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	check(t, err)
	return strings.TrimSpace(string(data))
}

func TestDiedBeforeTheSpool(t *testing.T) {
	w := newWorld(t)
	site := w.born()
	s := w.items(1, 0)
	step := w.put(journal.StepPlan, s, nil)
	w.take(step, site)
	if r := w.do(step); r.Outcome != journal.OutcomeChanges {
		t.Fatalf("result: %+v", r)
	}
	w.clean()
}

func TestDiedBeforeTheShim(t *testing.T) {
	w := newWorld(t)
	site := w.born()
	step := w.put(journal.StepPlan, w.items(1, 0), nil)
	w.leave(step, journal.StepPlan, w.take(step, site), boot(t))
	if r := w.do(step); r.Outcome != journal.OutcomeChanges || r.Launches != 1 {
		t.Fatalf("result: %+v", r)
	}
	w.clean()
}

func TestAnotherSitesAttemptIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.born()
	step := w.put(journal.StepPlan, w.items(1, 0), nil)
	fence := w.take(step, "elsewhere")
	if code := w.wait(w.spawn("step", "--step", step)); code != terraform.ExitError {
		t.Errorf("exit code %d", code)
	}
	head, err := w.journal.Head(context.Background(), w.id)
	check(t, err)
	if head.Fence != fence || head.Status != journal.HeadRunning {
		t.Errorf("the head was taken: %+v", head)
	}
}

// TestAHeldLockProvesNothing: the spool is lost, the head says running, and somebody holds the stack's lock: it may be terraform.
func TestAHeldLockProvesNothing(t *testing.T) {
	w := newWorld(t)
	site := w.born()
	step := w.put(journal.StepPlan, w.items(1, 0), nil)
	fence := w.take(step, site)
	held, err := os.OpenFile(w.site.StackLock(w.id), os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	check(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	if code := w.wait(w.spawn("step", "--step", step)); code != terraform.ExitError {
		t.Errorf("exit code %d", code)
	}
	if head, err := w.journal.Head(context.Background(), w.id); err != nil || head.Fence != fence {
		t.Errorf("the head was taken: %+v, %v", head, err)
	}
	check(t, held.Close())
	if r := w.do(step); r.Outcome != journal.OutcomeChanges {
		t.Errorf("result: %+v", r)
	}
	w.clean()
}

func TestAnObsoleteSpoolIsDropped(t *testing.T) {
	w := newWorld(t)
	w.born()
	step := w.put(journal.StepPlan, w.items(1, 0), nil)
	w.leave(step, journal.StepPlan, journal.Fence{Epoch: 1, Number: 99, Attempt: "dead"}, boot(t))
	if r := w.do(step); r.Outcome != journal.OutcomeChanges {
		t.Fatalf("result: %+v", r)
	}
	w.clean()
}

// TestAHeldLockKeepsTheSpool: an attempt has nothing to ship, but something still holds its stack's lock: it may be at work in there.
func TestAHeldLockKeepsTheSpool(t *testing.T) {
	w := newWorld(t)
	w.born()
	first, second := w.put(journal.StepPlan, w.items(1, 0), nil), w.put(journal.StepPlan, w.items(1, 0), nil)
	w.leave(first, journal.StepPlan, journal.Fence{Epoch: 1, Number: 99, Attempt: "dead"}, boot(t))
	left := filepath.Join(w.site.WorkDir(w.id), "left")
	check(t, os.MkdirAll(w.site.WorkDir(w.id), 0o700))
	check(t, os.WriteFile(left, nil, 0o600))
	held, err := os.OpenFile(w.site.StackLock(w.id), os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	check(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	if a := w.sweep(); len(a.Cleaned) != 0 || !slices.Equal(a.Pending, []string{w.id.String()}) {
		t.Errorf("sweep: %+v", a)
	}
	if r := w.do(first); r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != runner.RuleStackHeld {
		t.Errorf("result: %+v", r)
	}
	for _, path := range []string{left, filepath.Join(w.site.SpoolDir(w.id), "attempt.json")} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("it was removed under who holds the lock: %v", err)
		}
	}
	check(t, held.Close())
	if r := w.do(second); r.Outcome != journal.OutcomeChanges {
		t.Errorf("result: %+v", r)
	}
	w.clean()
}

// TestWhatNoStoreKnowsIsKept: the store was put back to before an apply that had made something. What that left is all that tells of it.
func TestWhatNoStoreKnowsIsKept(t *testing.T) {
	w := newWorld(t)
	w.born()
	w.leave(w.run.ID+"/ankara/apply.77", journal.StepApply, journal.Fence{Epoch: 1, Number: 99, Attempt: "dead"}, boot(t))
	spool := w.site.SpoolDir(w.id)
	check(t, os.WriteFile(filepath.Join(spool, "shim.json"), []byte(`{"pid":1,"start":1,"session":1}`), 0o600))
	st, _ := w.state()
	newer, err := terraform.RaiseSerial(st.Payload)
	check(t, err)
	check(t, os.MkdirAll(w.site.WorkDir(w.id), 0o700))
	check(t, os.WriteFile(filepath.Join(w.site.WorkDir(w.id), terraform.StateFileName), newer, 0o600))
	check(t, os.MkdirAll(filepath.Join(w.site.WorkDir(w.id), terraform.DataDirName), 0o700))
	check(t, os.WriteFile(filepath.Join(w.site.WorkDir(w.id), terraform.DataDirName, "output.ndjson"), []byte("words\n"), 0o600))
	if a := w.sweep(); len(a.Cleaned) != 0 || !slices.Equal(a.Pending, []string{w.id.String()}) {
		t.Errorf("sweep: %+v", a)
	}
	step := w.put(journal.StepPlan, w.items(1, 0), nil)
	if r := w.do(step); r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != runner.RuleSpoolUnknown {
		t.Errorf("result: %+v", r)
	}
	if said := w.spooled(filepath.Join(spool, "output.sealed")); string(said) != "words\n" {
		t.Errorf("the spool has that terraform said %q", said)
	}
	if kept := w.spooled(filepath.Join(spool, terraform.SpooledState)); !bytes.Equal(kept, newer) {
		t.Errorf("the spool has %q, terraform left %q", kept, newer)
	}
	if _, err := os.Stat(w.site.WorkDir(w.id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state lies in clear in the work directory: %v", err)
	}
	check(t, os.Rename(spool, filepath.Join(t.TempDir(), "kept"))) // as the diagnostic says
	if r := w.do(w.put(journal.StepPlan, w.items(1, 0), nil)); r.Outcome != journal.OutcomeChanges {
		t.Errorf("result: %+v", r)
	}
	w.clean()
}

// TestAnotherBoot: after a reboot every process of an attempt is dead, and its pids belong to others.
func TestAnotherBoot(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(3)
	for _, role := range []string{"runner", "shim", "terraform", "other"} {
		w.kill(role, syscall.SIGKILL)
	}
	w.gone("")
	spool := w.site.SpoolDir(w.id)
	text, err := os.ReadFile(filepath.Join(spool, "attempt.json"))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(spool, "attempt.json"), []byte(strings.Replace(string(text), boot(t), "an earlier boot", 1)), 0o600))
	// This test's own process has the pid that terraform had: it must not be taken for it, much less be ended.
	me, err := os.ReadFile("/proc/self/stat")
	check(t, err)
	start := strings.Fields(string(me[strings.LastIndexByte(string(me), ')')+1:]))[19]
	record := []byte(`{"pid":` + strings.Fields(string(me))[0] + `,"start":` + start + `}`)
	check(t, os.WriteFile(filepath.Join(spool, "terraform.json"), record, 0o600))
	if r := w.do(step); r.Outcome != journal.OutcomeInterrupted {
		t.Fatalf("result: %+v", r)
	}
	w.covered(step, 3)
	w.clean()
}

// sweep has a runner clean what others left.
func (w *world) sweep() (a runner.SweepAnswer) {
	w.t.Helper()
	out := filepath.Join(w.t.TempDir(), "out")
	f, err := os.Create(out)
	check(w.t, err)
	defer f.Close()
	if code := runner.Main([]string{terraform.VerbSweep, "--data", w.site.Root}, f, os.Stderr); code != 0 {
		w.t.Fatalf("exit code %d", code)
	}
	data, err := os.ReadFile(out)
	check(w.t, err)
	check(w.t, json.Unmarshal(data, &a))
	return a
}

func TestSweep(t *testing.T) {
	w := newWorld(t)
	site := w.born()
	done := w.put(journal.StepPlan, w.items(1, 0), nil)
	w.do(done)
	head, err := w.journal.Head(context.Background(), w.id)
	check(t, err)
	// A runner that died after its result and before it cleaned.
	w.leave(done, journal.StepPlan, head.Fence, boot(t))
	check(t, os.MkdirAll(w.site.WorkDir(w.id), 0o700))
	check(t, os.WriteFile(filepath.Join(w.site.WorkDir(w.id), terraform.PlanFile), []byte("secret"), 0o600))
	if a := w.sweep(); !slices.Equal(a.Cleaned, []string{w.id.String()}) || len(a.Pending) != 0 {
		t.Errorf("sweep: %+v", a)
	}
	w.clean()
	// One that died in the middle is not the sweep's.
	next := w.put(journal.StepPlan, w.items(1, 0), nil)
	w.leave(next, journal.StepPlan, w.take(next, site), boot(t))
	if a := w.sweep(); len(a.Cleaned) != 0 || !slices.Equal(a.Pending, []string{w.id.String()}) {
		t.Errorf("sweep: %+v", a)
	}
	w.do(next)
	w.clean()
}

// TestPlansAreNotStarved: with two slots, an apply that takes long leaves one to plans.
func TestPlansAreNotStarved(t *testing.T) {
	w := newWorld(t)
	w.env = []string{runner.EnvLaunches + "=2"}
	step, _ := w.applying(1)
	other := *w
	other.id.Region = "istanbul"
	if r := other.do(other.put(journal.StepPlan, other.items(1, 0), nil)); r.Outcome != journal.OutcomeChanges {
		t.Errorf("result: %+v", r)
	}
	w.open()
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeApplied {
		t.Errorf("result: %+v", r)
	}
}
