package activities

import (
	"context"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// todo lists the work of the run's phase.
func (a *Activities) todo(ctx context.Context, run catalog.Run, spec stacks.Database) (StepResult, error) {
	out := StepResult{Phase: run.Phase}
	switch run.Phase {
	case stacks.PhasePlanning, stacks.PhaseApplying:
		for _, r := range run.Regions {
			if done(run.Phase, r.Phase) {
				continue
			}
			location, err := a.location(ctx, run, spec, r.Region)
			if err != nil {
				return out, err
			}
			work := RegionWork{Region: r.Region, Location: location, Destroy: r.Destroy, Changed: r.Artifact != ""}
			if run.Phase == stacks.PhasePlanning && run.Kind != stacks.RunCheck {
				last, err := a.unsettled(ctx, stackID(run, r.Region))
				if err != nil {
					return out, err
				}
				work.Settle = last != "" && !settled(r, last)
			}
			out.Regions = append(out.Regions, work)
		}
		if run.Phase == stacks.PhaseApplying {
			return out, a.order(ctx, run, spec, out.Regions)
		}
	case stacks.PhaseUnlinking, stacks.PhaseLinking:
		links, err := a.links(ctx, run, spec)
		if err != nil {
			return out, err
		}
		work := links.ensure
		if run.Phase == stacks.PhaseUnlinking {
			work = links.remove
		}
		for _, l := range work {
			out.Links = append(out.Links, l.Name())
		}
	}
	return out, nil
}

// done reports whether a region has nothing left to do in a phase.
func done(p stacks.Phase, r stacks.RegionPhase) bool {
	switch r {
	case stacks.RegionFailed, stacks.RegionCancelled, stacks.RegionRemoved, stacks.RegionReady:
		return true
	case stacks.RegionPlanned, stacks.RegionUnchanged:
		return p == stacks.PhasePlanning
	}
	return false
}

// danger is the word that people are asked with.
func danger(a stacks.Action) string {
	switch a {
	case stacks.ActionReplace:
		return "replaces"
	case stacks.ActionForget:
		return "forgets"
	}
	return "destroys"
}
