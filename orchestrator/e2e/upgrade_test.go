package e2e

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/workflows"
	"meridian/persistence/journal"
	"meridian/persistence/temporal"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// release installs the programs of this run of the tests into a directory of their own, where an upgrade may replace them.
func (s *site) release() string {
	s.t.Helper()
	dir := filepath.Join(s.aside(), "bin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range []string{"meridian", "meridian-runner", "terraform-provider-localdb"} {
		from, err := os.Open(filepath.Join(bin, name))
		if err != nil {
			s.t.Fatal(err)
		}
		to, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o755)
		if err == nil {
			_, err = io.Copy(to, from)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		from.Close()
		to.Close()
	}
	return dir
}

// installedIn runs the meridian of a directory.
func installedIn(dir string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) { cmd.Path = filepath.Join(dir, "meridian") }
}

// runners lists the copies of runners that the site keeps, and which of them are at work.
func (s *site) runners() (kept, working []string) {
	s.t.Helper()
	entries, err := os.ReadDir(terraform.Site{Root: s.data}.Runners())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		kept = append(kept, e.Name())
	}
	for _, pid := range s.processes() {
		p, ok := readProc(pid)
		path, _, _ := strings.Cut(p.args, " ")
		if name := filepath.Base(filepath.Dir(path)); ok && filepath.IsAbs(path) && filepath.Base(path) == terraform.RunnerFile && !slices.Contains(working, name) {
			working = append(working, name)
		}
	}
	return kept, working
}

// TestUpgradeInTheMiddle replaces the installed programs while terraform makes a database, kills the server and the runners of the old
// version, and starts the new one: it adopts what runs, brings it to its end, does nothing twice, and keeps no old copy. An apply that the old
// version planned and that was not approved yet is applied by the new one.
func TestUpgradeInTheMiddle(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	dir := s.release()
	newer := filepath.Join(dir, "meridian-runner.new")
	if out, err := exec.Command("go", "build", "-ldflags=-buildid=another", "-o", newer, "meridian/cmd/meridian-runner").CombinedOutput(); err != nil {
		t.Fatalf("another build of the runner: %v\n%s", err, out)
	}
	slower := func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, pgserver.EnvDelay+"=5s") }
	srv := s.serve(slower, installedIn(dir))
	m := s.look()
	waiting := srv.asked(orders("waiting"))
	if v := srv.wait(waiting.ID); v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("run is %s: %s", v.Phase, v.Message)
	}
	run := srv.submitted(orders("orders")).ID
	s.beingMade(2)
	before := s.terraforms("apply")
	old, working := s.runners()
	if len(old) != 1 || !slices.Equal(old, working) {
		t.Fatalf("copies %v, at work %v, want one that works", old, working)
	}

	// As a package manager does: another file takes the place of the installed one.
	if err := os.Rename(newer, filepath.Join(dir, "meridian-runner")); err != nil {
		t.Fatal(err)
	}
	if _, working := s.runners(); !slices.Equal(working, old) {
		t.Fatalf("at work after the replacement: %v, want %v", working, old)
	}
	srv.kill()
	for _, pid := range s.processes() {
		if p, ok := readProc(pid); ok && strings.Contains(p.args, "meridian-runner step") {
			_ = kill(pid)
		}
	}
	if after := s.terraforms("apply"); !slices.Equal(before, after) && len(after) > 0 {
		t.Errorf("terraforms before the upgrade: %+v, after: %+v", before, after)
	}
	srv = s.serve(installedIn(dir))
	srv.wantDone(run)
	for _, r := range []string{"ankara", "istanbul"} {
		res, err := m.journal.Result(t.Context(), run+"/"+r+"/apply.1")
		if err != nil || res.Outcome != journal.OutcomeApplied || res.Launches != 1 {
			t.Errorf("%s: %+v, %v, want applied by the one terraform of the old version", r, res, err)
		}
	}
	s.eventually("the old copy goes", func() error {
		if kept, _ := s.runners(); len(kept) != 1 || kept[0] == old[0] {
			return errNotYet
		}
		return nil
	})
	v := srv.wait(waiting.ID)
	if _, err := srv.Approve(t.Context(), v.ID, v.PlanDigest, "test"); err != nil {
		t.Fatal(err)
	}
	srv.wantDone(waiting.ID)
	m.atRest()
	for _, name := range []string{"orders", "waiting"} {
		for region, ops := range m.opsOf(name) {
			if ops != made+", " {
				t.Errorf("the plugin did in %s of %s: %s", region, name, ops)
			}
		}
	}
	srv.stop()
}

// TestHistoryOfAnotherVersion gives a worker of this version executions whose histories another one wrote, which did things in another order.
// They cannot be replayed: the run says so, starts anew from its row, and finishes.
func TestHistoryOfAnotherVersion(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	srv := s.serve(withoutWorker)
	m := s.look()
	installation, err := m.catalog.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := temporal.Follow(s.data, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer sdk.Close()
	other := m.otherVersion(sdk, installation)
	run := srv.submitted(orders("orders")).ID
	s.eventually("the other version works on the run", func() error {
		_, err := sdk.DescribeWorkflowExecution(context.Background(), workflows.RunID(installation, run), "")
		return err
	})
	other.Stop()

	s.work(nil).joins()
	srv.wantDone(run)
	if text := logOf(srv, run); !strings.Contains(text, "starts anew from its rows: its history was written by another version of Meridian") {
		t.Errorf("the run's log says nothing of it:\n%s", text)
	}
	// The funnel could not be replayed either; the next run finds it at work again.
	next := srv.submitted(orders("orders", `max_connections: "50"`, `max_connections: "60"`)).ID
	srv.wantDone(next)
	srv.stop()
}

// otherVersion runs workflows of our names that sleep first, then start the run that the funnel is for.
func (m *meridian) otherVersion(sdk client.Client, installation string) worker.Worker {
	t := m.site.t
	t.Helper()
	w := worker.New(sdk, workflows.Queue(installation), worker.Options{WorkerStopTimeout: time.Second})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.RunInput) error {
		return workflow.Sleep(ctx, 3*time.Second)
	}, workflow.RegisterOptions{Name: workflows.NameApplyRun})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.DatabaseInput) error {
		if err := workflow.Sleep(ctx, time.Millisecond); err != nil {
			return err
		}
		run := m.newest(in.Name).ID // a test's workflow may look
		child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: workflows.RunID(installation, run), ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON,
		})
		return workflow.ExecuteChildWorkflow(child, workflows.NameApplyRun, workflows.RunInput{
			Contract: 1, Installation: installation, Namespace: in.Namespace, Name: in.Name, Run: run,
		}).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: workflows.NameDatabase})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}
