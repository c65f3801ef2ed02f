package runner_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/orchestrator/runner"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestMain lets the test's binary be the runner, the shim and our plugin.
func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	verbs := []string{terraform.VerbFind, terraform.VerbTemplate, terraform.VerbShow, terraform.VerbStep, terraform.VerbShim, terraform.VerbSweep, terraform.VerbDrain, terraform.VerbSpooled}
	switch {
	case os.Getenv("TF_PLUGIN_MAGIC_COOKIE") != "":
		return servePlugin()
	case len(os.Args) > 1 && slices.Contains(verbs, os.Args[1]):
		return runner.Main(os.Args[1:], os.Stdout, os.Stderr)
	}
	return m.Run()
}

// world is one site with its store, and one database of one region.
type world struct {
	t       *testing.T
	site    terraform.Site
	store   *store.Store
	catalog *catalog.Catalog
	journal *journal.Journal
	run     catalog.Run
	id      stacks.StackID
	ledger  string // what terraform did in the world, a line each
	gate    string // a file that slow objects wait for
	steps   int
	env     []string
}

// newWorld makes a world; its test runs beside others, for most of its time is waiting.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("no terraform on PATH")
	}
	root := t.TempDir()
	return newWorldIn(t, root, root)
}

// newWorldIn makes a world on the site root, whose store is elsewhere.
func newWorldIn(t *testing.T, root, where string) *world {
	t.Helper()
	st, err := store.Open(context.Background(), where)
	check(t, err)
	t.Cleanup(func() { check(t, st.Close()) })
	keys, err := keyring.Open(keyring.Source{Dir: root}, true)
	check(t, err)
	w := &world{
		t: t, site: terraform.Site{Root: root}, store: st, catalog: catalog.New(st, keys), journal: journal.New(st, keys),
	}
	w.ledger, w.gate = filepath.Join(t.TempDir(), "ledger"), filepath.Join(t.TempDir(), "gate")
	t.Cleanup(w.endAll)
	w.submit(true)
	return w
}

// submit submits the database, with a yes or without.
func (w *world) submit(yes bool) {
	w.t.Helper()
	ctx := context.Background()
	in := catalog.SubmitInput{Effective: spec(), Source: []byte("spec"), Yes: yes, Actor: "test", Kind: stacks.RunApply}
	if d, err := w.catalog.Database(ctx, "default", "orders"); err == nil {
		in.ExpectRevision = d.Revision
	}
	run, err := w.catalog.Submit(ctx, in)
	check(w.t, err)
	next, err := w.catalog.NextRun(ctx, "default", "orders")
	check(w.t, err)
	if next != run.ID {
		w.t.Fatalf("next run is %q, want %q", next, run.ID)
	}
	_, err = w.catalog.SetRegions(ctx, run.ID, []catalog.RunRegion{{Region: "ankara", Phase: stacks.RegionPending}})
	check(w.t, err)
	_, err = w.catalog.MoveRun(ctx, run.ID, catalog.Move{From: stacks.PhasePending, To: stacks.PhasePlanning})
	check(w.t, err)
	w.run = run
	w.id = stacks.StackID{Namespace: "default", Name: "orders", Incarnation: run.Incarnation, Region: "ankara"}
}

func spec() stacks.Database {
	return stacks.Database{
		APIVersion: stacks.APIVersion, Kind: stacks.KindDatabase,
		Metadata: stacks.Metadata{Namespace: "default", Name: "orders"},
		Spec: stacks.DatabaseSpec{
			Engine:  stacks.Engine{Name: "postgres", Version: "15"},
			Regions: []stacks.Region{{Name: "ankara", Provider: "local", Location: "local", Role: stacks.RolePrimary}},
		},
	}
}

// items is a stack of n objects; making one writes into the ledger before and after it takes its time.
func (w *world) items(n int, takes time.Duration) stacks.Stack {
	return w.made(n, fmt.Sprintf("sleep %.2f", takes.Seconds()))
}

// slow is a stack of n objects that take until the gate is open.
func (w *world) slow(n int) stacks.Stack {
	return w.made(n, "until [ -e "+w.gate+" ]; do sleep 0.02; done")
}

