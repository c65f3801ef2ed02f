package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
)

// drift gives each open check its workflow, ends one whose workflow was ended from outside, and asks for another check where an apply was done
// since drift was found.
func (r *Reconciler) drift(ctx context.Context) error {
	open, err := r.catalog.OpenDrifts(ctx)
	if err != nil {
		return err
	}
	for _, check := range open {
		if err := r.driftOf(ctx, check); err != nil {
			r.logger.Warn("reconcile check", "check", check.ID, "error", err)
		}
	}
	due, err := r.catalog.DueAgain(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, incarnation := range due {
		_, err := r.catalog.BeginDrift(ctx, catalog.DriftCheck{Incarnation: incarnation, Reason: catalog.DriftAfterRun, Actor: "meridian"})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *Reconciler) driftOf(ctx context.Context, check catalog.DriftCheck) error {
	if err := r.driftLocations(ctx, check.ID); err != nil {
		return err
	}
	if check.Workflow == "" {
		return r.waker.drift(ctx, check)
	}
	d, err := r.waker.temporal.DescribeWorkflowExecution(ctx, check.Workflow, "")
	if notFound(err) { // Temporal's file was lost
		return r.waker.drift(ctx, check)
	}
	if err != nil {
		return fmt.Errorf("describing %s: %w", check.Workflow, err)
	}
	switch d.GetWorkflowExecutionInfo().GetStatus() {
	case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return nil
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return r.waker.drift(ctx, check)
	}
	check.Outcome, check.Message = catalog.DriftUnknown, "its workflow was ended from outside; check again"
	return r.catalog.EndDrift(ctx, check)
}

// driftLocations starts the workers that a check's regions need.
func (r *Reconciler) driftLocations(ctx context.Context, check string) error {
	locations, err := r.acts.DriftLocations(ctx, check)
	if err != nil {
		return err
	}
	for _, l := range locations {
		if err := r.workers.EnsureLocation(l); err != nil {
			return err
		}
	}
	return nil
}

// drift starts the workflow of a check, or finds it at work.
func (w *waker) drift(ctx context.Context, check catalog.DriftCheck) error {
	id := workflows.DriftID(w.installation, check.ID)
	_, err := w.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.Queue(w.installation), WorkflowTaskTimeout: w.timing.WorkflowTaskTimeout, WorkflowExecutionTimeout: workflows.GiveUpCheck,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:            "check for drift, " + check.Reason,
	}, workflows.NameDriftCheck, workflows.DriftInput{
		Contract: activities.ContractVersion, Installation: w.installation, Incarnation: check.Incarnation, Check: check.ID, Reason: check.Reason,
	})
	if err != nil {
		return fmt.Errorf("waking %s: %w", id, err)
	}
	return nil
}
