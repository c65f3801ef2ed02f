package catalog_test

import (
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// TestSubmitAllOrNone wants nothing stored of a submission in which one database was changed by somebody else meanwhile.
func TestSubmitAllOrNone(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.submit(spec("users", "15"), 0)
	in := func(name string, expect int64) catalog.SubmitInput {
		return catalog.SubmitInput{Effective: spec(name, "16"), Actor: "ada", Kind: stacks.RunApply, ExpectRevision: expect}
	}
	before, err := h.Runs(ctx, catalog.RunFilter{})
	h.must(err)
	_, err = h.SubmitAll(ctx, []catalog.SubmitInput{in("orders", 0), in("users", 0)})
	h.is(err, catalog.ErrMoved)
	_, err = h.Database(ctx, "default", "orders")
	h.is(err, catalog.ErrNotFound)
	if after, err := h.Runs(ctx, catalog.RunFilter{}); err != nil || len(after) != len(before) || after[0].Phase != stacks.PhasePending {
		t.Fatalf("runs %+v, %v", after, err)
	}
	runs, err := h.SubmitAll(ctx, []catalog.SubmitInput{in("users", 1), in("orders", 0)})
	h.must(err)
	if len(runs) != 2 || runs[0].Name != "users" || runs[0].Revision != 2 || runs[1].Name != "orders" || runs[1].Revision != 1 {
		t.Fatalf("runs %+v", runs)
	}
}

// TestDestroyBehindOneThatIsCancelled wants a second destroy run while the first one, past its yes, is being cancelled: the first one
// may stop half-way.
func TestDestroyBehindOneThatIsCancelled(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.finishNew("orders", "15")
	first, err := h.SubmitDestroy(ctx, "default", "orders", "ada")
	h.must(err)
	h.plan(first.ID, "destroys default/orders")
	h.approve(first.ID)
	h.move(first.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
	same, err := h.SubmitDestroy(ctx, "default", "orders", "ada")
	h.must(err)
	if same.ID != first.ID {
		t.Fatalf("run %s, want the one that works", same.ID)
	}
	_, err = h.Cancel(ctx, first.ID, "ada", nil)
	h.must(err)
	second, err := h.SubmitDestroy(ctx, "default", "orders", "ada")
	h.must(err)
	if second.ID == first.ID || second.Phase != stacks.PhasePending {
		t.Fatalf("run %+v", second)
	}
	if next := h.next("orders"); next != first.ID {
		t.Fatalf("next run %s, want the one that works", next)
	}
	_, err = h.Submit(ctx, catalog.SubmitInput{Effective: spec("orders", "16"), Kind: stacks.RunApply, ExpectRevision: 1})
	h.is(err, catalog.ErrDestroying)
	h.move(first.ID, stacks.PhaseApplying, stacks.PhaseCancelled)
	if next := h.next("orders"); next != second.ID {
		t.Fatalf("next run %s, want %s", next, second.ID)
	}
}
