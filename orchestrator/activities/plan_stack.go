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
	if recovery.Import, err = a.takeover(ctx, w, recovery.Import); err != nil {
		return RegionResult{}, err
	}
	lift, err := a.planLift(ctx, w, recovery)
	if err != nil || lift.stop {
		return RegionResult{}, err
	}
	if lift.planned {
		recovery = stacks.Recovery{} // it was put right before that plan
	}
	step := a.planStep(w, "plan", stack, recovery)
	step.Destroy = w.row.Destroy
	art, step, res, err := a.plan(ctx, w, step)
	if err != nil {
		return RegionResult{}, err
	}
	switch {
	case art == nil && res.Outcome != journal.OutcomeUnchanged:
		return a.planFailed(ctx, w, step, res)
	case art == nil && !w.row.Destroy: // a run before this one may have ended between terraform and what it says
		if err := a.putEndpoint(ctx, w); err != nil {
			return RegionResult{}, err
		}
	}
	return RegionResult{Go: true}, a.planned(ctx, w, step.Stack.Digest, art, lift.artifact)
}

// planStep is a step that plans a stack in this round of the region's plans.
func (a *Activities) planStep(w work, name string, stack stacks.Stack, recovery stacks.Recovery) journal.Step {
	return journal.Step{
		ID: fmt.Sprintf("%s/%s/%s.%d", w.run.ID, w.row.Region, name, w.row.Plans+1), Run: w.run.ID, Kind: journal.StepPlan,
		Stack: stack, Recovery: recovery,
	}
}

// plan runs a plan step, unless an earlier one of the run still fits. Where there is no artifact, the result says why.
func (a *Activities) plan(ctx context.Context, w work, step journal.Step) (*journal.Artifact, journal.Step, journal.Result, error) {
	var res journal.Result
	head, err := a.Journal.Head(ctx, w.stack)
	if err != nil {
		return nil, step, res, fmt.Errorf("head of %s: %w", w.stack, err)
	}
	if step.Recovery.Empty() && head.Status == journal.HeadIdle {
		if art, err := a.Journal.FindArtifact(ctx, w.run.ID, w.stack, step.Stack.Digest, head.Serial); err == nil {
			return &art, step, res, nil
		}
	}
	if step, err = a.Journal.PutStep(ctx, step); err != nil {
		return nil, step, res, fmt.Errorf("step %s: %w", step.ID, err)
	}
	err = a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.PlanStep, r.Message = stacks.RegionPlanning, step.ID, ""
		return r
	})
	if err != nil {
		return nil, step, res, err
	}
	if res, err = a.attach(ctx, w, step); err != nil || res.Outcome != journal.OutcomeChanges {
		return nil, step, res, err
	}
	art, err := a.Journal.Artifact(ctx, res.Artifact)
	if err != nil {
		return nil, step, res, fmt.Errorf("artifact of %s: %w", step.ID, err)
	}
	return &art, step, res, nil
}

// planFailed writes down how a plan step ended that made no plan.
func (a *Activities) planFailed(ctx context.Context, w work, step journal.Step, res journal.Result) (RegionResult, error) {
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

// planned writes an artifact (nil: nothing changes) into the region's row, unless an attempt that was faster has. With a plan that lifts a
// protection first, that one is the region's plan, and the other one its second step.
func (a *Activities) planned(ctx context.Context, w work, stackDigest string, art, lift *journal.Artifact) error {
	return a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		if r.Phase != stacks.RegionPending && r.Phase != stacks.RegionPlanning {
			return r
		}
		r.StackDigest, r.Message = stackDigest, ""
		r.Phase, r.Artifact, r.ArtifactDigest, r.Changes, r.Second = stacks.RegionUnchanged, "", "", nil, nil
		if lift != nil {
			r.StackDigest, r.Second = lift.StackDigest, &catalog.SecondStep{StackDigest: stackDigest}
			if art != nil {
				r.Second.ArtifactDigest, r.Second.Changes = art.Digest, art.Changes
			}
			art = lift
		}
		if art != nil {
			r.Phase, r.Artifact, r.ArtifactDigest, r.StateSerial = stacks.RegionPlanned, art.ID, art.Digest, art.StateSerial
			r.Changes, r.PlanStep = art.Changes, art.ID // it is applied by its own step's stack, also where that planned in an earlier round
		}
		return r
	})
}
