package web

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"meridian/persistence/temporal"
)

func TestRealUI(t *testing.T) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := temporal.Start(t.Context(), temporal.Options{UI: true, PublicPath: UIPath, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	c, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	// No worker takes it: it waits, and the UI shows and ends it.
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "run/1", TaskQueue: "nobody"}, "apply")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, server.UIAddress())
	s.options.UIKey = server.Key()
	in := login(t, s)
	api := s.url + "/temporal/api/v1/namespaces/" + server.Namespace()
	for name, test := range map[string]struct{ path, want string }{
		"page":      {WorkflowPath(server.Namespace(), "run/1", run.GetRunID()), "__sveltekit"},
		"redirect":  {WorkflowPath(server.Namespace(), "run/1", ""), "__sveltekit"},
		"workflow":  {"/temporal/api/v1/namespaces/" + server.Namespace() + "/workflows/run%2F1", `"run/1"`},
		"workflows": {"/temporal/api/v1/namespaces/" + server.Namespace() + "/workflows", "executions"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, body := ask(t, in, "GET", s.url+test.path)
			if answer.StatusCode != 200 || !strings.Contains(body, test.want) {
				t.Errorf("answer %d %.300s", answer.StatusCode, body)
			}
			if strings.Contains(body, server.Key()) {
				t.Error("the key came through")
			}
		})
	}
	t.Run("a button of the ui", func(t *testing.T) {
		answer, body := ask(t, in, "POST", api+"/workflows/run%2F1/terminate", "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json")
		if answer.StatusCode != 200 {
			t.Fatalf("answer %d %s", answer.StatusCode, body)
		}
		if err := c.GetWorkflow(context.Background(), "run/1", "").Get(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "terminated") {
			t.Errorf("the workflow ended with %v", err)
		}
	})
}
