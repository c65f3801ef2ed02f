package activities

import (
	"strings"
	"testing"

	"meridian/stacks"
)

// TestNothingIsShrunk plans to lower what can only grow: it is refused with both numbers and the field to write, before anybody is asked.
func TestNothingIsShrunk(t *testing.T) {
	size := func(before, after string) stacks.Change {
		return stacks.Change{Address: "module.database.disk.this", Type: "disk", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "gib", Before: before, After: after}}}
	}
	for name, tc := range map[string]struct {
		change  stacks.Change
		growths []stacks.Growth
		kind    stacks.RunKind
		next    stacks.Phase
	}{
		"lowered":               {size("80", "20"), []stacks.Growth{{Type: "disk", Path: "gib", Field: "spec.regions[0].settings.gib", Unit: "GiB"}}, stacks.RunApply, stacks.PhaseFailed},
		"lowered, and it grows": {size("80", "20"), []stacks.Growth{{Type: "disk", Path: "gib", Most: 100, Field: "spec.regions[0].settings.gib", Unit: "GiB"}}, stacks.RunApply, stacks.PhaseFailed},
		"raised":                {size("20", "80"), []stacks.Growth{{Type: "disk", Path: "gib"}}, stacks.RunApply, stacks.PhaseApplying},
		"lowered, and it may":   {size("80", "20"), nil, stacks.RunApply, stacks.PhaseApplying},
		"only looked at":        {size("80", "20"), []stacks.Growth{{Type: "disk", Path: "gib"}}, stacks.RunCheck, stacks.PhaseDone},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.cloud.growths = tc.growths
			row := h.judged(orders("ankara"), tc.kind, tc.change, tc.next)
			if tc.next != stacks.PhaseFailed {
				return
			}
			if row.Reason != "ShrinkRefused" || !strings.Contains(row.Message, "has 80 GiB, and the plan would make it 20 GiB") || len(row.Diagnostics) != 1 {
				t.Fatalf("the run says %s: %q, %+v", row.Reason, row.Message, row.Diagnostics)
			}
			if d := row.Diagnostics[0]; d.Field != "spec.regions[0].settings.gib" || d.Next != "write at least 80 as spec.regions[0].settings.gib" {
				t.Errorf("diagnostic %+v", d)
			}
		})
	}
}
