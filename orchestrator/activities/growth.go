package activities

import (
	"fmt"
	"strconv"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// growths are what the provider of a region raises by itself; none where it does not say, or where the spec has no such region.
func (a *Activities) growths(spec stacks.Database, region string) []stacks.Growth {
	r, ok := spec.Region(region)
	if !ok {
		return nil
	}
	provider, err := a.Registry.Provider(r.Provider)
	if err != nil {
		return nil // the plan says so
	}
	grower, err := providers.As[providers.SelfGrower](provider)
	if err != nil {
		return nil
	}
	return grower.GrowsByItself(spec, r)
}

// shrunk lists what a run's plans would lower of what can only grow: the cloud would refuse it in the middle of the apply. of says it for a region.
// It is pure.
func shrunk(run catalog.Run, of func(region string) []stacks.Growth) []stacks.Diagnostic {
	var out []stacks.Diagnostic
	for _, r := range run.Regions {
		if r.Phase != stacks.RegionPlanned || r.Destroy {
			continue
		}
		for _, g := range stacks.Shrinks(of(r.Region), r.Changes) {
			number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) + " " + g.Unit }
			out = append(out, stacks.Diagnostic{
				Severity: stacks.SeverityError, Rule: "storage.shrinks", Field: g.Field, Address: g.Address,
				Summary: fmt.Sprintf("%s of %s has %s, and the plan would make it %s: it cannot shrink", g.Path, r.Region, number(g.Found), number(g.Want)),
				Next:    fmt.Sprintf("write at least %s as %s", strconv.FormatFloat(g.Found, 'f', -1, 64), g.Field),
			})
		}
	}
	return out
}
