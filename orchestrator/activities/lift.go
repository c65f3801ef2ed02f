package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// lifted is what became of the plan that lifts a region's protection.
type lifted struct {
	// planned says that there was such a plan; artifact is nil where nothing has to be lifted.
	planned  bool
	artifact *journal.Artifact
	// stop says that the region's row says why it cannot be planned now.
	stop bool
}

// planLift plans the first of the two steps in which a protected region is destroyed: what protects it is changed in place. Where
// nothing in the state is protected there is no such plan.
func (a *Activities) planLift(ctx context.Context, w work, recovery stacks.Recovery) (lifted, error) {
	if !w.row.Destroy {
		return lifted{}, nil
	}
	lifter, err := providers.As[providers.ProtectionLifter](w.provider)
	if errors.Is(err, errors.ErrUnsupported) {
		return lifted{}, nil
	}
	if err != nil {
		return lifted{}, err
	}
	in, err := a.liftInput(ctx, w)
	if err != nil {
		return lifted{}, err
	}
	lift, err := lifter.LiftProtection(in)
	if err != nil {
		return lifted{}, fmt.Errorf("lifting the protection of %s: %w", w.stack, err)
	}
	targets, err := a.liftTargets(ctx, w, lift, recovery)
	if err != nil || len(targets) == 0 {
		return lifted{}, err
	}
	stack, err := stacks.RenderLift(in.Stack, lift.Call)
	if err != nil {
		return lifted{}, fmt.Errorf("rendering %s: %w", in.Stack, err)
	}
	stack.Memory = launchMemory(w.provider, in.Database.Spec.Engine.Name)
	step := a.planStep(w, "lift", stack, recovery)
	step.Targets = targets
	art, step, res, err := a.plan(ctx, w, step)
	if err != nil {
		return lifted{}, err
	}
	if art == nil {
		if res.Outcome == journal.OutcomeUnchanged {
			return lifted{planned: true}, nil
		}
		_, err := a.planFailed(ctx, w, step, res)
		return lifted{stop: true}, err
	}
	needed, beyond := stacks.Lifting(art.Changes, lift.Types, lift.Attributes)
	switch {
	case !needed:
		return lifted{planned: true}, nil
	case beyond != "":
		return lifted{stop: true}, a.setRegion(ctx, w, stacks.RegionFailed, "lifting its protection would also "+beyond+
			": apply the database first, or lift the protection by hand, then destroy it again")
	}
	return lifted{planned: true, artifact: art}, nil
}

// liftInput is what the lifting is rendered from: the spec that was applied last, so that the lifting changes nothing else.
func (a *Activities) liftInput(ctx context.Context, w work) (providers.ModuleInput, error) {
	in, err := a.moduleInput(ctx, w)
	if err != nil {
		return in, err
	}
	db, err := a.Catalog.Incarnation(ctx, w.run.Incarnation)
	if err != nil || db.Applied == 0 {
		return in, err
	}
	rev, err := a.Catalog.Revision(ctx, w.run.Incarnation, db.Applied)
	if errors.Is(err, catalog.ErrNotFound) {
		return in, nil
	}
	if err != nil {
		return in, fmt.Errorf("revision %d of %s: %w", db.Applied, w.stack, err)
	}
	if region, ok := rev.Effective.Region(w.row.Region); ok {
		in.Database, in.Region = rev.Effective, region
	}
	return in, nil
}

// liftTargets lists what may be protected: the objects of those types that the state has, or that the plan takes into it.
func (a *Activities) liftTargets(ctx context.Context, w work, lift providers.Lift, recovery stacks.Recovery) ([]string, error) {
	state, err := a.Journal.LatestState(ctx, w.stack)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	file, err := terraform.ReadState(state.Payload)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	var out []string
	for _, r := range file.Resources {
		if r.Mode == "managed" && r.Deposed == "" && slices.Contains(lift.Types, r.Type) {
			out = append(out, r.Address)
		}
	}
	for _, in := range recovery.Import {
		if slices.Contains(lift.Types, terraform.ResourceType(in.Address)) {
			out = append(out, in.Address)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
