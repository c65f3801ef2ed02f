package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// TestRemedyAfterARunThatFailed puts drift back after a remedy that failed, whatever a newer revision asks for that nobody has begun to apply; but
// not over the half of one.
func TestRemedyAfterARunThatFailed(t *testing.T) {
	for name, c := range map[string]struct {
		newer func(h *house)
		says  string
	}{
		"nothing newer": {func(*house) {}, ""},
		"a newer revision was cancelled while it waited": {func(h *house) {
			r := h.submit(spec("orders", "16"), 1)
			h.plan(r.ID, "")
			_, err := h.Cancel(h.t.Context(), r.ID, "ada", nil)
			h.must(err)
		}, ""},
		"a newer revision could not be planned": {func(h *house) {
			r := h.submit(spec("orders", "16"), 1)
			h.next("orders")
			h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
			_, err := h.MoveRun(h.t.Context(), r.ID, catalog.Move{From: stacks.PhasePlanning, To: stacks.PhaseFailed, Reason: "RegionFailed"})
			h.must(err)
		}, ""},
		"a newer revision stopped in the middle": {func(h *house) { h.applyHalf(h.submit(spec("orders", "16"), 1).ID) }, "the apply of revision 2 stopped in the middle"},
		"a newer revision was planned again, then cancelled": {func(h *house) {
			r := h.submit(spec("orders", "16"), 1)
			h.plan(r.ID, "")
			replanned(h, r.ID)
			_, err := h.Cancel(h.t.Context(), r.ID, "ada", nil)
			h.must(err)
			h.move(r.ID, stacks.PhasePlanning, stacks.PhaseCancelled)
		}, "the apply of revision 2 stopped in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.finishNew("orders", "15")
			remedy, err := h.SubmitRemedy(t.Context(), catalog.RemedyInput{Check: h.drifted(), Yes: true, Actor: "ada"})
			h.must(err)
			h.applyHalf(remedy.ID)
			if d := h.db("orders"); d.Phase != catalog.DatabaseDegraded {
				t.Fatalf("after a remedy that failed the database is %s", d.Phase)
			}
			c.newer(h)
			again, err := h.SubmitRemedy(t.Context(), catalog.RemedyInput{Check: h.drifted(), Yes: true, Actor: "ada"})
			switch {
			case c.says == "" && (err != nil || again.Revision != 1):
				t.Errorf("the next remedy is %+v, %v", again, err)
			case c.says != "" && (!errors.Is(err, catalog.ErrRefused) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("it says %v, want %q", err, c.says)
			}
		})
	}
}

// drifted is a check of orders that found something.
func (h *house) drifted() string {
	h.t.Helper()
	check, err := h.BeginDrift(h.t.Context(), catalog.DriftCheck{Incarnation: h.db("orders").Incarnation, Reason: catalog.DriftAsked})
	h.must(err)
	check.Outcome, check.Found, check.Drift = catalog.DriftDrifted, 1, []stacks.DriftItem{{Kind: stacks.DriftUnreachable, Region: "ankara", Subject: "endpoint"}}
	h.must(h.EndDrift(h.t.Context(), check))
	return check.ID
}

// applyHalf lets a run begin to apply, and fail.
func (h *house) applyHalf(id string) {
	h.t.Helper()
	h.plan(id, "")
	h.approve(id)
	h.move(id, stacks.PhaseAwaiting, stacks.PhaseApplying)
	h.must(h.UpdateRegion(h.t.Context(), id, "ankara", func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.ApplyStep = stacks.RegionFailed, id+"/ankara/apply.1"
		return r
	}))
	_, err := h.MoveRun(h.t.Context(), id, catalog.Move{From: stacks.PhaseApplying, To: stacks.PhaseFailed, Reason: "RegionFailed", Message: "ankara: boom"})
	h.must(err)
}
