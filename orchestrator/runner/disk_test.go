package runner_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian/orchestrator/runner"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks/terraform"
)

// diskSize is what a disk of a test has.
const diskSize = "size=256m"

// onDisks is a world with a file system of its own at each of these places below its root, the root itself first; only root may mount.
func onDisks(t *testing.T, places ...string) *world {
	t.Helper()
	root := t.TempDir()
	for _, place := range places {
		dir := filepath.Join(root, place)
		check(t, os.MkdirAll(dir, 0o700))
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskSize); err != nil {
			t.Skipf("a disk of its own needs root: %v", err)
		}
		t.Cleanup(func() { check(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	}
	return newWorldIn(t, root, root)
}

// fill leaves so many bytes free on the file system of dir, until the returned function is called.
func fill(t *testing.T, dir string, free int64) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	var s syscall.Statfs_t
	check(t, syscall.Statfs(dir, &s))
	const block = 4096
	if size := int64(s.Bavail)*s.Bsize - free - 64*block; size > 0 { // others write meanwhile
		check(t, syscall.Fallocate(int(f.Fd()), 0, 0, size))
		_, err = f.Seek(0, io.SeekEnd)
		check(t, err)
	}
	for err = nil; err == nil && free == 0; { // not a block more
		_, err = f.Write(make([]byte, block))
	}
	return func() { check(t, os.Remove(path)) }
}

func TestDiskFullBeforeAStep(t *testing.T) {
	w := onDisks(t, "work")
	w.born()
	empty := fill(t, filepath.Join(w.site.Root, "work"), 1<<20)
	step := w.put(journal.StepPlan, w.items(1, 0), nil)
	r := w.do(step)
	if r.Outcome != journal.OutcomeFailed || r.Launches != 0 || len(r.Diagnostics) != 1 || r.Diagnostics[0].Rule != runner.RuleDisk || r.Diagnostics[0].Next == "" {
		t.Fatalf("result: %+v", r)
	}
	w.clean()
	empty()
	w.apply(2)
}

// apply plans and applies n objects, and wants each made once.
func (w *world) apply(n int) {
	w.t.Helper()
	s := w.items(n, 0)
	if r := w.do(w.applyStep(s, w.plan(s))); r.Outcome != journal.OutcomeApplied {
		w.t.Fatalf("result: %+v\n%s", r, w.log())
	}
	w.once(n)
	w.clean()
}

// TestDiskFullWhileTerraformWorks fills the work directory's disk while terraform makes something: it goes on and cannot write its state. What was
// made is known all the same, the step says what is wrong, and once there is room the next plan works.
func TestDiskFullWhileTerraformWorks(t *testing.T) {
	w := onDisks(t, "work")
	step, s := w.applying(3)
	t.Cleanup(w.open) // whatever happens, it ends
	empty := fill(t, filepath.Join(w.site.Root, "work"), 0)
	w.open()
	w.gone("terraform")
	empty()
	w.gone("runner")
	if _, err := w.journal.Result(context.Background(), step); errors.Is(err, journal.ErrNotFound) {
		w.do(step) // it had to give up: the next one settles it
	}
	r := w.result(step)
	if r.Outcome == journal.OutcomeApplied || len(r.Diagnostics) == 0 {
		t.Fatalf("result: %+v\n%s", r, w.log())
	}
	w.covered(step, 3)
	w.clean()
	if again := w.do(w.put(journal.StepPlan, s, nil)); again.Outcome == journal.OutcomeFailed {
		t.Errorf("a plan with room: %+v", again)
	}
}

// TestStoresDiskFull fills the disk of the store: nothing can be shipped, everything is in the spool, and the step ends once there is room.
func TestStoresDiskFull(t *testing.T) {
	w := onDisks(t, "", "work", "spool", "logs")
	step, _ := w.applying(3)
	t.Cleanup(w.open)
	empty := fill(t, w.site.Root, 0)
	w.open()
	w.gone("terraform")
	w.until("the runner has met the full disk", func() bool { return strings.Contains(w.log(), "full") })
	empty()
	w.gone("runner")
	if _, err := w.journal.Result(context.Background(), step); errors.Is(err, journal.ErrNotFound) {
		w.do(step) // it parked
	}
	if r := w.result(step); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("result: %+v\n%s", r, w.log())
	}
	w.once(3)
	w.covered(step, 3)
	w.clean()
}

