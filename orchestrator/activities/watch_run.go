package activities

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"

	"meridian/stacks"
)

// WatchRun waits, heartbeating, until a run that another funnel started has ended, awaits a yes, or has lost its workflow.
func (a *Activities) WatchRun(ctx context.Context, in WatchRunInput) error {
	began := time.Now()
	described := began
	poll := time.NewTicker(5 * a.Timing.AttachPoll)
	defer poll.Stop()
	for {
		run, err := a.Catalog.Run(ctx, in.Run)
		if err != nil {
			return err
		}
		// Its workflow is about to end where the run awaits a yes; if it hangs instead, the funnel must not spin.
		if run.Phase.Ended() || run.Phase == stacks.PhaseAwaiting && time.Since(began) > time.Second {
			return nil
		}
		activity.RecordHeartbeat(ctx)
		if time.Since(described) > time.Second {
			described = time.Now()
			d, err := activity.GetClient(ctx).DescribeWorkflowExecution(ctx, in.Workflow, "")
			if err == nil && d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-activity.GetWorkerStopChannel(ctx):
			return errDetached
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
