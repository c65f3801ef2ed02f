package workflows

import (
	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// toIstanbul is the link of the two-region database.
const toIstanbul = "ankara-istanbul"

// work is the work on these regions, all of location local.
func work(w activities.RegionWork, regions ...string) []activities.RegionWork {
	out := make([]activities.RegionWork, 0, len(regions))
	for _, r := range regions {
		w.Region, w.Location = r, "local"
		out = append(out, w)
	}
	return out
}

func phase(p stacks.Phase) activities.StepResult { return activities.StepResult{Phase: p} }

func planning(regions ...string) activities.StepResult {
	return activities.StepResult{Phase: stacks.PhasePlanning, Regions: work(activities.RegionWork{}, regions...)}
}

func applying(regions ...string) activities.StepResult {
	return activities.StepResult{Phase: stacks.PhaseApplying, Regions: work(activities.RegionWork{Changed: true}, regions...)}
}

func unchanged(regions ...string) activities.StepResult {
	return activities.StepResult{Phase: stacks.PhaseApplying, Regions: work(activities.RegionWork{}, regions...)}
}

func removing(regions ...string) activities.StepResult {
	return activities.StepResult{Phase: stacks.PhaseApplying, Regions: work(activities.RegionWork{Changed: true, Destroy: true}, regions...)}
}

func linking(links ...string) activities.StepResult {
	return activities.StepResult{Phase: stacks.PhaseLinking, Links: links}
}

func unlinking(links ...string) activities.StepResult {
	return activities.StepResult{Phase: stacks.PhaseUnlinking, Links: links}
}

func apply(run string, steps ...activities.StepResult) *story {
	return &story{run: run, kind: stacks.RunApply, steps: steps}
}

func destroy(run string, steps ...activities.StepResult) *story {
	return &story{run: run, kind: stacks.RunDestroy, steps: steps}
}

// create is the story of a new database in two regions with a link.
func create(run string) *story {
	return apply(run, planning("ankara", "istanbul"), applying("ankara", "istanbul"), linking(toIstanbul), phase(stacks.PhaseDone))
}
