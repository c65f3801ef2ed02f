package temporal

import (
	"flag"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

var storeAway = flag.Duration("away", 3*time.Second, "how long a store of Temporal stays away in the tests of outages")

// bridge is a workflow that is under way when the store goes: it waits for a word, which comes after the outage, while its timer falls into it.
func bridge(ctx workflow.Context) (string, error) {
	if err := workflow.Sleep(ctx, time.Second); err != nil {
		return "", err
	}
	var word string
	workflow.GetSignalChannel(ctx, "word").Receive(ctx, &word)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var out string
	err := workflow.ExecuteActivity(ctx, greet, word).Get(ctx, &out)
	return out, err
}

// outlives takes the store away for a while, and wants a workflow that was under way to end well afterwards, and the server to have lived.
func outlives(t *testing.T, s *Server, c client.Client, down, up func()) {
	t.Helper()
	w := worker.New(c, "bridges", worker.Options{})
	w.RegisterWorkflow(bridge)
	w.RegisterActivity(greet)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "bridge", TaskQueue: "bridges"}, bridge)
	if err != nil {
		t.Fatal(err)
	}
	down()
	select {
	case <-time.After(*storeAway):
	case <-s.Failed():
		t.Fatalf("the server failed while its store was away: %v", s.Err())
	}
	up()
	eventuallyLong(t, "the workflow hears of the word", func() bool { return c.SignalWorkflow(t.Context(), "bridge", "", "word", "world") == nil })
	var out string
	if err := run.Get(t.Context(), &out); err != nil || out != "hello world" {
		t.Errorf("after the outage: %q, %v", out, err)
	}
	select {
	case <-s.Failed():
		t.Errorf("the server failed: %v", s.Err())
	default:
	}
}
