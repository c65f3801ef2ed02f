package activities

import (
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks"
)

// TestLookAgain holds that a name that is taken sends a region back to be looked after exactly where an interrupted apply may have made it.
func TestLookAgain(t *testing.T) {
	taken := []stacks.Diagnostic{{Severity: stacks.SeverityError, Summary: "creating RDS DB Instance", Detail: "DBInstanceAlreadyExists: DB instance already exists"}}
	for name, c := range map[string]struct {
		recovery *catalog.Recovery
		said     []stacks.Diagnostic
		want     stacks.RegionPhase
	}{
		"after an interrupted apply":      {&catalog.Recovery{Anew: true}, taken, stacks.RegionPending},
		"after one that changed nothing":  {&catalog.Recovery{}, taken, stacks.RegionFailed},
		"the first apply":                 {nil, taken, stacks.RegionFailed},
		"after one, and another failure":  {&catalog.Recovery{Anew: true}, []stacks.Diagnostic{{Severity: stacks.SeverityError, Summary: "no such size"}}, stacks.RegionFailed},
		"after one, with trouble as well": {&catalog.Recovery{Anew: true}, append([]stacks.Diagnostic{{Severity: stacks.SeverityWarning, Summary: "w"}}, taken...), stacks.RegionPending},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.submit(orders("ankara"), stacks.RunApply)
			h.step("", stacks.PhasePlanning, "ankara")
			h.planned("ankara", "a")
			h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara")
			h.ended("ankara", stacks.RegionApplying)
			h.must(h.Catalog.UpdateRegion(t.Context(), h.run.ID, "ankara", func(r catalog.RunRegion) catalog.RunRegion {
				r.Recovery = c.recovery
				return r
			}))
			w, err := h.load(t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
			h.must(err)
			_, err = h.applyEnded(t.Context(), w, h.run.ID+"/ankara/apply.1", journal.Result{Outcome: journal.OutcomeFailed, ExitCode: 1, Diagnostics: c.said})
			h.must(err)
			if got := h.row().Regions[0].Phase; got != c.want {
				t.Errorf("the region is %s, want %s", got, c.want)
			}
		})
	}
}
