package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"meridian/orchestrator"
	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/stacks"
)

// gates hold activities of one database before they begin, so that a test can act in a phase for as long as it needs.
type gates struct {
	interceptor.WorkerInterceptorBase
	m *meridian // set before anything is submitted

	mu   sync.Mutex
	held map[string]chan struct{} // by database and activity
	here map[string]int           // executions that wait at a gate
}

func newGates() *gates { return &gates{held: map[string]chan struct{}{}, here: map[string]int{}} }

// hold holds an activity of a database until release.
func (g *gates) hold(database, name string) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, gate := database+" "+name, make(chan struct{})
	g.held[key], g.here[key] = gate, 0
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.held[key] == gate {
			delete(g.held, key)
		}
		close(gate)
	})
}

// arrived says nothing once an execution waits at the gate.
func (g *gates) arrived(database, name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.here[database+" "+name] == 0 {
		return errNotYet
	}
	return nil
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (g *gates) InterceptActivity(ctx context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &gated{g: g}
	in.Next = next
	return in
}

type gated struct {
	interceptor.ActivityInboundInterceptorBase
	g *gates
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (i *gated) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	if parts := strings.Split(info.WorkflowExecution.ID, "/"); parts[0] == "run" && len(parts) > 2 {
		if run, err := i.g.m.catalog.Run(ctx, parts[2]); err == nil {
			i.g.wait(ctx, run.Name+" "+info.ActivityType.Name)
		}
	}
	return i.Next.ExecuteActivity(ctx, in)
}

func (g *gates) wait(ctx context.Context, key string) {
	g.mu.Lock()
	gate := g.held[key]
	if gate != nil {
		g.here[key]++
	}
	g.mu.Unlock()
	if gate == nil {
		return
	}
	beat := time.NewTicker(timing().Heartbeat / 8)
	defer beat.Stop()
	for {
		select {
		case <-gate:
			return
		case <-ctx.Done():
			return
		case <-activity.GetWorkerStopChannel(ctx):
			return
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}

// What an operator can do to an execution in Temporal's UI.
const (
	verbTerminate = "terminate"
	verbCancel    = "cancel"
	verbReset     = "reset"
)

// do does it. An execution that has ended, or was never started, is no trouble: then there is nothing to do it to.
func (m *meridian) do(verb, workflow string) {
	m.site.t.Helper()
	ctx := context.Background()
	var err error
	switch verb {
	case verbTerminate:
		err = m.sdk.TerminateWorkflow(ctx, workflow, "", "test")
	case verbCancel:
		err = m.sdk.CancelWorkflow(ctx, workflow, "")
	case verbReset:
		err = m.reset(ctx, workflow)
	}
	var gone *serviceerror.NotFound
	if err != nil && !errors.As(err, &gone) {
		m.site.t.Errorf("%s of %s: %v", verb, workflow, err)
	}
}

// reset takes an execution back to its first workflow task.
func (m *meridian) reset(ctx context.Context, workflow string) error {
	d, err := m.sdk.DescribeWorkflowExecution(ctx, workflow, "")
	if err != nil {
		return err
	}
	execution := &common.WorkflowExecution{WorkflowId: workflow, RunId: d.GetWorkflowExecutionInfo().GetExecution().GetRunId()}
	history := m.sdk.GetWorkflowHistory(ctx, workflow, execution.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		e, err := history.Next()
		if err != nil {
			return err
		}
		if e.GetEventType() != enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			continue
		}
		_, err = m.sdk.WorkflowService().ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
			Namespace: m.temporal.Namespace(), WorkflowExecution: execution, Reason: "test",
			WorkflowTaskFinishEventId: e.GetEventId(), RequestId: uuid.NewString(),
		})
		return err
	}
	return nil // nothing has been decided yet
}

// over is an error while an execution is open.
func (m *meridian) over(workflow string) error {
	d, err := m.sdk.DescribeWorkflowExecution(context.Background(), workflow, "")
	if err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		err = errNotYet
	}
	return err
}

// whom names the executions of a run: its funnel, its own, and its regions'.
func (m *meridian) whom(run orchestrator.RunView) map[string]string {
	installation, err := m.catalog.Installation(context.Background())
	if err != nil {
		m.site.t.Fatal(err)
	}
	return map[string]string{
		"funnel": workflows.DatabaseID(installation, run.Namespace, run.Name),
		"run":    workflows.RunID(installation, run.ID),
		"region": workflows.RegionID(installation, run.ID, "istanbul"),
	}
}

// meddled is one case: what is done to which execution in which phase, and how the run may end then.
type meddled struct{ verb, whom string }

