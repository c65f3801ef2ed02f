package journal_test

import (
	"slices"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
)

// ended plays a step of a run to its end, with something said in it.
func (h *house) ended(id stacks.StackID, run string, kind journal.StepKind, outcome journal.Outcome) (step string) {
	h.t.Helper()
	step = h.step(id, run, string(kind)+".1", kind)
	fence := h.mustTake(id, step, "a-"+step)
	h.must(h.Ship(h.t.Context(), id, fence, step, journal.Batch{Events: events(1, 3)}))
	h.must(h.Finish(h.t.Context(), id, fence, journal.Result{Step: step, Outcome: outcome}, nil))
	return step
}

func (h *house) prune(runs ...string) (gone []string) {
	h.t.Helper()
	h.must(h.st.Write(h.t.Context(), func(tx *store.Tx) (err error) {
		gone, err = h.Journal.PruneRuns(h.t.Context(), tx, runs)
		return err
	}))
	return gone
}

// TestPruneRuns removes what nothing needs: of a stack that is there its newest step, the newest plan that found nothing to change, and the applies from
// the newest one on that ended well stay, and what a head names.
func TestPruneRuns(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	h.stack(istanbul)
	first := h.ended(ankara, "r1", journal.StepApply, journal.OutcomeApplied)
	h.ended(ankara, "r2", journal.StepPlan, journal.OutcomeUnchanged)
	h.ended(ankara, "r3", journal.StepApply, journal.OutcomeApplied)
	cut := h.ended(ankara, "r4", journal.StepApply, journal.OutcomeInterrupted)
	h.ended(ankara, "r5", journal.StepPlan, journal.OutcomeUnchanged)
	h.ended(ankara, "r6", journal.StepPlan, journal.OutcomeFailed)
	h.ended(ankara, "r7", journal.StepPlan, journal.OutcomeFailed)
	running := h.step(istanbul, "r0", "plan.1", journal.StepPlan)
	h.mustTake(istanbul, running, "runs")
	all := []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "nobody"}
	if gone := h.prune(all...); !slices.Equal(gone, []string{"r1", "r2", "r6", "nobody"}) {
		t.Errorf("gone are %v", gone)
	}
	if got := h.allEvents(first); len(got) > 0 {
		t.Errorf("of %s there is still %v", first, seqs(got))
	}
	if got := h.allEvents(cut); len(got) != 3 {
		t.Errorf("of %s there is %v", cut, seqs(got))
	}
	if list, err := h.Applies(t.Context(), ankara, 10); err != nil || len(list) != 2 {
		t.Errorf("applies %+v, %v", list, err)
	}
	if loose, err := h.LooseRows(t.Context()); err != nil || len(loose) > 0 {
		t.Errorf("loose: %v, %v", loose, err)
	}
	h.must(h.st.Write(t.Context(), func(tx *store.Tx) error { return h.Forget(t.Context(), tx, ankara) }))
	if gone := h.prune("r3", "r4", "r5", "r7", "r0"); !slices.Equal(gone, []string{"r3", "r4", "r5", "r7"}) {
		t.Errorf("gone with the stack are %v", gone)
	}
}

// TestPruneStates removes old versions, and never the newest ones.
func TestPruneStates(t *testing.T) {
	h := newHouse(t)
	for _, id := range []stacks.StackID{ankara, istanbul} {
		h.stack(id)
		for i := range 4 {
			step := h.step(id, "r", "apply."+string(rune('a'+i)), journal.StepApply)
			fence := h.mustTake(id, step, "a-"+step)
			h.must(h.Ship(t.Context(), id, fence, step, journal.Batch{State: snapshot(int64(i)+2, "")}))
			if i < 3 || id == ankara { // something works on istanbul
				h.must(h.Finish(t.Context(), id, fence, journal.Result{Step: step, Outcome: journal.OutcomeApplied}, nil))
			}
		}
	}
	versions := func(id stacks.StackID) int {
		list, err := h.States(t.Context(), id)
		h.must(err)
		return len(list)
	}
	before, busy := versions(ankara), versions(istanbul)
	for name, c := range map[string]struct {
		keep int
		at   time.Time
		want int
	}{"nothing is so old": {1, time.Now().Add(-time.Hour), before}, "many are kept": {100, time.Now().Add(time.Hour), before}} {
		if n, err := h.PruneStates(t.Context(), c.keep, c.at); err != nil || n != 0 || versions(ankara) != c.want {
			t.Errorf("%s: %d went, %d are left: %v", name, n, versions(ankara), err)
		}
	}
	newest := h.latest(ankara).Serial
	if n, err := h.PruneStates(t.Context(), 2, time.Now().Add(time.Hour)); err != nil || int(n) != before-2 || versions(ankara) != 2 || versions(istanbul) != busy {
		t.Errorf("%d went, %d and %d are left: %v", n, versions(ankara), versions(istanbul), err)
	}
	if got := h.latest(ankara).Serial; got != newest {
		t.Errorf("the newest state has serial %d, had %d", got, newest)
	}
	if _, err := h.PruneStates(t.Context(), 0, time.Now()); err == nil {
		t.Error("not even the newest was to be kept")
	}
}
