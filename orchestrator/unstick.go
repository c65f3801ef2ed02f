package orchestrator

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"meridian/persistence/catalog"
)

// stuckAttempts is from which attempt on a workflow task is looked at: the first may fail for a worker that was killed.
const stuckAttempts = 2

// temporalNamespace is Temporal's namespace of every Meridian, as persistence/temporal makes it.
const temporalNamespace = "meridian"

// unstick looks whether an execution of a run, or one of its regions, cannot go on because this version's workflows order things in another
// way than those that wrote its history. Such an execution is taken back to its beginning, from where it reads its rows: nothing is lost,
// for a workflow knows nothing that a row does not say.
func (r *Reconciler) unstick(ctx context.Context, run catalog.Run, d *workflowservice.DescribeWorkflowExecutionResponse) error {
	if d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return nil
	}
	execution := d.GetWorkflowExecutionInfo().GetExecution()
	if d.GetPendingWorkflowTask().GetAttempt() >= stuckAttempts {
		stuck, first, err := r.cannotReplay(ctx, execution)
		if err != nil {
			return err
		}
		if stuck {
			return r.beginAgain(ctx, run, execution, first)
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

// beginAgain resets an execution to its first workflow task.
func (r *Reconciler) beginAgain(ctx context.Context, run catalog.Run, execution *common.WorkflowExecution, first int64) error {
	const why = "its history was written by another version of Meridian and cannot be replayed by this one"
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
