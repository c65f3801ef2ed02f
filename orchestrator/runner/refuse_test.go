package runner_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

func TestGateRefuses(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		spoil   func(w *world, plan journal.Result)
		outcome journal.Outcome
		rule    string
	}{
		"still planning": {func(w *world, plan journal.Result) {}, journal.OutcomeFailed, "run.refused"},
		"cancelled": {func(w *world, plan journal.Result) {
			w.planned(plan, w.items(2, 0))
			w.cancel()
		}, journal.OutcomeCancelled, "run.refused"},
		"run is over": {func(w *world, plan journal.Result) {
			w.planned(plan, w.items(2, 0))
			w.end()
		}, journal.OutcomeFailed, "run.refused"},
		"another plan is the run's": {func(w *world, plan journal.Result) {
			w.planned(plan, w.items(2, 0))
			check(w.t, w.store.Write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec("UPDATE run_regions SET artifact_digest = ? WHERE run = ?", strings.Repeat("0", 64), w.run.ID)
				return err
			}))
		}, journal.OutcomeFailed, "run.refused"},
		"no yes": {func(w *world, plan journal.Result) {
			w.approvable(plan, w.items(2, 0), false)
		}, journal.OutcomeFailed, "run.refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.items(2, 0)
			plan := w.do(w.put(journal.StepPlan, s, nil))
			c.spoil(w, plan)
			step := w.applyStep(s, plan)
			r := w.do(step)
			if r.Outcome != c.outcome || len(r.Diagnostics) != 1 || r.Diagnostics[0].Rule != c.rule || r.Launches != 0 || r.Retryable {
				t.Fatalf("result: %+v\n%s", r, w.log())
			}
			if d := r.Diagnostics[0]; d.Detail == "" || d.Next == "" {
				t.Errorf("the refusal does not say what to do: %+v", d)
			}
			if w.lines("begin") != 0 {
				t.Error("something was made")
			}
			w.clean()
		})
	}
}

// approvable moves a run whose submission carried no yes to applying, with a person's yes or without.
func (w *world) approvable(plan journal.Result, s stacks.Stack, approve bool) {
	w.t.Helper()
	ctx := context.Background()
	// The world's first run has a yes: another one without takes its place.
	_, err := w.catalog.MoveRun(ctx, w.run.ID, catalog.Move{From: stacks.PhasePlanning, To: stacks.PhaseFailed})
	check(w.t, err)
	w.submit(false)
	a, err := w.journal.Artifact(ctx, plan.Artifact)
	check(w.t, err)
	check(w.t, w.catalog.UpdateRegion(ctx, w.run.ID, "ankara", func(g catalog.RunRegion) catalog.RunRegion {
		g.Phase, g.StackDigest, g.Artifact, g.ArtifactDigest, g.StateSerial = stacks.RegionPlanned, s.Digest, a.ID, a.Digest, a.StateSerial
		return g
	}))
	_, err = w.catalog.MoveRun(ctx, w.run.ID, catalog.Move{From: stacks.PhasePlanning, To: stacks.PhaseAwaiting, PlanDigest: a.Digest})
	check(w.t, err)
	if approve {
		_, err = w.catalog.Approve(ctx, w.run.ID, a.Digest, "somebody")
		check(w.t, err)
	}
	// A workflow's word alone opens no gate, so the phase is moved past the catalog's own rules.
	check(w.t, w.store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE runs SET phase = 'applying' WHERE id = ?", w.run.ID)
		return err
	}))
}

func TestAnApprovalOpensTheGate(t *testing.T) {
	w := newWorld(t)
	s := w.items(1, 0)
	plan := w.do(w.put(journal.StepPlan, s, nil))
	w.approvable(plan, s, true)
	if r := w.do(w.applyStep(s, plan)); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("approved: %+v\n%s", r, w.log())
	}
}

func TestStalePlanIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.items(2, 0)
	plan := w.plan(s)
	w.do(w.applyStep(s, plan))
	r := w.do(w.applyStep(s, plan)) // another step with the same plan
	if r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != "plan.stale" || r.Launches != 0 {
		t.Fatalf("stale: %+v", r)
	}
	w.once(2)
	w.clean()
}

