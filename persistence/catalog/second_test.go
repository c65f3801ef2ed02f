package catalog

import (
	"strings"
	"testing"

	"meridian/stacks"
)

// TestTheYesCoversBothSteps: the yes to a plan that lifts a protection is one to the destruction that was shown with it, and to nothing else.
func TestTheYesCoversBothSteps(t *testing.T) {
	off := stacks.Change{Address: "db", Type: "t", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "deletion_protection", Before: "true", After: "false"}}}
	gone := func(address, id string) stacks.Change {
		return stacks.Change{Address: address, Type: "t", Action: stacks.ActionDelete, DataBearing: true, Attributes: []stacks.AttributeChange{{Path: "id", Before: id}}}
	}
	second := &SecondStep{StackDigest: "plain", ArtifactDigest: "d", Changes: []stacks.Change{gone("db", "7"), gone("net", "8")}}
	approved := ApprovedRegion{Region: "ankara", StackDigest: "lift", Changes: []stacks.Change{off}, Second: second}
	alone := approved
	alone.Second = nil
	lifting := func(s SecondStep, changes ...stacks.Change) RunRegion {
		return RunRegion{StackDigest: "lift", Changes: changes, Second: &s}
	}
	destroying := func(changes ...stacks.Change) RunRegion {
		return RunRegion{StackDigest: "plain", Changes: changes}
	}
	larger := off
	larger.Attributes = []stacks.AttributeChange{{Path: "size", Before: "1", After: "2"}}
	for name, c := range map[string]struct {
		yes  ApprovedRegion
		now  RunRegion
		want string
	}{
		"the destruction that was shown":       {approved, destroying(gone("db", "7"), gone("net", "8")), ""},
		"what is left of it":                   {approved, destroying(gone("net", "8")), ""},
		"another object of that address":       {approved, destroying(gone("db", "9")), "another object"},
		"one object more":                      {approved, destroying(gone("db", "7"), gone("disk", "9")), "not part of it"},
		"a destruction that changes":           {approved, destroying(gone("db", "7"), larger), "approved was delete"},
		"a destruction rendered otherwise":     {approved, RunRegion{StackDigest: "lift", Changes: []stacks.Change{gone("db", "7")}}, "rendered otherwise"},
		"the lifting, again":                   {approved, lifting(*second, off), ""},
		"a lifting that does more":             {approved, lifting(*second, larger), "size"},
		"a lifting before another destruction": {approved, lifting(SecondStep{StackDigest: "plain", Changes: []stacks.Change{gone("disk", "9")}}, off), "not part of it"},
		"a lifting before another rendering":   {approved, lifting(SecondStep{StackDigest: "other"}, off), "rendered otherwise"},
		"a lifting that was not shown":         {alone, lifting(*second, off), "lifted first was not part of it"},
		"a destruction that was not shown":     {alone, RunRegion{StackDigest: "lift", Changes: []stacks.Change{gone("db", "7")}}, "approved was update"},
		"what nobody can see":                  {approved, destroying(), "does not show"},
	} {
		t.Run(name, func(t *testing.T) {
			c.now.Region, c.now.Phase = "ankara", stacks.RegionPlanned
			ok, why := ApprovedPlan{Regions: []ApprovedRegion{c.yes}}.Covers(Run{Regions: []RunRegion{c.now}})
			if ok != (c.want == "") || !strings.Contains(why, c.want) {
				t.Errorf("covered: %v, %q; want %q", ok, why, c.want)
			}
		})
	}
}

// TestDigestOfBothSteps: a yes names both plans.
func TestDigestOfBothSteps(t *testing.T) {
	r := RunRegion{ArtifactDigest: "a"}
	seen := map[string]bool{r.Digest(): true}
	for _, second := range []string{"", "b", "c"} {
		r.Second = &SecondStep{ArtifactDigest: second}
		if seen[r.Digest()] {
			t.Errorf("the digest with second step %q is not its own", second)
		}
		seen[r.Digest()] = true
	}
	if all := (RunRegion{Changes: []stacks.Change{{Address: "x"}}, Second: &SecondStep{Changes: []stacks.Change{{Address: "y"}}}}).AllChanges(); len(all) != 2 || all[0].Then || !all[1].Then {
		t.Errorf("changes %+v", all)
	}
}