// ends lists how a run may end. A funnel is only a funnel, and what is reset goes on from the rows; a run that has lost its own
// execution, or a region's, says so.
func (c meddled) ends(awaiting bool) []stacks.Phase {
	switch {
	case c.whom == "funnel" || awaiting:
		return []stacks.Phase{stacks.PhaseDone}
	case c.verb == verbReset && c.whom == "run":
		return []stacks.Phase{stacks.PhaseDone}
	case c.verb == verbReset: // a region's execution that is reset is another one to its run
		return []stacks.Phase{stacks.PhaseDone, stacks.PhaseFailed}
	}
	return []stacks.Phase{stacks.PhaseFailed}
}

// meddlings are all of them, for the executions that a phase has.
func meddlings(whom ...string) []meddled {
	var out []meddled
	for _, w := range whom {
		for _, v := range []string{verbTerminate, verbCancel, verbReset} {
			out = append(out, meddled{v, w})
		}
	}
	return out
}

// heldAt is the activity at whose gate a run is in the middle of a phase.
var heldAt = map[stacks.Phase]string{
	stacks.PhasePlanning: activities.NamePlanStack, stacks.PhaseApplying: activities.NameApplyStack, stacks.PhaseLinking: activities.NameCheckLink,
	stacks.PhaseUnlinking: activities.NameRemoveLink,
}

// TestOperatorDoesAnything terminates, cancels and resets the funnel, the run and a region in each phase of an apply and of a destroy,
// awaiting included. Every run comes to its end or says what happened and goes on with the next one, and nothing is ever applied twice: each
// change that was asked for was made once.
func TestOperatorDoesAnything(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	g := newGates()
	m := s.start(g)
	g.m = m
	phases := map[stacks.Phase][]meddled{
		stacks.PhasePlanning:  meddlings("funnel", "run"),
		stacks.PhaseAwaiting:  meddlings("funnel", "run"),
		stacks.PhaseApplying:  meddlings("funnel", "run", "region"),
		stacks.PhaseLinking:   meddlings("funnel", "run"),
		stacks.PhaseUnlinking: meddlings("funnel", "run"),
	}
	t.Run("phases", func(t *testing.T) {
		for phase, cases := range phases {
			t.Run(string(phase), func(t *testing.T) {
				t.Parallel()
				m.meddle(t, g, phase, cases)
			})
		}
	})
	if !t.Failed() {
		m.nothingLeft()
	}
	m.close()
}

