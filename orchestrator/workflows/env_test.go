package workflows

import (
	"log/slog"
	"testing"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// lab is the installation that these tests say they are.
const lab = "lab"

var orders = DatabaseInput{Contract: activities.ContractVersion, Installation: lab, Namespace: "default", Name: "orders"}

func runOf(id string) RunInput {
	return RunInput{Contract: activities.ContractVersion, Installation: lab, Namespace: "default", Name: "orders", Run: id}
}

func quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// TestMain names the build, so that the SDK does not read the whole binary to name it, in the middle of a workflow.
func TestMain(m *testing.M) {
	worker.SetBinaryChecksum(identity)
	m.Run()
}

// environment is the SDK's in-memory engine with all workflows and the canned activities of w.
func environment(w *world) *testsuite.TestWorkflowEnvironment {
	env := bare(w)
	Workflows{Timing: stacks.DefaultTiming()}.Register(env)
	return env
}

// bare is environment without any workflow.
func bare(w *world) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet())
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience}) // a busy machine is no deadlock
	w.register(env, func(activities.Registration) bool { return true })
	return env
}

// wants compares how often something was asked with what a table says.
func (w *world) wants(t *testing.T, counts map[string]int) {
	t.Helper()
	for key, want := range counts {
		if got := w.count(key); got != want {
			t.Errorf("%s was asked %d times, want %d; all: %q", key, got, want, w.log())
		}
	}
}