func TestUnfitArtifacts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, s *journal.Step)
		rule   string
	}{
		"no such plan":      {func(w *world, s *journal.Step) { s.Artifact = "nothing" }, "plan.missing"},
		"another rendering": {func(w *world, s *journal.Step) { s.Stack.Digest = strings.Repeat("1", 64) }, "plan.stale"},
		"another secret":    {func(w *world, s *journal.Step) { s.Stack.Secrets = map[string]string{"x": "region/ankara/none"} }, "secret.missing"},
		"unknown provider": {func(w *world, s *journal.Step) {
			s.Stack.Providers = []stacks.ProviderRequirement{{LocalName: "none", Source: "meridian.invalid/none/none", Version: "1.0.0"}}
		}, "terraform.template"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.items(1, 0)
			plan := w.plan(s)
			r := w.do(w.put(journal.StepApply, s, func(st *journal.Step) {
				st.Artifact = plan.Artifact
				c.change(w, st)
			}))
			if r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != c.rule || w.lines("begin") != 0 {
				t.Fatalf("result: %+v\n%s", r, w.log())
			}
			w.clean()
		})
	}
}

func TestNoTerraform(t *testing.T) {
	w := newWorld(t)
	w.env = []string{terraform.EnvTerraform + "=" + filepath.Join(t.TempDir(), "terraform")}
	r := w.do(w.put(journal.StepPlan, w.items(1, 0), nil))
	if r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != "terraform.missing" || r.Diagnostics[0].Next == "" {
		t.Fatalf("result: %+v", r)
	}
	w.clean()
}

func TestFilesStayInTheirDirectory(t *testing.T) {
	w := newWorld(t)
	s := w.items(1, 0)
	s.Files = append(s.Files, stacks.File{Path: "../../escaped.tf", Content: []byte("x")})
	r := w.do(w.put(journal.StepPlan, s, nil))
	if r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != "site.stage" {
		t.Fatalf("result: %+v", r)
	}
	check(t, filepath.WalkDir(w.site.Root, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == "escaped.tf" {
			t.Errorf("a file escaped to %s", path)
		}
		return err
	}))
	w.clean()
}

func TestUnknownStepAndWrongUse(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string][]string{
		"unknown step": {"step", "--step", "none"},
		"no step":      {"step"},
		"stray word":   {"step", "--step", "x", "y"},
		"shim by hand": {"shim"},
	} {
		if code := w.wait(w.spawn(args...)); code != terraform.ExitError {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
}

// lockStore holds the store's write lock until the returned function is called.
func (w *world) lockStore() (unlock func()) {
	held, free, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = w.store.Write(context.Background(), func(tx *store.Tx) error {
			close(held)
			<-free
			return nil
		})
	}()
	<-held
	return func() { close(free); <-done }
}

func TestStoreLockedForAWhile(t *testing.T) {
	w := newWorld(t)
	step, _ := w.applying(5)
	unlock := w.lockStore()
	w.open()
	w.gone("terraform") // it is not disturbed
	time.AfterFunc(2*time.Second, unlock)
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("result: %+v\n%s", r, w.log())
	}
	w.covered(step, 5)
	if text := w.events(step); strings.Count(text, `"apply_complete"`) != 5 {
		t.Errorf("events: %s", text)
	}
	w.clean()
}

func TestStoreAwayParksTheStep(t *testing.T) {
	w := newWorld(t)
	w.env = []string{terraform.EnvTiming + `={"Heartbeat":100000000}`}
	s := w.slow(2)
	step := w.applyStep(s, w.plan(s))
	cmd := w.spawn("step", "--step", step)
	w.until("something is being made", func() bool { return w.lines("begin") > 0 })
	unlock := w.lockStore()
	w.open()
	if code := w.wait(cmd); code != terraform.ExitParked {
		t.Errorf("exit code %d, want %d\n%s", code, terraform.ExitParked, w.log())
	}
	if left, _ := os.ReadDir(w.site.SpoolDir(w.id)); len(left) == 0 {
		t.Error("the spool is empty")
	}
	unlock()
	w.env = nil
	if r := w.do(step); r.Outcome != journal.OutcomeApplied || r.ExitCode != 0 {
		t.Errorf("result: %+v\n%s", r, w.log())
	}
	w.once(2)
	w.clean()
}