// meddle makes a database and goes through the cases of one phase with it, then destroys it.
func (m *meridian) meddle(t *testing.T, g *gates, phase stacks.Phase, cases []meddled) {
	name := "in-" + string(phase)
	changes := 0
	spec := func() string {
		return orders(name, `max_connections: "50"`, fmt.Sprintf(`max_connections: "%d"`, 50+changes))
	}
	submit := func(yes bool) orchestrator.RunView {
		res, err := m.Submit(context.Background(), orchestrator.SubmitRequest{
			Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec()}}, Yes: yes, Actor: "test",
		})
		if err != nil {
			t.Errorf("%s: submit: %v", name, err)
			return orchestrator.RunView{}
		}
		return res.Runs[0]
	}
	// rest waits until the run comes to rest; it is zero where it does not.
	rest := func(c meddled, id string) (v orchestrator.RunView) {
		deadline := time.After(patience)
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		for {
			v, err := m.Run(context.Background(), id)
			if err == nil && (v.Phase.Ended() || v.Phase == stacks.PhaseAwaiting && !v.Approved) {
				return v
			}
			select {
			case <-again.C:
			case <-deadline:
				t.Errorf("%s, %s of the %s: the run is stuck in %s, %v\n%s", name, c.verb, c.whom, v.Phase, err, m.runLog(id))
				return orchestrator.RunView{}
			}
		}
	}
	finish := func(c meddled, run orchestrator.RunView) bool {
		v := rest(c, run.ID)
		if v.Phase == stacks.PhaseAwaiting {
			if _, err := m.Approve(context.Background(), v.ID, v.PlanDigest, "test"); err != nil {
				t.Errorf("%s: approve: %v", name, err)
				return false
			}
			v = rest(c, run.ID)
		}
		if v.Phase != stacks.PhaseDone {
			t.Errorf("%s, %s of the %s: the next run is %s (%s): %s\n%s", name, c.verb, c.whom, v.Phase, v.Reason, v.Message, m.runLog(v.ID))
		}
		return v.Phase == stacks.PhaseDone
	}
	if !finish(meddled{}, submit(true)) {
		return
	}
	destroying := phase == stacks.PhaseUnlinking
	for _, c := range cases {
		changes++
		var run orchestrator.RunView
		release := func() {}
		if at := heldAt[phase]; at != "" {
			release = g.hold(name, at)
			if destroying {
				run = m.destroying(name, rest)
			} else {
				run = submit(true)
			}
			m.site.await(fmt.Sprintf("%s arrives at %s", name, at), func() error { return g.arrived(name, at) })
		} else {
			run = submit(false)
			if v := rest(c, run.ID); v.Phase != stacks.PhaseAwaiting {
				t.Errorf("%s: the run is %s: %s", name, v.Phase, v.Message)
				return
			}
			// The row says so a moment before the execution has ended; what is done to it until then is done to a run that plans.
			m.site.await(name+" has no execution while it awaits its yes", func() error { return m.over(m.whom(run)["run"]) })
		}
		m.do(c.verb, m.whom(run)[c.whom])
		if phase == stacks.PhaseAwaiting {
			v := rest(c, run.ID)
			if v.Phase != stacks.PhaseAwaiting {
				t.Errorf("%s, %s of the %s: the run is %s, want it to await its yes still: %s", name, c.verb, c.whom, v.Phase, v.Message)
			}
			if _, err := m.Approve(context.Background(), run.ID, v.PlanDigest, "test"); err != nil {
				t.Errorf("%s: approve: %v", name, err)
			}
		}
		ends := c.ends(phase == stacks.PhaseAwaiting)
		if c.whom == "run" && slices.Equal(ends, []stacks.Phase{stacks.PhaseFailed}) {
			if v := rest(c, run.ID); v.Phase != stacks.PhaseFailed { // while its step is still held
				t.Errorf("%s, %s of the %s: the run is %s, want failed", name, c.verb, c.whom, v.Phase)
			}
		}
		release()
		v := rest(c, run.ID)
		if !slices.Contains(ends, v.Phase) {
			t.Errorf("%s, %s of the %s: the run is %s (%s), want one of %v: %s\n%s", name, c.verb, c.whom, v.Phase, v.Reason, ends, v.Message, m.runLog(v.ID))
			return
		}
		if v.Phase == stacks.PhaseFailed && !strings.Contains(v.Message, "ended from outside") {
			t.Errorf("%s, %s of the %s: it says %q", name, c.verb, c.whom, v.Message)
		}
		t.Logf("%s, %s of the %s: %s", name, c.verb, c.whom, v.Phase)
		if destroying && v.Phase == stacks.PhaseDone {
			changes = 0
		}
		if v.Phase == stacks.PhaseFailed && !destroying || destroying && v.Phase == stacks.PhaseDone {
			if !finish(c, submit(true)) {
				return
			}
		}
	}
	for region, ops := range m.opsOf(name) {
		if n := strings.Count(ops, "create begin"); !destroying && n != 1 {
			t.Errorf("%s in %s was created %d times: %s", name, region, n, ops)
		}
		if n := strings.Count(ops, "update begin"); !destroying && n != changes {
			t.Errorf("%s in %s was updated %d times for %d changes: %s", name, region, n, changes, ops)
		}
		if creates, deletes := strings.Count(ops, "create begin"), strings.Count(ops, "delete begin"); destroying && creates != deletes+1 {
			t.Errorf("%s in %s was created %d times and deleted %d times, and it stands: %s", name, region, creates, deletes, ops)
		}
	}
	run := m.destroying(name, rest)
	if v := rest(meddled{"end", "story"}, run.ID); v.Phase != stacks.PhaseDone {
		t.Errorf("%s: its destruction is %s: %s", name, v.Phase, v.Message)
	}
}

// destroying asks for the destruction of a database and approves it.
func (m *meridian) destroying(name string, rest func(meddled, string) orchestrator.RunView) orchestrator.RunView {
	v, err := m.Destroy(context.Background(), stacks.DefaultNamespace, name, "test")
	if err == nil {
		v = rest(meddled{"destroy", "database"}, v.ID)
		_, err = m.Approve(context.Background(), v.ID, v.PlanDigest, "test")
	}
	if err != nil {
		m.site.t.Errorf("destroy %s: %v", name, err)
	}
	return v
}

// await is eventually for a test's own goroutines, which may not end it: it says so and goes on.
func (s *site) await(what string, f func() error) {
	s.t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			s.t.Errorf("%s: %v", what, err)
			return
		}
	}
}

// opsOf is ops for one database of several.
func (m *meridian) opsOf(name string) map[string]string {
	out := map[string]string{}
	for _, l := range m.site.ledger() {
		if home := l.DataDir; strings.Contains(home, "."+name+".") {
			out[regionOf(home)] += l.Op + " " + l.Phase + ", "
		}
	}
	return out
}
