package catalog_test

import (
	"errors"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/stacks"
)

func TestARestoredStoreIsReadOnlyUntilSomebodySaysSo(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	open := h.submit(spec("orders", "15.18"), 0, yes)
	h.next("orders")
	h.move(open.ID, stacks.PhasePending, stacks.PhasePlanning)
	also := 0
	h.must(h.MarkRestored(ctx, "restored from old", func(*store.Tx) error { also++; return nil }))
	if r := h.run(open.ID); r.Phase != stacks.PhaseFailed || r.Reason != catalog.ReasonRestored || h.db("orders").ActiveRun != "" || also != 1 {
		t.Fatalf("run %+v, also %d", r, also)
	}
	if why, err := h.ReadOnly(ctx); err != nil || why != "restored from old" {
		t.Fatalf("read-only %q, %v", why, err)
	}
	in := catalog.SubmitInput{Effective: spec("orders", "15.18"), Yes: true, Actor: "ada", Kind: stacks.RunApply, ExpectRevision: 1}
	_, err := h.Submit(ctx, in)
	h.is(err, catalog.ErrReadOnly)
	_, err = h.SubmitDestroy(ctx, "default", "orders", "ada")
	h.is(err, catalog.ErrReadOnly)
	in.Kind = stacks.RunCheck
	if _, err := h.Submit(ctx, in); err != nil {
		t.Errorf("a check changes nothing, and was refused: %v", err)
	}
	h.must(h.EndReadOnly(ctx, catalog.Audit{Actor: "grace", Verb: "end read-only"}))
	in.Kind = stacks.RunApply
	run, err := h.Submit(ctx, in)
	h.must(err)

	// What was planned before the store was put back cannot be applied after it either.
	h.plan(run.ID, "")
	h.must(h.MarkRestored(ctx, "again", func(*store.Tx) error { return nil }))
	_, err = h.MoveRun(ctx, run.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	if !errors.Is(err, catalog.ErrMoved) {
		t.Errorf("a run of before was moved: %v", err)
	}
}

// A run that is there all the same does not work on a read-only store.
func TestNoRunWorksOnAReadOnlyStore(t *testing.T) {
	h := newHouse(t)
	run := h.submit(spec("orders", "15.18"), 0, yes)
	h.plan(run.ID, "")
	h.exec("INSERT INTO meta (key, value) VALUES ('readonly', 'for the test')")
	_, err := h.MoveRun(t.Context(), run.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	h.is(err, catalog.ErrReadOnly)
	h.is(err, catalog.ErrRefused)
}

func TestVerifyAndLooseRows(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	run := h.submit(spec("orders", "15.18"), 0)
	h.must(h.EnsureSecret(ctx, run.Incarnation, "user/app"))
	damaged, err := h.Verify(ctx)
	h.must(err)
	loose, err := h.LooseRows(ctx)
	h.must(err)
	if len(damaged)+len(loose) != 0 {
		t.Fatalf("a sound catalog: %v %v", damaged, loose)
	}
	h.must(h.EnsureSecret(ctx, "nobody12", "user/app"))
	h.exec("UPDATE secrets SET sealed = substr(sealed, 1, 30) WHERE incarnation <> 'nobody12'")
	damaged, err = h.Verify(ctx)
	h.must(err)
	loose, err = h.LooseRows(ctx)
	h.must(err)
	if len(damaged) != 1 || damaged[0].Table != "secrets" || len(loose) != 1 || loose[0].Incarnation != "nobody12" {
		t.Fatalf("damaged %v, loose %v", damaged, loose)
	}
}
