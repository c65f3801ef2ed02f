package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// Reconciler makes workflows agree with rows: a row that should have a workflow gets one, a workflow without its row ends, and a run
// whose workflow an operator ended is marked so.
type Reconciler struct {
	catalog *catalog.Catalog
	waker   *waker
	workers *Workers
	acts    *activities.Activities
	every   time.Duration
	clock   terraform.Clock
	logger  *slog.Logger

	schedules *schedules

	mu   sync.Mutex
	anew map[string]time.Duration // workflows that were taken back for their timers, and when, by the awake clock
}

// pruneEvery is how often what is kept for a while is looked through: far more often than anything gets too old.
const pruneEvery = time.Hour

// Run reconciles at once and then every ReconcileEvery, until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	if err := r.acts.Sweep(); err != nil {
		r.logger.Warn("sweep", "error", err)
	}
	var pruned time.Time
	for {
		if time.Since(pruned) > pruneEvery {
			if err := r.acts.PruneLogs(); err != nil {
				r.logger.Warn("prune", "error", err)
			}
			if err := r.acts.PruneDrift(ctx); err != nil {
				r.logger.Warn("prune checks for drift", "error", err)
			}
			if err := r.acts.PruneRuns(ctx); err != nil && ctx.Err() == nil {
				r.logger.Warn("prune old runs", "error", err)
			}
			pruned = time.Now()
		}
		if err := r.Once(ctx); err != nil && ctx.Err() == nil {
			r.logger.Warn("reconcile", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Once compares all open runs with their workflows.
func (r *Reconciler) Once(ctx context.Context) error {
	open, err := r.catalog.Runs(ctx, catalog.RunFilter{Open: true})
	if err != nil {
		return fmt.Errorf("open runs: %w", err)
	}
	rows := map[string]bool{}
	for _, run := range open {
		rows[workflows.RunID(r.waker.installation, run.ID)] = true
		if err := r.run(ctx, run); err != nil {
			r.logger.Warn("reconcile run", "run", run.ID, "error", err)
		}
	}
	return errors.Join(r.strays(ctx, rows), r.acts.Adopt(ctx), r.schedules.reconcile(ctx), r.drift(ctx))
}

// run wakes one open run, or ends it where an operator ended its workflow after its row last moved.
func (r *Reconciler) run(ctx context.Context, run catalog.Run) error {
	if err := r.locations(ctx, run); err != nil {
		return err
	}
	if run.Phase == stacks.PhaseAwaiting {
		yes, err := r.catalog.Approved(ctx, run.ID)
		if err != nil || !yes {
			return err
		}
	}
	id := workflows.RunID(r.waker.installation, run.ID)
	d, err := r.waker.temporal.DescribeWorkflowExecution(ctx, id, "")
	switch {
	case notFound(err): // never started, or Temporal's file was lost
	case err != nil:
		return fmt.Errorf("describing %s: %w", id, err)
	default:
		info := d.GetWorkflowExecutionInfo()
		switch info.GetStatus() {
		case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
			return r.unstick(ctx, run, d)
		case enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, enums.WORKFLOW_EXECUTION_STATUS_CANCELED,
			enums.WORKFLOW_EXECUTION_STATUS_FAILED, enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
			if info.GetCloseTime().AsTime().After(run.MovedAt) {
				return r.acts.EndRun(ctx, activities.EndRunInput{Contract: activities.ContractVersion, Run: run.ID, Reason: "WorkflowEnded"})
			}
		}
	}
	if run.Kind != stacks.RunCheck {
		working, err := r.working(ctx, run)
		if err != nil || working {
			return err
		}
	}
	return r.waker.wake(ctx, run)
}

// working reports whether a database's funnel runs: it looks at the rows after each run by itself, and a signal every few seconds while
// one takes hours would fill its history.
func (r *Reconciler) working(ctx context.Context, run catalog.Run) (bool, error) {
	funnel := workflows.DatabaseID(r.waker.installation, run.Namespace, run.Name)
	d, err := r.waker.temporal.DescribeWorkflowExecution(ctx, funnel, "")
	if notFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("describing %s: %w", funnel, err)
	}
	if d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return false, nil
	}
	return true, r.unstick(ctx, run, d)
}

// locations starts the workers that a run's regions need.
func (r *Reconciler) locations(ctx context.Context, run catalog.Run) error {
	locations, err := r.acts.Locations(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("locations of run %s: %w", run.ID, err)
	}
	for _, l := range locations {
		if err := r.workers.EnsureLocation(l); err != nil {
			return err
		}
	}
	return nil
}

// strays ends workflows of ours whose run has ended or is not in the catalog: the store may have been restored older.
func (r *Reconciler) strays(ctx context.Context, rows map[string]bool) error {
	ids, err := r.strayIDs(ctx, rows)
	if err != nil {
		return err
	}
	for id, run := range ids {
		if err := r.stray(ctx, id, run); err != nil {
			r.logger.Warn("stray workflow", "workflow", id, "error", err)
		}
	}
	return nil
}

// strayIDs maps each of our open workflows of runs that is not among these to its run.
func (r *Reconciler) strayIDs(ctx context.Context, rows map[string]bool) (map[string]string, error) {
	out := map[string]string{}
	var page []byte
	for {
		list, err := r.waker.temporal.ListOpenWorkflow(ctx, &workflowservice.ListOpenWorkflowExecutionsRequest{MaximumPageSize: 500, NextPageToken: page})
		if err != nil {
			return nil, fmt.Errorf("listing workflows: %w", err)
		}
		prefix := workflows.RunID(r.waker.installation, "")
		for _, e := range list.GetExecutions() {
			id := e.GetExecution().GetWorkflowId()
			if !strings.HasPrefix(id, prefix) || strings.Contains(strings.TrimPrefix(id, prefix), "/") || rows[id] {
				continue
			}
			out[id] = strings.TrimPrefix(id, prefix)
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return out, nil
		}
	}
}

// stray terminates a workflow unless its row is open by now: the list of workflows is older than the row.
func (r *Reconciler) stray(ctx context.Context, id, run string) error {
	row, err := r.catalog.Run(ctx, run)
	if err == nil && (!row.Phase.Ended() || !r.clock.Past(row.MovedAt, r.every)) {
		return nil
	}
	if err != nil && !isNotFound(err) {
		return err
	}
	r.logger.Info("ending a workflow without an open run", "workflow", id)
	if err := r.waker.temporal.TerminateWorkflow(ctx, id, "", "no open run in the catalog"); err != nil && !notFound(err) {
		return err
	}
	return nil
}
