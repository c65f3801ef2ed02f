package catalog_test

import (
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/stacks"
)

func TestQuietRefusesWhileARunWorks(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	run := h.submit(spec("orders", "15.18"), 0)
	did := 0
	quiet := func() error {
		return h.Quiet(ctx, run.Incarnation, catalog.Audit{Actor: "ayse", Verb: "restore state", Subject: "region ankara"}, func(*store.Tx) (string, error) {
			did++
			return "1.1.2 became 1.3.4", nil
		})
	}
	h.next("orders")
	h.is(quiet(), catalog.ErrRefused)
	if _, err := h.MoveRun(ctx, run.ID, catalog.Move{From: stacks.PhasePending, To: stacks.PhaseFailed}); err != nil {
		t.Fatal(err)
	}
	h.must(quiet())
	audits, err := h.Audits(ctx, run.Namespace, run.Name, 1)
	h.must(err)
	if did != 1 || audits[0].Verb != "restore state" || audits[0].Detail != "1.1.2 became 1.3.4" {
		t.Fatalf("did it %d times, audit %+v", did, audits)
	}
	h.is(h.Quiet(ctx, "nothing1", catalog.Audit{}, nil), catalog.ErrNotFound)
}
