package temporaltest

import (
	"os"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/persistence/temporal"
)

var shared *temporal.Server

func TestMain(m *testing.M) {
	os.Exit(Run(m, func(s *temporal.Server) { shared = s }))
}

func TestServers(t *testing.T) {
	began := time.Now()
	own := Start(t)
	t.Logf("started after %v", time.Since(began))
	for name, s := range map[string]*temporal.Server{"own": own, "shared": shared} {
		t.Run(name, func(t *testing.T) {
			c := Client(t, s)
			w := worker.New(c, t.Name(), worker.Options{})
			w.RegisterWorkflowWithOptions(func(workflow.Context) (string, error) { return "done", nil }, workflow.RegisterOptions{Name: "flow"})
			if err := w.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Stop)
			run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: t.Name()}, "flow")
			if err != nil {
				t.Fatal(err)
			}
			var out string
			if err := run.Get(t.Context(), &out); err != nil || out != "done" {
				t.Errorf("result %q, error %v", out, err)
			}
		})
	}
}
