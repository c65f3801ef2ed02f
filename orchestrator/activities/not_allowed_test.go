package activities

import (
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// TestReplaceNeedsToBeAllowed plans what loses data in a region that stays: the spec has to name the region, and then a person is asked.
func TestReplaceNeedsToBeAllowed(t *testing.T) {
	replace := stacks.Change{Address: "localdb_postgres.this", Action: stacks.ActionReplace, DataBearing: true, Reason: "replace_because_cannot_update",
		Attributes: []stacks.AttributeChange{{Path: "data_dir", Forces: true}, {Path: "version", Unknown: true}}}
	tainted, gone, update, empty := replace, replace, replace, replace
	tainted.Reason = "replace_because_tainted"
	gone.Action, gone.Reason = stacks.ActionDelete, "delete_because_no_resource_config"
	update.Action, update.Reason = stacks.ActionUpdate, ""
	empty.DataBearing = false
	for name, tc := range map[string]struct {
		change  stacks.Change
		allowed []string
		kind    stacks.RunKind
		next    stacks.Phase
	}{
		"replaced":                  {replace, nil, stacks.RunApply, stacks.PhaseFailed},
		"destroyed":                 {gone, nil, stacks.RunApply, stacks.PhaseFailed},
		"another region is allowed": {replace, []string{"istanbul"}, stacks.RunApply, stacks.PhaseFailed},
		"allowed":                   {replace, []string{"ankara"}, stacks.RunApply, stacks.PhaseAwaiting},
		"half made":                 {tainted, nil, stacks.RunApply, stacks.PhaseAwaiting},
		"holds no data":             {empty, nil, stacks.RunApply, stacks.PhaseApplying},
		"updated":                   {update, nil, stacks.RunApply, stacks.PhaseApplying},
		"checked":                   {replace, nil, stacks.RunCheck, stacks.PhaseDone},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			db := orders("ankara")
			db.Spec.AllowReplace = tc.allowed
			row := h.judged(db, tc.kind, tc.change, tc.next)
			if tc.next != stacks.PhaseFailed {
				return
			}
			if row.Reason != "ReplaceRefused" || !strings.Contains(row.Message, "nothing was changed") || len(row.Diagnostics) != 1 {
				t.Fatalf("the run says %s: %q, %+v", row.Reason, row.Message, row.Diagnostics)
			}
			d := row.Diagnostics[0]
			if !strings.Contains(d.Next, "allowReplace: [ankara]") || d.Detail != "another data_dir forces it" {
				t.Errorf("diagnostic %+v", d)
			}
		})
	}
}

// TestLinksOfAReplacedRegionGoFirst wants what is destroyed and made anew unlinked before, and linked again after.
func TestLinksOfAReplacedRegionGoFirst(t *testing.T) {
	h := newHouse(t)
	db := linked(orders("ankara", "istanbul"), "istanbul")
	db.Spec.AllowReplace = []string{"istanbul"}
	h.submit(db, stacks.RunApply)
	h.must(h.setLink(t.Context(), h.linkOf(db), linkVerified, ""))
	h.step("", stacks.PhasePlanning, "ankara", "istanbul")
	h.planned("ankara", "")
	h.planned("istanbul", "b")
	h.must(h.Catalog.UpdateRegion(t.Context(), h.run.ID, "istanbul", func(r catalog.RunRegion) catalog.RunRegion {
		r.Changes = []stacks.Change{{Address: "localdb_postgres.this", Action: stacks.ActionReplace, DataBearing: true, Reason: "replace_because_cannot_update"}}
		return r
	}))
	h.step(stacks.PhasePlanning, stacks.PhaseAwaiting)
	h.approve()
	h.step("", stacks.PhaseUnlinking, theLink)
	if _, err := h.RemoveLink(t.Context(), LinkInput{Run: h.run.ID, Link: theLink}); err != nil {
		t.Fatal(err)
	}
	h.step(stacks.PhaseUnlinking, stacks.PhaseApplying, "ankara", "istanbul")
	h.ended("ankara", stacks.RegionReady)
	h.ended("istanbul", stacks.RegionReady)
	h.step(stacks.PhaseApplying, stacks.PhaseLinking, theLink)
}
