package workflows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"meridian/stacks"
)

// replayer replays histories with the workflows as they are, seen through these interceptors.
func replayer(t *testing.T, through ...interceptor.WorkerInterceptor) worker.WorkflowReplayer {
	t.Helper()
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Interceptors: through, DisableDeadlockDetection: true})
	if err != nil {
		t.Fatal(err)
	}
	Workflows{Timing: stacks.DefaultTiming()}.Register(r)
	return r
}

// histories are the files of a version's fixtures, of all versions for "*".
func histories(t *testing.T, version string) []string {
	t.Helper()
	files := glob(t, fixtures, version, "*", "*.json")
	if len(files) == 0 {
		t.Fatalf("no fixtures of %s", version)
	}
	return files
}

func glob(t *testing.T, path ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) *history.History {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return h
}

// write replaces the fixtures of a story.
func write(t *testing.T, dir string, recorded map[string]*history.History) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for kind, h := range recorded {
		raw, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		// The protobuf library varies its white space on purpose.
		var text bytes.Buffer
		if err := json.Indent(&text, raw, "", " "); err != nil {
			t.Fatal(err)
		}
		text.WriteByte('\n')
		if err := os.WriteFile(filepath.Join(dir, kind+".json"), text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// questions are what an execution asked for, also where a replay does not look, and how it ended; sorted, since what regions do in
// parallel has no order.
func questions(t *testing.T, h *history.History) []string {
	t.Helper()
	var out []string
	for _, e := range h.GetEvents() {
		switch e.GetEventType() {
		case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			a := e.GetActivityTaskScheduledEventAttributes()
			out = append(out, "activity "+a.GetActivityType().GetName()+" on "+a.GetTaskQueue().GetName())
		case enums.EVENT_TYPE_MARKER_RECORDED:
			out = append(out, "local activity "+local(t, e))
		case enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
			a := e.GetStartChildWorkflowExecutionInitiatedEventAttributes()
			out = append(out, fmt.Sprintf("child %s %s, at its parent's end %v, again %v", a.GetWorkflowType().GetName(), a.GetWorkflowId(), a.GetParentClosePolicy(), a.GetWorkflowIdReusePolicy()))
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
			out = append(out, e.GetEventType().String())
		}
	}
	slices.Sort(out)
	return out
}

// local is the name of the local activity that a marker is of.
func local(t *testing.T, e *history.HistoryEvent) string {
	t.Helper()
	var data struct{ ActivityType string }
	err := converter.GetDefaultDataConverter().FromPayloads(e.GetMarkerRecordedEventAttributes().GetDetails()["data"], &data)
	if err != nil || data.ActivityType == "" {
		t.Fatalf("event %d is no marker of a local activity: %v", e.GetEventId(), err)
	}
	return data.ActivityType
}
