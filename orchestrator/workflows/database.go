package workflows

import (
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// runsPerExecution bounds a funnel's history: about ten events a run.
const runsPerExecution = 50

// Database is the funnel of one database: it takes its runs one after another and completes when there is none.
func (s Workflows) Database(ctx workflow.Context, in DatabaseInput) error {
	f := funnel{in: in, timing: s.Timing, wake: workflow.GetSignalChannel(ctx, SignalWake)}
	for range runsPerExecution {
		f.drain()
		run, err := f.next(ctx)
		if err != nil {
			return err
		}
		if run.Run == "" {
			if f.drain() {
				continue
			}
			return nil
		}
		if err := f.work(ctx, run); err != nil {
			return err
		}
	}
	return workflow.NewContinueAsNewError(ctx, NameDatabase, in)
}

type funnel struct {
	in     DatabaseInput
	timing stacks.Timing
	wake   workflow.ReceiveChannel
}

// drain takes the signals that are there and reports whether there was one.
func (f *funnel) drain() bool {
	any := false
	for f.wake.ReceiveAsync(nil) {
		any = true
	}
	return any
}

func (f *funnel) next(ctx workflow.Context) (activities.NextRunResult, error) {
	var out activities.NextRunResult
	err := workflow.ExecuteLocalActivity(light(ctx, f.timing), activities.NameNextRun, activities.DatabaseInput{
		Contract: activities.ContractVersion, Namespace: f.in.Namespace, Name: f.in.Name,
	}).Get(ctx, &out)
	return out, err
}

// work runs one run as a child that outlives this funnel, and waits for it.
func (f *funnel) work(ctx workflow.Context, next activities.NextRunResult) error {
	child, _ := workflow.NewDisconnectedContext(ctx)
	in := RunInput{Contract: activities.ContractVersion, Installation: f.in.Installation, Namespace: f.in.Namespace, Name: f.in.Name, Run: next.Run}
	id := RunID(f.in.Installation, next.Run)
	child = workflow.WithChildOptions(child, workflow.ChildWorkflowOptions{
		WorkflowID:               id,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:        enums.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowTaskTimeout:      f.timing.WorkflowTaskTimeout,
		StaticSummary:            string(next.Kind) + " " + f.in.Namespace + "/" + f.in.Name + ", run " + next.Run,
		TypedSearchAttributes:    runAttributes(in, string(next.Kind)),
		WaitForCancellation:      true,
		WorkflowExecutionTimeout: 0,
	})
	name := NameApplyRun
	if next.Kind == stacks.RunDestroy {
		name = NameDestroyRun
	}
	err := workflow.ExecuteChildWorkflow(child, name, in).Get(child, nil)
	var started *temporal.ChildWorkflowExecutionAlreadyStartedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &started):
		err := workflow.ExecuteActivity(watch(ctx, f.timing), activities.NameWatchRun, activities.WatchRunInput{
			Contract: activities.ContractVersion, Run: next.Run, Workflow: id,
		}).Get(ctx, nil)
		if err != nil && !temporal.IsCanceledError(err) {
			return workflow.Sleep(ctx, time.Second)
		}
		return err
	}
	// The run's workflow was ended by an operator or failed: its row says so before the next run is taken.
	return workflow.ExecuteLocalActivity(light(child, f.timing), activities.NameEndRun, activities.EndRunInput{
		Contract: activities.ContractVersion, Run: next.Run, Reason: "WorkflowEnded",
	}).Get(child, nil)
}

func runAttributes(in RunInput, kind string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		AttrNamespace.ValueSet(in.Namespace), AttrDatabase.ValueSet(in.Namespace+"/"+in.Name), AttrRun.ValueSet(in.Run), AttrKind.ValueSet(kind),
	)
}
