package activities

import (
	"fmt"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
)

// TestPruneOldRuns goes through more runs than one transaction takes: what is old goes, what the next plan and the next recovery need stays, and
// every run is still told.
func TestPruneOldRuns(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	const runs = pruneAtOnce + 7
	var ids []string
	for i := range runs {
		r, err := h.Catalog.Submit(ctx, catalog.SubmitInput{Effective: orders("ankara"), Kind: stacks.RunApply, Actor: "ada", ExpectRevision: int64(min(i, 1))})
		h.must(err)
		h.run = r
		h.interrupted("ankara", "a")
		_, err = h.Catalog.Cancel(ctx, r.ID, "ada", nil)
		h.must(err)
		ids = append(ids, r.ID)
	}
	id := stackID(h.run, "ankara")
	h.Retention = Retention{Runs: 3}
	h.must(h.PruneRuns(ctx))
	if steps, err := h.Journal.Applies(ctx, id, 1000); err != nil || len(steps) != runs {
		t.Fatalf("%d applies of which none ended well are left, want all %d: %v", len(steps), runs, err)
	}
	step := fmt.Sprintf("%s/ankara/apply.%d", h.run.ID, runs+1)
	_, err := h.Journal.PutStep(ctx, journal.Step{ID: step, Run: h.run.ID, Kind: journal.StepApply, Stack: stacks.Stack{ID: id}})
	h.must(err)
	var fence journal.Fence
	h.must(h.Journal.Store().Write(ctx, func(tx *store.Tx) (err error) {
		fence, err = h.Journal.TakeFence(ctx, tx, journal.TakeInput{Stack: id, Step: step, Attempt: step, Site: "here"})
		return err
	}))
	h.must(h.Journal.Finish(ctx, id, fence, journal.Result{Step: step, Outcome: journal.OutcomeApplied}, nil))
	h.Retention = Retention{Runs: 3, For: time.Hour}
	h.must(h.PruneRuns(ctx))
	if steps, err := h.Journal.Applies(ctx, id, 1000); err != nil || len(steps) != runs+1 {
		t.Errorf("%d applies are left, want all: none is an hour old: %v", len(steps), err)
	}
	h.Retention.For = 0
	h.must(h.PruneRuns(ctx))
	if steps, err := h.Journal.Applies(ctx, id, 1000); err != nil || len(steps) != 3+1 { // the newest run has two
		t.Errorf("%d applies are left: %v", len(steps), err)
	}
	for i, run := range ids {
		if _, err := h.Catalog.Run(ctx, run); err != nil {
			t.Error(err)
		}
		if at, err := h.Catalog.PrunedAt(ctx, run); err != nil || (at != nil) != (i < runs-3) {
			t.Errorf("run %d of %d: removed at %v, %v", i, runs, at, err)
		}
	}
}
