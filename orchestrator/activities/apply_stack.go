package activities

import (
	"context"
	"errors"
	"fmt"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// ApplyStack applies the region's artifact, once: whether it may is decided in the transaction that takes the fence, never here.
func (a *Activities) ApplyStack(ctx context.Context, in RegionInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseApplying); late || err != nil {
		return RegionResult{}, err
	}
	w, err := a.load(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	switch w.row.Phase {
	case stacks.RegionPlanned, stacks.RegionApplying:
	case stacks.RegionWaiting, stacks.RegionReady, stacks.RegionRemoved:
		return RegionResult{Go: true}, nil
	default:
		return RegionResult{}, nil
	}
	if w.row.Phase == stacks.RegionPlanned {
		why, again, err := a.notYet(ctx, w)
		switch {
		case err != nil:
			return RegionResult{}, err
		case again:
			return RegionResult{}, a.setRegion(ctx, w, stacks.RegionPending, why)
		case why != "":
			return RegionResult{}, a.setRegion(ctx, w, stacks.RegionFailed, why)
		}
	}
	art, err := a.Journal.Artifact(ctx, w.row.Artifact)
	if err != nil {
		return RegionResult{}, fmt.Errorf("artifact of %s: %w", w.stack, err)
	}
	plan, err := a.Journal.Step(ctx, w.row.PlanStep)
	if err != nil {
		return RegionResult{}, fmt.Errorf("plan step of %s: %w", w.stack, err)
	}
	step, err := a.Journal.PutStep(ctx, journal.Step{
		ID: fmt.Sprintf("%s/%s/apply.%d", w.run.ID, w.row.Region, w.row.Plans+1), Run: w.run.ID, Kind: journal.StepApply,
		Destroy: w.row.Destroy && w.row.Second == nil, Stack: plan.Stack, Artifact: art.ID,
	})
	if err != nil {
		return RegionResult{}, fmt.Errorf("apply step of %s: %w", w.stack, err)
	}
	err = a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.ApplyStep, r.Message = stacks.RegionApplying, step.ID, ""
		return r
	})
	if err != nil {
		return RegionResult{}, err
	}
	shown := a.showProgress(ctx, w, step.ID)
	res, err := a.attach(ctx, w, step)
	shown()
	if err != nil {
		return RegionResult{}, err
	}
	return a.applyEnded(ctx, w, step.ID, res)
}

// applyEnded writes down how an apply step ended. A region whose plan went stale, or that met trouble that may pass, is planned again:
// what was applied so far is in its state.
func (a *Activities) applyEnded(ctx context.Context, w work, step string, res journal.Result) (RegionResult, error) {
	set := func(phase stacks.RegionPhase, message string) error {
		return a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
			if r.ApplyStep == step && r.Phase == stacks.RegionApplying { // else a slower attempt, and the region is in a later round
				r.Phase, r.Message = phase, message
			}
			return r
		})
	}
	switch res.Outcome {
	case journal.OutcomeApplied, journal.OutcomeUnchanged:
		if w.row.Second != nil {
			return RegionResult{}, set(stacks.RegionPending, "its protection is lifted; its destruction is planned anew")
		}
		if !w.row.Destroy {
			if err := a.putEndpoint(ctx, w); err != nil {
				return RegionResult{}, err
			}
		}
		return RegionResult{Go: true}, set(stacks.RegionWaiting, "")
	case journal.OutcomeCancelled:
		balance, err := a.balance(ctx, w, step)
		if err != nil {
			return RegionResult{}, err
		}
		return RegionResult{}, set(stacks.RegionCancelled, "terraform was told to stop"+balance)
	case journal.OutcomeInterrupted:
		return RegionResult{}, set(stacks.RegionPending, failure(res))
	}
	if res.Retryable || terraform.PlanAgain(res.Diagnostics) || lookAgain(w.row, res) {
		return RegionResult{}, set(stacks.RegionPending, failure(res))
	}
	return RegionResult{}, set(stacks.RegionFailed, failure(res))
}

// lookAgain reports whether an apply after an interrupted one met something of the name that it wanted to make: a cloud that shows what it
// makes only after a while had not shown what the interrupted one has made.
func lookAgain(row catalog.RunRegion, res journal.Result) bool {
	return row.Recovery != nil && row.Recovery.Anew && errors.Is(terraform.ErrorOf(res.Diagnostics), terraform.ErrExists)
}

// putEndpoint reads the outputs from the newest state and stores where the region answers, unless that is stored already.
func (a *Activities) putEndpoint(ctx context.Context, w work) error {
	reader, err := providers.As[providers.EndpointReader](w.provider)
	if err != nil {
		return err
	}
	state, err := a.Journal.LatestState(ctx, w.stack)
	if err != nil {
		return fmt.Errorf("state of %s: %w", w.stack, err)
	}
	file, err := terraform.ReadState(state.Payload)
	if err != nil {
		return fmt.Errorf("state of %s: %w", w.stack, err)
	}
	in, err := a.moduleInput(ctx, w)
	if err != nil {
		return err
	}
	if err := a.takeSecrets(ctx, w, in, state.Payload); err != nil {
		return err
	}
	endpoint, err := reader.Endpoint(providers.EndpointInput{ModuleInput: in, Outputs: file.Outputs})
	if err != nil {
		return fmt.Errorf("outputs of %s: %w", w.stack, err)
	}
	if endpoint == (stacks.Endpoint{}) {
		if a.Registry.HasDatabase(w.spec.Spec.Engine.Name) {
			return fmt.Errorf("outputs of %s: they do not say where its database answers: %w", w.stack, providers.ErrPermanent)
		}
		return nil
	}
	known, err := a.Catalog.Endpoint(ctx, w.stack)
	if err == nil {
		if _, follows := w.spec.PhysicalSource(w.region.Name); follows {
			endpoint.Secret = known.Secret // its source's: it changes when that has another
		}
	}
	if err := a.tellFollowers(ctx, w, endpoint.Secret); err != nil {
		return err
	}
	if err == nil && known == endpoint {
		return nil
	}
	return a.Catalog.PutEndpoint(ctx, w.stack, endpoint)
}

// tellFollowers lets the regions that are physical replicas of this one, over all steps, be logged in to by the secret that this one has now.
func (a *Activities) tellFollowers(ctx context.Context, w work, secret string) error {
	for _, r := range w.spec.Spec.Regions {
		source, follows := w.spec.PhysicalSource(r.Name)
		if !follows || source.Name != w.region.Name {
			continue
		}
		id := stackID(w.run, r.Name)
		known, err := a.Catalog.Endpoint(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("endpoint of %s: %w", id, err)
		}
		if known.Secret != secret {
			known.Secret = secret
			if err := a.Catalog.PutEndpoint(ctx, id, known); err != nil {
				return fmt.Errorf("endpoint of %s: %w", id, err)
			}
		}
		next := w
		next.region, next.stack = r, id
		if err := a.tellFollowers(ctx, next, secret); err != nil {
			return err
		}
	}
	return nil
}
