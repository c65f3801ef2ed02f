package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/persistence/temporal"
	"meridian/stacks"
)

// identity is what clients and workers say of themselves, so that no histories name a machine.
const identity = "meridian"

// laboratory runs workflows on a real Temporal, with canned activities.
type laboratory struct {
	*world
	t      *testing.T
	client client.Client
	// installation is one of its own, so that laboratories share a server.
	installation string
}

// connect is a client of a server that says identity.
func connect(t *testing.T, s *temporal.Server) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: s.FrontendAddress(), Namespace: s.Namespace(), Identity: identity, Logger: quiet(), HeadersProvider: key(s.Key()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// key is what the frontend asks for.
type key string

func (k key) GetHeaders(context.Context) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(k)}, nil
}

// open starts the workers of an installation: one for workflows and light steps, one for terraform in location local.
func open(t *testing.T, c client.Client, installation string, w *world) *laboratory {
	t.Helper()
	l := &laboratory{world: w, t: t, client: c, installation: installation}
	w.turn = l.turn
	options := worker.Options{Identity: identity, MaxHeartbeatThrottleInterval: 20 * time.Millisecond, DeadlockDetectionTimeout: patience}
	light := worker.New(c, Queue(installation), options)
	Workflows{Timing: stacks.DefaultTiming()}.Register(light)
	w.register(light, func(r activities.Registration) bool { return !r.Terraform })
	options.DisableWorkflowWorker = true
	terraform := worker.New(c, TerraformQueue(installation, "local"), options)
	w.register(terraform, func(r activities.Registration) bool { return r.Terraform })
	for _, w := range []worker.Worker{light, terraform} {
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
	}
	return l
}

// turn makes istanbul wait until ankara is through and its run has taken notice, so that a recording has one order.
func (l *laboratory) turn(ctx context.Context, region string) error {
	if region != "istanbul" {
		return nil
	}
	l.mu.Lock()
	run := l.runs[slices.IndexFunc(l.runs, func(s *story) bool { return !s.phase().Ended() && !s.parked() })].run
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		open, err := l.pending(ctx, RunID(l.installation, run))
		if err != nil {
			return err
		}
		if open <= 1 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pending counts what a workflow waits for: its activities, its children and its own next task.
func (l *laboratory) pending(ctx context.Context, id string) (int, error) {
	d, err := l.client.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return 0, fmt.Errorf("describing %s: %w", id, err)
	}
	open := len(d.GetPendingActivities()) + len(d.GetPendingChildren())
	if d.GetPendingWorkflowTask() != nil {
		open++
	}
	return open, nil
}

// wake wakes the funnel, as orchestrator's waker does.
func (l *laboratory) wake() {
	l.t.Helper()
	in, id := orders, l.funnel()
	in.Installation = l.installation
	_, err := l.client.SignalWithStartWorkflow(l.t.Context(), id, SignalWake, nil, client.StartWorkflowOptions{
		ID: id, TaskQueue: Queue(l.installation), WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary: "funnel of default/orders",
	}, NameDatabase, in)
	if err != nil {
		l.t.Fatal(err)
	}
}

// start starts a run's workflow without a funnel.
func (l *laboratory) start(name, run string) {
	l.t.Helper()
	in := runOf(run)
	in.Installation = l.installation
	_, err := l.client.ExecuteWorkflow(l.t.Context(), client.StartWorkflowOptions{
		ID: RunID(l.installation, run), TaskQueue: Queue(l.installation), StaticSummary: "check of default/orders",
	}, name, in)
	if err != nil {
		l.t.Fatal(err)
	}
}

// check starts a check for drift that somebody asked for.
func (l *laboratory) check(check string) {
	l.t.Helper()
	_, err := l.client.ExecuteWorkflow(l.t.Context(), client.StartWorkflowOptions{
		ID: DriftID(l.installation, check), TaskQueue: Queue(l.installation), StaticSummary: "check for drift",
	}, NameDriftCheck, DriftInput{Contract: activities.ContractVersion, Installation: l.installation, Incarnation: "a2b3c4d5", Check: check, Reason: "asked"})
	if err != nil {
		l.t.Fatal(err)
	}
}

// until waits until something was asked and the workflow that asked has nothing else to do.
func (l *laboratory) until(key, workflow string) {
	l.t.Helper()
	eventually(l.t, key, func() bool { return l.count(key) > 0 })
	eventually(l.t, workflow+" rests", func() bool {
		d, err := l.client.DescribeWorkflowExecution(l.t.Context(), workflow, "")
		return err == nil && d.GetPendingWorkflowTask() == nil
	})
}

// closed waits until every execution that asked for something has ended, and returns them in the order of their first question.
func (l *laboratory) closed() []workflow.Execution {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	for i := 0; ; i++ {
		l.mu.Lock()
		seen := slices.Clone(l.seen)
		l.mu.Unlock()
		if i == len(seen) {
			return seen
		}
		// How it ended is in its history.
		if err := l.client.GetWorkflow(ctx, seen[i].ID, seen[i].RunID).Get(ctx, nil); errors.Is(err, context.DeadlineExceeded) {
			l.t.Fatalf("%s did not end: %q", seen[i].ID, l.log())
		}
	}
}

// finish waits until the funnel and all that it started have ended.
func (l *laboratory) finish() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	if err := l.client.GetWorkflow(ctx, l.funnel(), "").Get(ctx, nil); err != nil {
		l.t.Fatalf("the funnel ended with %v: %q", err, l.log())
	}
	l.closed()
}

func (l *laboratory) funnel() string {
	return DatabaseID(l.installation, orders.Namespace, orders.Name)
}

// histories fetches and scrubs the histories of all executions, by the names of their fixtures.
func (l *laboratory) histories() map[string]*history.History {
	l.t.Helper()
	seen := l.closed()
	s := newScrubber(seen)
	out := map[string]*history.History{}
	for _, e := range seen {
		h := &history.History{}
		events := l.client.GetWorkflowHistory(l.t.Context(), e.ID, e.RunID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				l.t.Fatal(err)
			}
			h.Events = append(h.Events, event)
		}
		s.scrub(h)
		out[fixtureName(out, e.ID, h)] = h
	}
	return out
}

// fixtureName is like ProvisionRegion-ankara, or ApplyRun-2 for the second execution of that kind.
func fixtureName(taken map[string]*history.History, id string, h *history.History) string {
	name := h.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName()
	if name == NameProvisionRegion {
		name += "-" + id[strings.LastIndex(id, "/")+1:]
	}
	out := name
	for n := 2; taken[out] != nil; n++ {
		out = fmt.Sprintf("%s-%d", name, n)
	}
	return out
}

// cancel asks a run's workflow to end, as an operator does.
func (l *laboratory) cancel(run string) {
	l.t.Helper()
	if err := l.client.CancelWorkflow(l.t.Context(), RunID(l.installation, run), ""); err != nil {
		l.t.Fatal(err)
	}
}

// terminate ends a run's workflow at once, as an operator does.
func (l *laboratory) terminate(run string) {
	l.t.Helper()
	if err := l.client.TerminateWorkflow(l.t.Context(), RunID(l.installation, run), "", "an operator ended it"); err != nil {
		l.t.Fatal(err)
	}
}
