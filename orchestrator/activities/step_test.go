package activities

import (
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// TestReplan wants a run go on with the regions that are settled, and plan anew only those whose apply did not get through.
func TestReplan(t *testing.T) {
	tests := map[string]struct {
		ankara  stacks.RegionPhase // how its apply ended
		again   stacks.RegionPhase // how istanbul's second plan ended
		next    stacks.Phase
		work    []string
		message string
	}{
		"the other is ready":                      {ankara: stacks.RegionReady, again: stacks.RegionPlanned, next: stacks.PhaseApplying, work: []string{"istanbul"}},
		"the other failed":                        {ankara: stacks.RegionFailed, again: stacks.RegionPlanned, next: stacks.PhaseApplying, work: []string{"istanbul"}},
		"the other is pending too":                {ankara: stacks.RegionPending, again: stacks.RegionPlanned, next: stacks.PhaseApplying, work: []string{"ankara", "istanbul"}},
		"nothing changes now":                     {ankara: stacks.RegionReady, again: stacks.RegionUnchanged, next: stacks.PhaseApplying, work: []string{"istanbul"}},
		"the second plan fails, the other stands": {ankara: stacks.RegionReady, again: stacks.RegionFailed, next: stacks.PhaseFailed, message: "ankara is ready, istanbul is failed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.submit(orders("ankara", "istanbul"), stacks.RunApply)
			h.step("", stacks.PhasePlanning, "ankara", "istanbul")
			h.planned("ankara", "a1")
			h.planned("istanbul", "b1")
			h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara", "istanbul")
			h.ended("ankara", tc.ankara)
			h.ended("istanbul", stacks.RegionPending)
			planning := []string{"istanbul"}
			if tc.ankara == stacks.RegionPending {
				planning = []string{"ankara", "istanbul"}
			}
			h.step(stacks.PhaseApplying, stacks.PhasePlanning, planning...)
			for _, r := range h.row().Regions {
				if r.Phase == stacks.RegionPending && (r.Plans != 1 || r.ApplyStep != "" || r.ArtifactDigest != "") {
					t.Errorf("region %s keeps what it had: %+v", r.Region, r)
				}
			}
			if tc.ankara == stacks.RegionPending {
				h.planned("ankara", "a2")
			}
			switch tc.again {
			case stacks.RegionPlanned:
				h.planned("istanbul", "b2")
			case stacks.RegionUnchanged:
				h.planned("istanbul", "")
			default:
				h.ended("istanbul", tc.again)
			}
			h.step(stacks.PhasePlanning, tc.next, tc.work...)
			if m := h.row().Message; !strings.Contains(m, tc.message) || strings.Contains(m, "nothing was changed") {
				t.Errorf("the run says %q, want %q in it", m, tc.message)
			}
		})
	}
}

// TestReplanEnds wants an end of a plan that never gets applied.
func TestReplanEnds(t *testing.T) {
	h := newHouse(t)
	h.submit(orders("ankara"), stacks.RunApply)
	h.step("", stacks.PhasePlanning, "ankara")
	for range maxPlans {
		h.planned("ankara", "a1")
		h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara")
		h.ended("ankara", stacks.RegionPending)
		h.step(stacks.PhaseApplying, stacks.PhasePlanning, "ankara")
	}
	h.planned("ankara", "a1")
	h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara")
	h.ended("ankara", stacks.RegionPending)
	h.step(stacks.PhaseApplying, stacks.PhaseFailed)
}

// TestAQuestionOfASecondPlan: what cannot be proven is asked, also where a region is planned again and nothing else is left to do.
func TestAQuestionOfASecondPlan(t *testing.T) {
	h := newHouse(t)
	h.submit(orders("ankara"), stacks.RunApply)
	h.step("", stacks.PhasePlanning, "ankara")
	h.planned("ankara", "a1")
	h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara")
	h.ended("ankara", stacks.RegionPending)
	h.step(stacks.PhaseApplying, stacks.PhasePlanning, "ankara")
	h.must(h.Catalog.UpdateRegion(t.Context(), h.run.ID, "ankara", func(r catalog.RunRegion) catalog.RunRegion {
		r.Recovery = &catalog.Recovery{Step: "s", Objects: []catalog.Recovered{{Address: "a", Action: stacks.ActionCreate, Question: "is it there?"}}}
		return r
	}))
	h.step(stacks.PhasePlanning, stacks.PhaseAwaiting)
	if run := h.row(); len(run.Questions()) != 1 || run.Reason != catalog.ReasonQuestion {
		t.Errorf("the run is %s (%s) and asks %v", run.Phase, run.Reason, run.Questions())
	}
}

// going brings a database with a link to the removal of that link.
func going(t *testing.T) *house {
	h := newHouse(t)
	db := linked(orders("ankara", "istanbul"), "istanbul")
	h.submit(db, stacks.RunApply)
	h.born("ankara")
	h.born("istanbul")
	h.must(h.setLink(t.Context(), h.linkOf(db), linkVerified, ""))
	h.destroy()
	h.step("", stacks.PhasePlanning, "ankara", "istanbul")
	h.planned("ankara", "a1")
	h.planned("istanbul", "b1")
	h.step(stacks.PhasePlanning, stacks.PhaseAwaiting)
	h.approve()
	h.step("", stacks.PhaseUnlinking, "ankara-istanbul")
	return h
}

// TestCancelWhileUnlinking wants an end: a cancelled run may not go on to apply.
func TestCancelWhileUnlinking(t *testing.T) {
	h := going(t)
	h.cancel()
	_, err := h.RemoveLink(t.Context(), LinkInput{Run: h.run.ID, Link: "ankara-istanbul"})
	h.must(err)
	h.step(stacks.PhaseUnlinking, stacks.PhaseCancelled)
}

// TestLinkThatStays wants no region destroyed whose link is still there, whatever its row says.
func TestLinkThatStays(t *testing.T) {
	h := going(t)
	h.step(stacks.PhaseUnlinking, stacks.PhaseFailed)
	if m := h.row().Message; !strings.Contains(m, "ankara-istanbul could not be removed") {
		t.Errorf("the run says %q", m)
	}
}

// TestUnprovenLink wants no run done whose links were not proven by it.
func TestUnprovenLink(t *testing.T) {
	h := newHouse(t)
	db := linked(orders("ankara", "istanbul"), "istanbul")
	h.submit(db, stacks.RunApply)
	h.ready()
	h.must(h.setLink(t.Context(), h.linkOf(db), linkVerified, ""))
	h.step(stacks.PhaseLinking, stacks.PhaseDone)
	h.submit(db, stacks.RunApply)
	h.ready()
	h.step(stacks.PhaseLinking, stacks.PhaseFailed) // the row is the earlier run's
}
