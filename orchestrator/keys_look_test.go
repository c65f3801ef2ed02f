package orchestrator

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// toldTemporal is a fake of what Temporal says of workflows and workers.
type toldTemporal struct {
	client.Client
	client.HistoryEventIterator
	pollers  map[string]time.Time // of the first partition
	others   map[string]time.Time // of another; nil where the server cannot say
	flows    map[string]time.Time
	given    *common.Payload // to each of them
	askedFor []string
}

func (f *toldTemporal) DescribeTaskQueue(context.Context, string, enums.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	out := &workflowservice.DescribeTaskQueueResponse{}
	for who, at := range f.pollers {
		out.Pollers = append(out.Pollers, &taskqueue.PollerInfo{Identity: who, LastAccessTime: timestamppb.New(at)})
	}
	return out, nil
}

func (f *toldTemporal) DescribeTaskQueueEnhanced(context.Context, client.DescribeTaskQueueEnhancedOptions) (client.TaskQueueDescription, error) {
	if f.others == nil {
		return client.TaskQueueDescription{}, errors.New("unknown method")
	}
	var pollers []client.TaskQueuePollerInfo
	for who, at := range f.others {
		pollers = append(pollers, client.TaskQueuePollerInfo{Identity: who, LastAccessTime: at})
	}
	types := map[client.TaskQueueType]client.TaskQueueTypeInfo{client.TaskQueueTypeWorkflow: {Pollers: pollers}}
	return client.TaskQueueDescription{VersionsInfo: map[string]client.TaskQueueVersionInfo{"": {TypesInfo: types}}}, nil
}

// ListOpenWorkflow gives one workflow a page, in order of their IDs.
func (f *toldTemporal) ListOpenWorkflow(_ context.Context, in *workflowservice.ListOpenWorkflowExecutionsRequest) (*workflowservice.ListOpenWorkflowExecutionsResponse, error) {
	var ids []string
	for id := range f.flows {
		if id > string(in.GetNextPageToken()) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return &workflowservice.ListOpenWorkflowExecutionsResponse{}, nil
	}
	id := slices.Min(ids)
	return &workflowservice.ListOpenWorkflowExecutionsResponse{
		Executions:    []*workflow.WorkflowExecutionInfo{{Execution: &common.WorkflowExecution{WorkflowId: id}, StartTime: timestamppb.New(f.flows[id])}},
		NextPageToken: []byte(id),
	}, nil
}

func (f *toldTemporal) GetWorkflowHistory(_ context.Context, id, _ string, _ bool, _ enums.HistoryEventFilterType) client.HistoryEventIterator {
	f.askedFor = append(f.askedFor, id)
	return f
}

func (f *toldTemporal) HasNext() bool { return true }

func (f *toldTemporal) Next() (*history.HistoryEvent, error) {
	return &history.HistoryEvent{Attributes: &history.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &history.WorkflowExecutionStartedEventAttributes{Input: &common.Payloads{Payloads: []*common.Payload{f.given}}},
	}}, nil
}

// TestWorkersSeen: workers of every partition count, each once, for as long as they may be alive.
func TestWorkersSeen(t *testing.T) {
	now := time.Now()
	one, two, gone := workerIdentity{Process: "1@a", Site: "x", Key: "k"}, workerIdentity{Process: "2@b", Site: "y", Key: "k"}, workerIdentity{Process: "3@c"}
	fake := &toldTemporal{
		pollers: map[string]time.Time{one.String(): now.Add(-time.Minute), gone.String(): now.Add(-workerForgotten - time.Second)},
		others:  map[string]time.Time{one.String(): now, two.String(): now},
	}
	w := &waker{temporal: fake, installation: "inst"}
	got, err := w.workersSeen(t.Context(), now)
	if err != nil || len(got) != 2 || !slices.Contains(got, one) || !slices.Contains(got, two) {
		t.Errorf("seen %+v, %v", got, err)
	}
	fake.others = nil
	if got, err = w.workersSeen(t.Context(), now); err != nil || !slices.Equal(got, []workerIdentity{one}) {
		t.Errorf("of a server that knows one partition: %+v, %v", got, err)
	}
}

// TestLooseSpools: what no running head has is as old as its oldest part.
func TestLooseSpools(t *testing.T) {
	acts := activities.New(activities.Options{Site: terraform.Site{Root: t.TempDir()}})
	held := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "ankara"}
	left := held
	left.Region = "istanbul"
	begun := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, id := range []stacks.StackID{held, left} {
		dir := acts.Site.SpoolDir(id)
		fatal(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o700))
		for name, at := range map[string]time.Time{"attempt.json": begun, "output": time.Now()} {
			fatal(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
			fatal(t, os.Chtimes(filepath.Join(dir, name), at, at))
		}
	}
	got, err := looseSpools(acts, []journal.HeldHead{{Stack: held}})
	fatal(t, err)
	if len(got) != 1 || got[0].dir != acts.Site.SpoolDir(left) || !got[0].since.Equal(begun) {
		t.Errorf("loose spools: %+v", got)
	}
}

// TestOpenFlows: other installations' workflows are none of ours. Of one that a schedule began it is looked up what it was given, for that was sealed when
// the schedule was made; unless it counts as old in any case.
func TestOpenFlows(t *testing.T) {
	now := time.Now()
	ring, err := keyring.Open(keyring.Source{Dir: t.TempDir()}, true)
	fatal(t, err)
	sealed, err := ring.Seal([]byte("input"), "temporal payload")
	fatal(t, err)
	old := ring.IDs()[0]
	late, early := workflows.SchedulePrefix("inst")+"late", workflows.SchedulePrefix("inst")+"early"
	fake := &toldTemporal{given: &common.Payload{Data: sealed}, flows: map[string]time.Time{
		late: now, early: now.Add(-time.Hour), workflows.RunID("inst", "r-1"): now, workflows.DatabaseID("inst", "default", "orders"): now,
		workflows.RunID("other", "r-2"): now, "somebody's": now,
	}}
	f := keyFacts{now: now, grace: time.Minute, rows: map[string]int64{}, keys: []keyring.Info{{ID: old, Created: now.Add(-time.Hour)}, {ID: "bbbbbbbb", Created: now.Add(-10 * time.Minute)}}}
	for name, c := range map[string]struct {
		payloads Payloads
		key      string
		held     []string
	}{
		"sealed": {Payloads{Sealed: true, Data: func(p *common.Payload) ([]byte, bool) { return p.GetData(), true }}, old, []string{early, late}},
		"plain":  {Payloads{Data: func(*common.Payload) ([]byte, bool) { return nil, false }}, "", []string{early}},
		"never":  {Payloads{}, "", []string{early}},
	} {
		fake.askedFor = nil
		client := &Client{installation: "inst", payloads: c.payloads, logger: slog.New(slog.DiscardHandler)}
		f.flows, err = client.openFlows(t.Context(), &waker{temporal: fake, installation: "inst"}, f)
		fatal(t, err)
		if i := slices.IndexFunc(f.flows, func(w flowFact) bool { return w.id == late }); len(f.flows) != 4 || i < 0 || f.flows[i].key != c.key {
			t.Errorf("%s: %+v", name, f.flows)
		}
		if !slices.Equal(fake.askedFor, []string{late}) {
			t.Errorf("%s: looked up what %v were given", name, fake.askedFor)
		}
		var held []string
		for _, h := range f.held() {
			held = append(held, h.Subject)
		}
		if !slices.Equal(held, c.held) {
			t.Errorf("%s: held by %v, want %v", name, held, c.held)
		}
	}
}
