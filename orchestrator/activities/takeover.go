package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// takeover adds what was there before Meridian, and is in no state yet, to what a plan imports. A region that is removed before it was
// ever taken over stays as it is in the world.
func (a *Activities) takeover(ctx context.Context, w work, imports []stacks.Import) ([]stacks.Import, error) {
	placement, err := a.Catalog.Placement(ctx, w.stack)
	if errors.Is(err, catalog.ErrNotFound) {
		return imports, nil
	}
	if err != nil || placement.Takeover == nil || w.row.Destroy {
		return imports, err
	}
	state, err := a.Journal.LatestState(ctx, w.stack)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	file, err := terraform.ReadState(state.Payload)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	for _, o := range placement.Takeover.Objects {
		known := slices.ContainsFunc(file.Resources, func(r terraform.StateResource) bool { return r.Address == o.Address })
		if !known && !slices.Contains(imports, o) {
			imports = append(imports, o)
		}
	}
	return imports, nil
}

// takeovers are the takeovers of the regions whose plan takes something under control for the first time, by region.
func (a *Activities) takeovers(ctx context.Context, run catalog.Run) (map[string]stacks.Takeover, error) {
	out := map[string]stacks.Takeover{}
	for _, r := range run.Regions {
		if r.Phase != stacks.RegionPlanned || r.Destroy || !slices.ContainsFunc(r.Changes, func(c stacks.Change) bool { return c.Importing }) {
			continue
		}
		placement, err := a.Catalog.Placement(ctx, stackID(run, r.Region))
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if t := placement.Takeover; t != nil && slices.ContainsFunc(r.Changes, t.Takes) {
			out[r.Region] = *t
		}
	}
	return out, nil
}

// takesOver names what a run takes under control: nobody says yes to that in advance.
func takesOver(run catalog.Run, takes map[string]stacks.Takeover) []string {
	var out []string
	for _, r := range run.Regions {
		t, is := takes[r.Region]
		for _, c := range r.Changes {
			if is && t.Takes(c) {
				out = append(out, fmt.Sprintf("takes %s in %s under control", c.Address, r.Region))
			}
		}
	}
	return out
}

// notTaken lists what a plan would change that a takeover may not: it never destroys, replaces or forgets, never sets a password, and
// changes and makes nothing else unless that was asked for. It is pure.
func notTaken(run catalog.Run, takes map[string]stacks.Takeover) []stacks.Diagnostic {
	var out []stacks.Diagnostic
	for _, r := range run.Regions {
		t, is := takes[r.Region]
		if !is {
			continue
		}
		for _, c := range r.Changes {
			why, next := t.Refuses(c)
			if why == "" {
				continue
			}
			out = append(out, stacks.Diagnostic{
				Severity: stacks.SeverityError, Rule: "import.changes", Field: "region " + r.Region, Address: c.Address,
				Summary: fmt.Sprintf("taking over %s would change it: %s", r.Region, why), Detail: strings.Join(t.Refused(c), "\n"), Next: next,
			})
		}
	}
	return out
}
