package orchestrator

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"meridian/persistence/catalog"
)

// stuckAttempts is from which attempt on a workflow task is looked at: the first may fail for a worker that was killed.
const stuckAttempts = 2

// temporalNamespace is Temporal's namespace of every Meridian, as persistence/temporal makes it.
const temporalNamespace = "meridian"

// unstick looks whether an execution of a run, or one of its regions, cannot go on: because this version's workflows order things in another
// way than those that wrote its history, or because the clock was set back and one of its timers is of a day that is yet to come. Such an execution is taken back to its beginning, from where it reads its rows: nothing is lost,
// for a workflow knows nothing that a row does not say.
func (r *Reconciler) unstick(ctx context.Context, run catalog.Run, d *workflowservice.DescribeWorkflowExecutionResponse) error {
	if d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return nil
	}
	execution := d.GetWorkflowExecutionInfo().GetExecution()
	if waitsForYesterday(r.clock.Wall(), d.GetPendingActivities()) && r.once(execution.GetWorkflowId()) {
		first, err := r.firstTask(ctx, execution)
		if err != nil || first == 0 {
			return err
		}
		return r.beginAgain(ctx, run, execution, first, "a timer of it is far ahead: the clock was set back")
	}
	if d.GetPendingWorkflowTask().GetAttempt() >= stuckAttempts {
		stuck, first, err := r.cannotReplay(ctx, execution)
		if err != nil {
			return err
		}
		if stuck {
			return r.beginAgain(ctx, run, execution, first, "its history was written by another version of Meridian and cannot be replayed by this one")
		}
	}
	for _, child := range d.GetPendingChildren() {
		region, err := r.waker.temporal.DescribeWorkflowExecution(ctx, child.GetWorkflowId(), child.GetRunId())
		if notFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("describing %s: %w", child.GetWorkflowId(), err)
		}
		if err := r.unstick(ctx, run, region); err != nil {
			return err
		}
	}
	return nil
}

// cannotReplay reports whether the newest failure of an execution's workflow task says that its history is not this version's, and where its
// first task was completed.
func (r *Reconciler) cannotReplay(ctx context.Context, execution *common.WorkflowExecution) (stuck bool, first int64, err error) {
	history := r.waker.temporal.GetWorkflowHistory(ctx, execution.GetWorkflowId(), execution.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		e, err := history.Next()
		if err != nil {
			return false, 0, fmt.Errorf("history of %s: %w", execution.GetWorkflowId(), err)
		}
		switch e.GetEventType() {
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			stuck = false
			if first == 0 {
				first = e.GetEventId()
			}
		case enums.EVENT_TYPE_WORKFLOW_TASK_FAILED:
			stuck = e.GetWorkflowTaskFailedEventAttributes().GetCause() == enums.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
		}
	}
	return stuck && first > 0, first, nil
}

// farAhead is how far ahead the next try of a step may be: none waits for longer than a minute (workflows/options.go).
const farAhead = 3 * time.Minute

// waitsForYesterday reports whether a step waits for a moment that the clock, which was set back, will see again in hours only. It is pure.
func waitsForYesterday(now time.Time, pending []*workflow.PendingActivityInfo) bool {
	return slices.ContainsFunc(pending, func(p *workflow.PendingActivityInfo) bool {
		next := p.GetNextAttemptScheduleTime() // of one that waits for its next try
		if p.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED {
			next = p.GetLastHeartbeatTime() // its timeout counts from there; who lives beats again at once
		}
		return next.IsValid() && next.AsTime().Sub(now) > farAhead
	})
}

// once reports whether an execution was not taken back for its timers within the last minutes: what was set after that is right.
func (r *Reconciler) once(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Awake()
	maps.DeleteFunc(r.anew, func(_ string, at time.Duration) bool { return now-at > farAhead })
	if _, lately := r.anew[id]; lately {
		return false
	}
	r.anew[id] = now
	return true
}

// firstTask is where the first task of an execution was completed, 0 where none was.
func (r *Reconciler) firstTask(ctx context.Context, execution *common.WorkflowExecution) (int64, error) {
	history := r.waker.temporal.GetWorkflowHistory(ctx, execution.GetWorkflowId(), execution.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		e, err := history.Next()
		if err != nil {
			return 0, fmt.Errorf("history of %s: %w", execution.GetWorkflowId(), err)
		}
		if e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			return e.GetEventId(), nil
		}
	}
	return 0, nil
}

// beginAgain resets an execution to its first workflow task.
func (r *Reconciler) beginAgain(ctx context.Context, run catalog.Run, execution *common.WorkflowExecution, first int64, why string) error {
	_, err := r.waker.temporal.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: temporalNamespace, WorkflowExecution: execution, WorkflowTaskFinishEventId: first, Reason: why, RequestId: uuid.NewString(),
	})
	if err != nil {
		return fmt.Errorf("starting %s anew: %w", execution.GetWorkflowId(), err)
	}
	r.logger.Warn("a workflow starts anew from its rows", "workflow", execution.GetWorkflowId(), "reason", why)
	return r.catalog.AppendLog(ctx, catalog.LogLine{
		Run: run.ID, Level: slog.LevelWarn.String(), Text: "the workflow " + execution.GetWorkflowId() + " starts anew from its rows: " + why,
	})
}