func TestReadOnlyDisk(t *testing.T) {
	w := onDisks(t, "locks")
	w.born()
	step := w.put(journal.StepPlan, w.items(1, 0), nil)
	locks := filepath.Join(w.site.Root, "locks")
	check(t, syscall.Mount("tmpfs", locks, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, diskSize))
	logs := filepath.Join(t.TempDir(), "logs")
	f, err := os.Create(logs)
	check(t, err)
	defer f.Close()
	code := runner.Main([]string{terraform.VerbStep, "--data", w.site.Root, "--step", step}, f, f)
	text, err := os.ReadFile(logs)
	check(t, err)
	if code != terraform.ExitError || !strings.Contains(string(text), "read-only file system") {
		t.Errorf("exit code %d: %s", code, text)
	}
	check(t, syscall.Mount("tmpfs", locks, "tmpfs", syscall.MS_REMOUNT, diskSize))
	if r := w.do(step); r.Outcome != journal.OutcomeChanges {
		t.Errorf("result: %+v", r)
	}
	w.clean()
}

func (w *world) damage(query string) {
	w.t.Helper()
	check(w.t, w.store.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(query)
		return err
	}))
}

// TestADamagedStateIsNotTakenForNone: a step on it fails with what to do, and never plans on nothing.
func TestADamagedStateIsNotTakenForNone(t *testing.T) {
	w := newWorld(t)
	s := w.items(1, 0)
	w.do(w.applyStep(s, w.plan(s)))
	w.damage("UPDATE states SET sealed = substr(sealed, 1, 60)")
	r := w.do(w.put(journal.StepPlan, s, nil))
	if r.Outcome != journal.OutcomeFailed || r.Launches != 0 || len(r.Diagnostics) != 1 || r.Diagnostics[0].Rule != runner.RuleStateDamaged ||
		!strings.Contains(r.Diagnostics[0].Next, "meridian state restore orders ankara") {
		t.Fatalf("result: %+v\n%s", r, w.log())
	}
	w.clean()
}

// TestADamagedPlanIsNotApplied: nothing is launched, and the run plans again.
func TestADamagedPlanIsNotApplied(t *testing.T) {
	w := newWorld(t)
	s := w.items(1, 0)
	step := w.applyStep(s, w.plan(s))
	w.damage("UPDATE artifacts SET sealed = substr(sealed, 1, 60)")
	r := w.do(step)
	if r.Outcome != journal.OutcomeFailed || r.Launches != 0 || !terraform.PlanAgain(r.Diagnostics) || w.lines("begin") != 0 {
		t.Fatalf("result: %+v\n%s", r, w.log())
	}
	w.clean()
}

// TestADamagedSpoolIsKept: what an attempt wrote down cannot be read; the step says where it lies and touches nothing of it.
func TestADamagedSpoolIsKept(t *testing.T) {
	w := newWorld(t)
	site := w.born()
	s := w.items(1, 0)
	step := w.put(journal.StepPlan, s, nil)
	w.leave(step, journal.StepPlan, w.take(step, site), boot(t))
	record := filepath.Join(w.site.SpoolDir(w.id), "attempt.json")
	check(t, os.WriteFile(record, []byte(`{"id": "dead", "st`), 0o600))
	r := w.do(step)
	if r.Outcome != journal.OutcomeFailed || len(r.Diagnostics) != 1 || r.Diagnostics[0].Rule != runner.RuleSpoolDamaged ||
		!strings.Contains(r.Diagnostics[0].Next, w.site.SpoolDir(w.id)) {
		t.Fatalf("result: %+v\n%s", r, w.log())
	}
	if _, err := os.Stat(record); err != nil {
		t.Fatalf("the record is gone: %v", err)
	}
	check(t, os.RemoveAll(w.site.SpoolDir(w.id)))
	w.apply(1)
}
