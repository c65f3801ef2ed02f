package activities

import (
	"context"
	"fmt"
	"slices"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// order writes into each region's work which of the others come to their end first: a region that joins others is made after them, and
// removed before them.
func (a *Activities) order(ctx context.Context, run catalog.Run, spec stacks.Database, work []RegionWork) error {
	for i := range work {
		after, err := a.before(ctx, run, spec, work[i].Region, work[i].Destroy)
		if err != nil {
			return err
		}
		for _, name := range after {
			if slices.ContainsFunc(work, func(w RegionWork) bool { return w.Region == name }) {
				work[i].After = append(work[i].After, name)
			}
		}
	}
	return nil
}

// before lists the regions of a run that come to their end before one of them.
func (a *Activities) before(ctx context.Context, run catalog.Run, spec stacks.Database, region string, destroy bool) ([]string, error) {
	if !destroy {
		return spec.MadeAfter(region), nil
	}
	var out []string
	for _, r := range run.Regions {
		if !r.Destroy {
			continue
		}
		of, _, _, err := a.define(ctx, run, spec, r.Region)
		if err != nil {
			return nil, err
		}
		if slices.Contains(of.MadeAfter(r.Region), region) {
			out = append(out, r.Region)
		}
	}
	return out, nil
}

// notYet says why a region cannot be applied though it is its turn: one that comes before it has not come to a good end. again says that
// this may still come true in this run.
func (a *Activities) notYet(ctx context.Context, w work) (why string, again bool, err error) {
	before, err := a.before(ctx, w.run, w.spec, w.row.Region, w.row.Destroy)
	if err != nil {
		return "", false, err
	}
	for _, r := range w.run.Regions {
		if !slices.Contains(before, r.Region) {
			continue
		}
		switch r.Phase {
		case stacks.RegionReady, stacks.RegionRemoved:
		case stacks.RegionFailed, stacks.RegionCancelled:
			if w.row.Destroy {
				return fmt.Sprintf("region %s, which depends on it, is not removed", r.Region), false, nil
			}
			return fmt.Sprintf("region %s, which it joins, is not ready", r.Region), false, nil
		default:
			return "it waits for region " + r.Region, true, nil
		}
	}
	return "", false, nil
}
