package activities

import (
	"context"
	"errors"
	"fmt"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// PlanStack renders, plans and stores the plan of one region. The first artifact for (run, stack digest, state serial) wins.
func (a *Activities) PlanStack(ctx context.Context, in RegionInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhasePlanning); late || err != nil {
		return RegionResult{}, err
	}
	w, err := a.load(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	switch w.row.Phase {
	case stacks.RegionPlanned, stacks.RegionUnchanged:
		return RegionResult{Go: true}, nil
	case stacks.RegionFailed, stacks.RegionCancelled:
		return RegionResult{}, nil
	}
	if w.run.Cancel {
		return RegionResult{}, a.setRegion(ctx, w, stacks.RegionCancelled, "cancelled before it was planned")
	}
	last, err := a.unsettled(ctx, w.stack)
	if err != nil {
		return RegionResult{}, err
	}
	if last != "" && (!settled(w.row, last) || len(w.row.Recovery.Questions()) > 0) {
		return RegionResult{}, nil // SettleStack comes first
	}
	var recovery stacks.Recovery
	if last != "" {
		recovery = w.row.Recovery.Plan()
	}
	if err := a.preflight(ctx, w); err != nil {
		return RegionResult{}, err
	}
	stack, err := a.render(ctx, w)
	if err != nil {
		return RegionResult{}, err
	}
	empty := terraform.EmptyState(w.stack)
	state, err := terraform.ReadState(empty)
	if err != nil {
		return RegionResult{}, fmt.Errorf("empty state of %s: %w", w.stack, err)
	}
	if err := a.Journal.EnsureStack(ctx, w.stack, empty, state.Lineage); err != nil {
		return RegionResult{}, fmt.Errorf("stack %s: %w", w.stack, err)
	}
	head, err := a.Journal.Head(ctx, w.stack)
	if err != nil {
		return RegionResult{}, fmt.Errorf("head of %s: %w", w.stack, err)
	}
	if recovery.Empty() && head.Status == journal.HeadIdle {
		if art, err := a.Journal.FindArtifact(ctx, w.run.ID, w.stack, stack.Digest, head.Serial); err == nil {
			return RegionResult{Go: true}, a.planned(ctx, w, stack.Digest, &art)
		}
	}

	step := journal.Step{
		ID: fmt.Sprintf("%s/%s/plan.%d", w.run.ID, w.row.Region, w.row.Plans+1), Run: w.run.ID, Kind: journal.StepPlan,
		Destroy: w.row.Destroy, Stack: stack, Recovery: recovery,
	}
	if step, err = a.Journal.PutStep(ctx, step); err != nil {
		return RegionResult{}, fmt.Errorf("step %s: %w", step.ID, err)
	}
	err = a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.PlanStep, r.Message = stacks.RegionPlanning, step.ID, ""
		return r
	})
	if err != nil {
		return RegionResult{}, err
	}
	res, err := a.attach(ctx, w, step)
	if err != nil {
		return RegionResult{}, err
	}
	return a.planEnded(ctx, w, step, res)
}

// planEnded writes down how a plan step ended.
func (a *Activities) planEnded(ctx context.Context, w work, step journal.Step, res journal.Result) (RegionResult, error) {
	switch res.Outcome {
	case journal.OutcomeUnchanged:
		if !w.row.Destroy { // a run before this one may have ended between terraform and what it says
			if err := a.putEndpoint(ctx, w); err != nil {
				return RegionResult{}, err
			}
		}
		return RegionResult{Go: true}, a.planned(ctx, w, step.Stack.Digest, nil)
	case journal.OutcomeChanges:
		art, err := a.Journal.Artifact(ctx, res.Artifact)
		if err != nil {
			return RegionResult{}, fmt.Errorf("artifact of %s: %w", step.ID, err)
		}
		return RegionResult{Go: true}, a.planned(ctx, w, step.Stack.Digest, &art)
	}
	phase, plans := stacks.RegionFailed, w.row.Plans
	gone := errors.Is(terraform.ErrorOf(res.Diagnostics), terraform.ErrImportMissing) // it was there when we looked: look again
	again := (res.Retryable || gone || res.Outcome == journal.OutcomeInterrupted) && plans+1 < plansFor(res)
	switch {
	case res.Outcome == journal.OutcomeCancelled:
		phase = stacks.RegionCancelled
	case again:
		phase, plans = stacks.RegionPending, plans+1
	}
	err := a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		if r.PlanStep == step.ID && r.Phase == stacks.RegionPlanning { // else another attempt was faster
			r.Phase, r.Plans, r.Message = phase, plans, failure(res)
			if gone && r.Recovery != nil {
				recovery := *r.Recovery
				recovery.Step = ""
				r.Recovery = &recovery
			}
		}
		return r
	})
	if !again || gone {
		return RegionResult{}, err
	}
	return RegionResult{}, errors.Join(err, fmt.Errorf("planning %s met trouble that may pass: %s", w.row.Region, failure(res)))
}

// planned writes an artifact (nil: nothing changes) into the region's row, unless an attempt that was faster has.
func (a *Activities) planned(ctx context.Context, w work, stackDigest string, art *journal.Artifact) error {
	return a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		if r.Phase != stacks.RegionPending && r.Phase != stacks.RegionPlanning {
			return r
		}
		r.StackDigest, r.Message = stackDigest, ""
		r.Phase, r.Artifact, r.ArtifactDigest, r.Changes = stacks.RegionUnchanged, "", "", nil
		if art != nil {
			r.Phase, r.Artifact, r.ArtifactDigest, r.StateSerial = stacks.RegionPlanned, art.ID, art.Digest, art.StateSerial
			r.Changes = art.Changes
			if r.PlanStep == "" { // planned again, and the plan of before still fits: it is applied by its own step's stack
				r.PlanStep = art.ID
			}
		}
		return r
	})
}
