package activities

import (
	"fmt"
	"strings"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// notAllowed lists what a planned run would destroy of what holds data because its spec changed, in a region that stays and that the spec
// does not name in allowReplace. What the world made necessary (a resource that is half made) is asked about, not refused. It is pure.
func notAllowed(run catalog.Run, spec stacks.Database) []stacks.Diagnostic {
	if run.Kind != stacks.RunApply {
		return nil
	}
	var out []stacks.Diagnostic
	for _, r := range run.Regions {
		if r.Phase != stacks.RegionPlanned || r.Destroy || spec.ReplaceAllowed(r.Region) {
			continue
		}
		for _, c := range r.Changes {
			if c.Dangerous() && ordered(c) {
				out = append(out, stacks.Diagnostic{
					Severity: stacks.SeverityError, Rule: "region.replaced", Field: "region " + r.Region, Address: c.Address,
					Summary: fmt.Sprintf("the change %s %s in %s, which holds data", danger(c.Action), c.Address, r.Region), Detail: forcedBy(c),
					Next: fmt.Sprintf("take the change back, or allow the loss for once with spec.allowReplace: [%s]", r.Region),
				})
			}
		}
	}
	return out
}

// ordered reports whether a change follows from the configuration. These are terraform's own words for what does not.
func ordered(c stacks.Change) bool {
	return c.Reason != "replace_because_tainted" && c.Reason != "tainted"
}

func forcedBy(c stacks.Change) string {
	var paths []string
	for _, a := range c.Attributes {
		if a.Forces {
			paths = append(paths, a.Path)
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return "another " + strings.Join(paths, ", ") + " forces it"
}
