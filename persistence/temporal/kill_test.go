package temporal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// roleVariable makes the test binary a helper process: it runs a server on the directory of dirVariable until it is killed.
const (
	roleVariable = "MERIDIAN_TEMPORAL_TEST_ROLE"
	dirVariable  = "MERIDIAN_TEMPORAL_TEST_DIR"
	roleSteps    = "steps"
	roleIdle     = "idle"
)

const steps = 20

// raceEnabled says that the race detector is in this binary.
var raceEnabled bool

// step appends a line to the file and takes a moment.
func step(ctx context.Context, file string, n int) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, n); err != nil {
		return err
	}
	select {
	case <-time.After(20 * time.Millisecond):
	case <-activity.GetWorkerStopChannel(ctx):
	}
	return nil
}

func stepsFlow(ctx workflow.Context, file string) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Second,
		RetryPolicy:         &sdktemporal.RetryPolicy{InitialInterval: 10 * time.Millisecond},
	})
	for n := range steps {
		if err := workflow.ExecuteActivity(ctx, step, file, n).Get(ctx, nil); err != nil {
			return n, err
		}
	}
	return steps, nil
}

func stepsWorker(c client.Client) worker.Worker {
	w := worker.New(c, "steps", worker.Options{})
	w.RegisterWorkflow(stepsFlow)
	w.RegisterActivity(step)
	return w
}

// play is the helper process. It says "ready", and does its part until it is killed.
func play(role string) error {
	if role == roleSetUp {
		return playSetUp()
	}
	dir := os.Getenv(dirVariable)
	began := time.Now()
	s, err := Start(context.Background(), Options{Dir: dir, UI: true, Logger: logTo(os.Stderr)})
	if err != nil {
		return err
	}
	c, err := s.Client()
	if err != nil {
		return err
	}
	if role == roleSteps {
		if err := stepsWorker(c).Start(); err != nil {
			return err
		}
		if _, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: "steps", TaskQueue: "steps"}, stepsFlow, filepath.Join(dir, "steps")); err != nil {
			return err
		}
	}
	fmt.Println("ready after", time.Since(began).Round(time.Millisecond))
	select {}
}

// helper starts a helper process and waits until it is ready.
func helper(t *testing.T, role, dir string) *osexec.Cmd {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, dirVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the helper process is not ready: %v", err)
	}
	t.Log(strings.TrimSpace(line))
	return cmd
}

func kill(cmd *osexec.Cmd) {
	_ = cmd.Process.Kill() // it may have been killed before
	_ = cmd.Wait()         // it was killed
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(raw))
}

func TestKillInTheMiddleOfAWorkflow(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "steps")
	cmd := helper(t, roleSteps, dir)
	eventually(t, "some steps are done", func() bool { return len(lines(t, file)) >= 3 })
	kill(cmd)
	before := len(lines(t, file))
	if before >= steps {
		t.Fatal("the workflow was done before the kill: the test proves nothing")
	}

	c := clientOf(t, startIn(t, dir))
	w := stepsWorker(c)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	var done int
	if err := c.GetWorkflow(t.Context(), "steps", "").Get(t.Context(), &done); err != nil {
		t.Fatal(err)
	}
	if done != steps {
		t.Errorf("%d steps, want %d", done, steps)
	}
	all := lines(t, file)
	seen := map[string]int{}
	for _, n := range all {
		seen[n]++
	}
	if len(seen) != steps {
		t.Errorf("%d different steps, want %d: %v", len(seen), steps, all)
	}
	if len(all) > steps+1 {
		t.Errorf("%d steps were repeated, the kill can have cut one: %v", len(all)-steps, all)
	}
	t.Logf("%d steps before the kill, %d in all", before, len(all))
}

func TestIdleMemory(t *testing.T) {
	cmd := helper(t, roleIdle, t.TempDir())
	status := filepath.Join("/proc", fmt.Sprint(cmd.Process.Pid), "status")
	raw, err := os.ReadFile(status)
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "RssAnon") {
			t.Log(strings.TrimSpace(line))
		}
		if kb := 0; strings.HasPrefix(line, "VmRSS") {
			if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err != nil {
				t.Fatal(err)
			}
			// Measured: about 140 MB; the goal for all of Meridian is 200. The race detector needs more.
			if kb > 250_000 && !raceEnabled {
				t.Errorf("%d kB resident", kb)
			}
		}
	}
}