// open opens the gate.
func (w *world) open() {
	w.t.Helper()
	check(w.t, os.WriteFile(w.gate, nil, 0o600))
}

func (w *world) made(n int, how string) stacks.Stack {
	return w.stack(fmt.Sprintf(`
resource "terraform_data" "item" {
  count = %d
  input = "v${count.index}"
  provisioner "local-exec" {
    command = "echo begin ${count.index} >> %s; %s; echo end ${count.index} >> %s"
  }
}

output "count" {
  value = length(terraform_data.item)
}
`, n, w.ledger, how, w.ledger))
}

// stack is a stack of one file.
func (w *world) stack(hcl string) stacks.Stack {
	sum := sha256.Sum256([]byte(hcl))
	return stacks.Stack{
		ID: w.id, Files: []stacks.File{{Path: "main.tf", Content: []byte(hcl)}}, Digest: hex.EncodeToString(sum[:]),
		DataBearing: []string{"terraform_data"},
	}
}

// put stores a step of the world's run and returns its ID.
func (w *world) put(kind journal.StepKind, s stacks.Stack, change func(*journal.Step)) string {
	w.t.Helper()
	w.steps++
	step := journal.Step{ID: fmt.Sprintf("%s/ankara/%s.%d", w.run.ID, kind, w.steps), Run: w.run.ID, Kind: kind, Stack: s}
	if change != nil {
		change(&step)
	}
	_, err := w.journal.PutStep(context.Background(), step)
	check(w.t, err)
	return step.ID
}

// spawn starts a runner as an activity does: in a session of its own, its log in a file.
func (w *world) spawn(args ...string) *exec.Cmd {
	w.t.Helper()
	exe, err := os.Executable()
	check(w.t, err)
	check(w.t, os.MkdirAll(w.site.LogDir(), 0o700))
	log, err := os.OpenFile(w.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	check(w.t, err)
	defer log.Close()
	cmd := exec.Command(exe, append([]string{args[0], "--data", w.site.Root}, args[1:]...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), w.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(w.t, cmd.Start())
	return cmd
}

func (w *world) logPath() string { return filepath.Join(w.site.LogDir(), "runner.log") }

// wait waits for a runner and returns its exit code.
func (w *world) wait(cmd *exec.Cmd) int {
	w.t.Helper()
	err := cmd.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// do runs a step to its end and returns its result.
func (w *world) do(step string) journal.Result {
	w.t.Helper()
	if code := w.wait(w.spawn("step", "--step", step)); code != terraform.ExitDone {
		w.t.Fatalf("runner of %s: exit code %d\n%s", step, code, w.log())
	}
	return w.result(step)
}

func (w *world) result(step string) journal.Result {
	w.t.Helper()
	r, err := w.journal.Result(context.Background(), step)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.log())
	}
	return r
}

// plan plans a stack and moves the run on to applying, as the workflows do.
func (w *world) plan(s stacks.Stack) journal.Result {
	w.t.Helper()
	return w.planned(w.do(w.put(journal.StepPlan, s, nil)), s)
}

// planned moves the run on from a plan's result.
func (w *world) planned(r journal.Result, s stacks.Stack) journal.Result {
	w.t.Helper()
	if r.Outcome != journal.OutcomeChanges {
		w.t.Fatalf("plan: %s %+v\n%s", r.Outcome, r.Diagnostics, w.log())
	}
	ctx := context.Background()
	a, err := w.journal.Artifact(ctx, r.Artifact)
	check(w.t, err)
	check(w.t, w.catalog.UpdateRegion(ctx, w.run.ID, "ankara", func(g catalog.RunRegion) catalog.RunRegion {
		g.Phase, g.StackDigest, g.Artifact, g.ArtifactDigest, g.StateSerial = stacks.RegionPlanned, s.Digest, a.ID, a.Digest, a.StateSerial
		return g
	}))
	_, err = w.catalog.MoveRun(ctx, w.run.ID, catalog.Move{From: stacks.PhasePlanning, To: stacks.PhaseApplying, PlanDigest: a.Digest})
	check(w.t, err)
	return r
}

// applyStep stores the apply of a plan.
func (w *world) applyStep(s stacks.Stack, plan journal.Result) string {
	return w.put(journal.StepApply, s, func(st *journal.Step) { st.Artifact = plan.Artifact })
}

// end ends the world's run.
func (w *world) end() {
	w.t.Helper()
	_, err := w.catalog.MoveRun(context.Background(), w.run.ID, catalog.Move{From: stacks.PhaseApplying, To: stacks.PhaseDone})
	check(w.t, err)
}

func (w *world) state() (journal.State, terraform.StateFile) {
	w.t.Helper()
	st, err := w.journal.LatestState(context.Background(), w.id)
	check(w.t, err)
	file, err := terraform.ReadState(st.Payload)
	check(w.t, err)
	return st, file
}

// events is everything that is in the journal of a step.
func (w *world) events(step string) string {
	w.t.Helper()
	list, err := w.journal.Events(context.Background(), step, 0, 100000)
	check(w.t, err)
	var text strings.Builder
	for i, e := range list {
		if e.Seq != int64(i+1) {
			w.t.Fatalf("event %d has sequence %d", i+1, e.Seq)
		}
		text.Write(e.Payload)
		text.WriteByte('\n')
	}
	return text.String()
}

// lines counts the ledger's lines that start with a word.
func (w *world) lines(word string) int {
	data, _ := os.ReadFile(w.ledger)
	n := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, word+" ") {
			n++
		}
	}
	return n
}

