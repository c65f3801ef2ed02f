package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
	"meridian/stacks"
)

// waker starts or signals the workflow of a row. Doing it twice is harmless; losing it costs until the reconciler's next look.
type waker struct {
	temporal     client.Client
	installation string
	timing       stacks.Timing
}

// wake wakes what works on a run: its database's funnel, or its own workflow if it is a check.
func (w *waker) wake(ctx context.Context, run catalog.Run) error {
	if run.Kind == stacks.RunCheck {
		return w.check(ctx, run)
	}
	id := workflows.DatabaseID(w.installation, run.Namespace, run.Name)
	_, err := w.temporal.SignalWithStartWorkflow(ctx, id, workflows.SignalWake, nil, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.Queue(w.installation), WorkflowTaskTimeout: w.timing.WorkflowTaskTimeout,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         "funnel of " + run.Namespace + "/" + run.Name,
		TypedSearchAttributes: attributes(run, workflows.NameDatabase),
	}, workflows.NameDatabase, workflows.DatabaseInput{
		Contract: activities.ContractVersion, Installation: w.installation, Namespace: run.Namespace, Name: run.Name,
	})
	if err != nil {
		return fmt.Errorf("waking %s: %w", id, err)
	}
	return nil
}

func (w *waker) check(ctx context.Context, run catalog.Run) error {
	id := workflows.RunID(w.installation, run.ID)
	_, err := w.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.Queue(w.installation), WorkflowTaskTimeout: w.timing.WorkflowTaskTimeout,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:            "check of " + run.Namespace + "/" + run.Name,
		TypedSearchAttributes:    attributes(run, string(run.Kind)),
	}, workflows.NameCheckRun, workflows.RunInput{
		Contract: activities.ContractVersion, Installation: w.installation, Namespace: run.Namespace, Name: run.Name, Run: run.ID,
	})
	if err != nil {
		return fmt.Errorf("waking %s: %w", id, err)
	}
	return nil
}

func attributes(run catalog.Run, kind string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		workflows.AttrNamespace.ValueSet(run.Namespace), workflows.AttrDatabase.ValueSet(run.Namespace+"/"+run.Name), workflows.AttrKind.ValueSet(kind),
	)
}

func notFound(err error) bool {
	var nf *serviceerror.NotFound
	return errors.As(err, &nf)
}