// TestForeignDaemonIsNamed: what a provisioner started in a session of its own holds the lock; it is named, and never ended.
func TestForeignDaemonIsNamed(t *testing.T) {
	w := newWorld(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	s := w.stack(fmt.Sprintf(`
resource "terraform_data" "daemon" {
  provisioner "local-exec" {
    command = "cd /; setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! > %s"
  }
}
`, pidFile))
	r := w.do(w.applyStep(s, w.plan(s)))
	text, err := os.ReadFile(pidFile)
	check(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	check(t, err)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if r.Outcome != journal.OutcomeApplied || len(r.Diagnostics) != 1 || r.Diagnostics[0].Severity != stacks.SeverityWarning {
		t.Fatalf("the step itself: %+v\n%s", r, w.log())
	}
	next := w.do(w.put(journal.StepPlan, s, nil))
	if next.Outcome != journal.OutcomeFailed || next.Diagnostics[0].Rule != "stack.held" ||
		!strings.Contains(next.Diagnostics[0].Detail, fmt.Sprintf("sleep (pid %d)", pid)) {
		t.Fatalf("the next step: %+v", next)
	}
	if syscall.Kill(pid, 0) != nil {
		t.Fatal("the daemon was ended")
	}
	check(t, syscall.Kill(pid, syscall.SIGKILL))
	w.until("the daemon is dead", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z "))
	})
	if r := w.do(w.put(journal.StepPlan, s, nil)); r.Outcome != journal.OutcomeUnchanged {
		t.Errorf("after the daemon's end: %+v", r)
	}
	w.clean()
}

// TestSecretsStayInTheEnvironment looks for a stack's secret in every argument of every process, and in every byte under the site.
func TestSecretsStayInTheEnvironment(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	check(t, w.catalog.EnsureSecret(ctx, w.id.Incarnation, "region/ankara/admin"))
	secret, err := w.catalog.Secret(ctx, w.id.Incarnation, "region/ankara/admin")
	check(t, err)
	sum := filepath.Join(t.TempDir(), "sum")
	s := w.stack(fmt.Sprintf(`
variable "admin_password" {
  type      = string
  ephemeral = true
  sensitive = true
}
resource "terraform_data" "user" {
  provisioner "local-exec" {
    environment = { ADMIN = var.admin_password }
    command     = "echo begin 0 >> %s; printf %%s \"$ADMIN\" | wc -c > %s; until [ -e %s ]; do sleep 0.02; done"
  }
}
`, w.ledger, sum, w.gate))
	s.Secrets = map[string]string{"admin_password": "region/ankara/admin"}
	plan := w.plan(s)
	step := w.applyStep(s, plan)
	cmd := w.spawn("step", "--step", step)
	w.until("something is being made", func() bool { return w.lines("begin") > 0 })
	forms := map[string]string{
		"clear": secret, "base64": base64.StdEncoding.EncodeToString([]byte(secret)), "hex": hex.EncodeToString([]byte(secret)),
	}
	find := func(where string, data []byte) {
		for form, text := range forms {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("the secret is in %s, in %s", where, form)
			}
		}
	}
	search := func() {
		check(t, filepath.WalkDir(w.site.Root, func(path string, d fs.DirEntry, _ error) error {
			if d != nil && d.Type().IsRegular() {
				if data, err := os.ReadFile(path); err == nil { // what vanishes meanwhile holds nothing
					find(path, data)
				}
			}
			return nil
		}))
	}
	search()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	check(t, err)
	for _, path := range lines {
		if data, err := os.ReadFile(path); err == nil {
			find(path, data)
		}
	}
	w.open()
	w.wait(cmd)
	if r := w.result(step); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("result: %+v\n%s", r, w.log())
	}
	if n, _ := os.ReadFile(sum); strings.TrimSpace(string(n)) != strconv.Itoa(len(secret)) {
		t.Errorf("terraform got a secret of %s bytes, want %d", n, len(secret))
	}
	search()
	find("the events", []byte(w.events(step)))
	st, _ := w.state()
	find("the state", st.Payload)
	a, err := w.journal.Artifact(ctx, plan.Artifact)
	check(t, err)
	for _, f := range a.Files {
		find("the artifact's "+f.Path, f.Content)
	}
	w.clean()
}