func (w *world) log() string {
	data, _ := os.ReadFile(w.logPath())
	return string(data)
}

// clean asserts that nothing of an attempt is left: no work directory, no spool, no process, both locks free, the head idle.
func (w *world) clean() {
	w.t.Helper()
	for _, dir := range []string{w.site.WorkDir(w.id), w.site.SpoolDir(w.id)} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			w.t.Errorf("%s is still there", dir)
		}
	}
	if left := w.processes(""); len(left) > 0 {
		w.t.Errorf("processes are left: %v", left)
	}
	head, err := w.journal.Head(context.Background(), w.id)
	check(w.t, err)
	if head.Status != journal.HeadIdle || head.Desired != "" {
		w.t.Errorf("the head is %s, desired %q", head.Status, head.Desired)
	}
}

// proc is one process that belongs to the world.
type proc struct {
	pid  int
	role string // "runner", "shim", "terraform", "other"
	args string
}

// processes lists the living processes of the world's site (all, or one role): runners and shims by their arguments, terraform and
// what it starts by their working directory.
func (w *world) processes(role string) []proc {
	var out []proc
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil || pid == os.Getpid() || bytes.Contains(stat, []byte(") Z ")) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		args := strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		p := proc{pid: pid, args: args}
		f := strings.Fields(args)
		switch {
		case strings.Contains(args, w.site.Root) && len(f) > 1 && f[1] == terraform.VerbShim:
			p.role = "shim"
		case strings.Contains(args, w.site.Root) && len(f) > 1 && f[1] == terraform.VerbStep:
			p.role = "runner"
		case strings.HasPrefix(cwd, w.site.Root) && len(f) > 1 && strings.HasSuffix(f[0], "/terraform"):
			p.role = "terraform"
		case strings.HasPrefix(cwd, w.site.Root):
			p.role = "other"
		default:
			continue
		}
		if role == "" || role == p.role {
			out = append(out, p)
		}
	}
	return out
}

// kill sends a signal to every process of a role; it returns how many there were.
func (w *world) kill(role string, sig syscall.Signal) int {
	list := w.processes(role)
	for _, p := range list {
		_ = syscall.Kill(p.pid, sig)
	}
	return len(list)
}

// endAll ends what a failed test left.
func (w *world) endAll() {
	w.kill("runner", syscall.SIGKILL)
	w.kill("shim", syscall.SIGKILL)
	w.kill("", syscall.SIGKILL)
	if w.t.Failed() {
		w.t.Log(w.log())
	}
}

// until polls a condition.
func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s\n%s", what, w.log())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
