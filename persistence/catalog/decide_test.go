package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/stacks"
)

func TestApproveOnlyExactlyThisPlan(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0)
	_, err := h.Approve(ctx, r.ID, "", "grace")
	h.is(err, catalog.ErrMoved) // pending
	r = h.plan(r.ID, "")
	for _, digest := range []string{"", "other", r.PlanDigest[:10]} {
		_, err = h.Approve(ctx, r.ID, digest, "grace")
		h.is(err, catalog.ErrStaleDigest)
	}
	if ok, err := h.Approved(ctx, r.ID); err != nil || ok {
		t.Fatalf("approved %v, %v", ok, err)
	}
	h.approve(r.ID)
	if ok, err := h.Approved(ctx, r.ID); err != nil || !ok {
		t.Fatalf("approved %v, %v", ok, err)
	}
	h.move(r.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
	_, err = h.Approve(ctx, r.ID, r.PlanDigest, "grace")
	h.must(err) // the same yes, whose reply was lost
	_, err = h.Approve(ctx, r.ID, "other", "grace")
	h.is(err, catalog.ErrMoved)
	h.move(r.ID, stacks.PhaseApplying, stacks.PhaseDone)
	_, err = h.Approve(ctx, r.ID, r.PlanDigest, "grace")
	h.is(err, catalog.ErrMoved)
	_, err = h.Approve(ctx, "nothing", "x", "grace")
	h.is(err, catalog.ErrNotFound)
}

func TestNextRunTakesTurns(t *testing.T) {
	h := newHouse(t)
	if next := h.next("orders"); next != "" {
		t.Fatalf("next run of nothing: %q", next)
	}
	one := h.submit(spec("orders", "15"), 0)
	h.plan(one.ID, "")
	// It waits for a yes: the database is free for a newer one.
	if next := h.next("orders"); next != "" || h.db("orders").ActiveRun != "" {
		t.Fatalf("next run %q, active %q", next, h.db("orders").ActiveRun)
	}
	h.approve(one.ID)
	if next := h.next("orders"); next != one.ID || h.db("orders").ActiveRun != one.ID {
		t.Fatalf("next run %q after the yes", next)
	}
	h.move(one.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
	two := h.submit(spec("orders", "16"), 1)
	if next := h.next("orders"); next != one.ID {
		t.Fatalf("next run %q while %s works", next, one.ID)
	}
	if r := h.run(one.ID); r.Phase != stacks.PhaseApplying {
		t.Fatalf("a working run was superseded: %+v", r)
	}
	h.submit(spec("other", "16"), 0)
	h.submit(spec("orders", "17"), 2, check)
	h.move(one.ID, stacks.PhaseApplying, stacks.PhaseDone)
	if next := h.next("orders"); next != two.ID {
		t.Fatalf("next run %q, want %s", next, two.ID)
	}
}

func TestANewerRunSupersedesOneThatWaits(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	one := h.submit(spec("orders", "15"), 0)
	h.plan(one.ID, "")
	h.approve(one.ID) // also with its yes, as long as it has not begun
	destroy, err := h.SubmitDestroy(ctx, "default", "orders", "ada")
	h.must(err)
	if r := h.run(one.ID); r.Phase != stacks.PhaseSuperseded || h.db("orders").ActiveRun != "" {
		t.Fatalf("run %+v", r)
	}
	_, err = h.MoveRun(ctx, one.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	h.is(err, catalog.ErrMoved)
	two := h.submit(spec("orders", "15"), 1)
	if r := h.run(destroy.ID); r.Phase != stacks.PhaseSuperseded {
		t.Fatalf("destroy run %+v", r)
	}
	if next := h.next("orders"); next != two.ID {
		t.Fatalf("next run %q", next)
	}
}

// A run that was still planning when a newer one came is overtaken as soon as it waits: its plan could undo the newer one.
func TestAnOldPlanIsOvertaken(t *testing.T) {
	h := newHouse(t)
	one := h.submit(spec("orders", "15"), 0)
	h.next("orders")
	h.move(one.ID, stacks.PhasePending, stacks.PhasePlanning)
	two := h.submit(spec("orders", "16"), 1)
	if next := h.next("orders"); next != one.ID {
		t.Fatalf("next run %q", next)
	}
	h.planAgain(one.ID, "", "sha")
	if next := h.next("orders"); next != two.ID {
		t.Fatalf("next run %q", next)
	}
	if r := h.run(one.ID); r.Phase != stacks.PhaseSuperseded {
		t.Fatalf("run %+v", r)
	}
	if d := h.db("orders"); d.ActiveRun != two.ID {
		t.Fatalf("database %+v", d)
	}
}

func TestCancel(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(h *house, id string)
		phase   stacks.Phase // after the cancel
		also    bool
	}{
		"pending":  {func(*house, string) {}, stacks.PhaseCancelled, false},
		"planning": {func(h *house, id string) { h.next("orders"); h.move(id, stacks.PhasePending, stacks.PhasePlanning) }, stacks.PhasePlanning, true},
		"awaiting": {func(h *house, id string) { h.plan(id, "") }, stacks.PhaseCancelled, false},
		"applying": {func(h *house, id string) { h.plan(id, ""); applying(h, id) }, stacks.PhaseApplying, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			ctx := t.Context()
			r := h.submit(spec("orders", "15"), 0)
			c.prepare(h, r.ID)
			called := false
			got, err := h.Cancel(ctx, r.ID, "ada", func(*store.Tx) error { called = true; return nil })
			h.must(err)
			if got.Phase != c.phase || !got.Cancel || called != c.also {
				t.Fatalf("run %+v, also called: %v", got, called)
			}
			if c.phase.Ended() {
				_, err = h.Cancel(ctx, r.ID, "ada", nil)
				h.is(err, catalog.ErrMoved)
				if d := h.db("orders"); d.ActiveRun != "" {
					t.Fatalf("database %+v", d)
				}
				return
			}
			_, err = h.Cancel(ctx, r.ID, "ada", nil)
			h.must(err) // twice is once
			to := stacks.PhaseAwaiting
			if c.phase == stacks.PhaseApplying {
				to = stacks.PhaseLinking
			}
			_, err = h.MoveRun(ctx, r.ID, catalog.Move{From: c.phase, To: to})
			h.is(err, catalog.ErrMoved)
			h.is(err, catalog.ErrRefused)
			h.move(r.ID, c.phase, stacks.PhaseCancelled)
		})
	}
}

func TestACancelThatCannotReachTheHeadIsNone(t *testing.T) {
	h := newHouse(t)
	r := h.submit(spec("orders", "15"), 0)
	h.plan(r.ID, "")
	applying(h, r.ID)
	boom := errors.New("boom")
	_, err := h.Cancel(t.Context(), r.ID, "ada", func(*store.Tx) error { return boom })
	h.is(err, boom)
	if r := h.run(r.ID); r.Cancel {
		t.Fatalf("run %+v", r)
	}
}

// race runs every contender at once, half of them on a store of their own, and returns their errors.
func (h *house) race(contenders ...func(c *catalog.Catalog) error) []error {
	h.t.Helper()
	errs := make([]error, len(contenders))
	var start, done sync.WaitGroup
	start.Add(1)
	for i, f := range contenders {
		c := h.Catalog
		if i%2 == 1 {
			c = catalog.New(h.openStore(), h.keys)
		}
		done.Go(func() {
			start.Wait()
			errs[i] = f(c)
		})
	}
	start.Done()
	done.Wait()
	return errs
}

// However the race ends: exactly one of begin, cancel and supersede has the run, and the others were told so.
func TestApproveCancelSupersedeRace(t *testing.T) {
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			h := newHouse(t)
			ctx := context.Background()
			r := h.submit(spec("orders", "15"), 0)
			r = h.plan(r.ID, "")
			h.approve(r.ID)
			begin := func(c *catalog.Catalog) error {
				_, err := c.MoveRun(ctx, r.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
				return err
			}
			approve := func(c *catalog.Catalog) error { _, err := c.Approve(ctx, r.ID, r.PlanDigest, "grace"); return err }
			cancel := func(c *catalog.Catalog) error { _, err := c.Cancel(ctx, r.ID, "ada", nil); return err }
			supersede := func(c *catalog.Catalog) error {
				_, err := c.Submit(ctx, catalog.SubmitInput{Effective: spec("orders", "16"), Kind: stacks.RunApply, ExpectRevision: 1})
				return err
			}
			errs := h.race(begin, cancel, supersede, begin, approve, approve)
			for i, err := range errs {
				if err != nil && !errors.Is(err, catalog.ErrMoved) {
					t.Errorf("contender %d was told %v", i, err)
				}
			}
			begun := 0
			for _, i := range []int{0, 3} {
				if errs[i] == nil {
					begun++
				}
			}
			got := h.run(r.ID)
			switch got.Phase {
			case stacks.PhaseApplying: // a cancel after that is only asked for; a newer run queues
				if begun != 1 || (errs[1] == nil) != got.Cancel {
					t.Errorf("%d began, cancel %v: %+v", begun, errs[1], got)
				}
			case stacks.PhaseCancelled:
				if begun != 0 || errs[1] != nil {
					t.Errorf("%d began, cancel %v", begun, errs[1])
				}
			case stacks.PhaseSuperseded:
				if begun != 0 || errs[1] == nil {
					t.Errorf("%d began, cancel %v", begun, errs[1])
				}
			default:
				t.Errorf("run %+v", got)
			}
			if errs[2] != nil {
				t.Errorf("the newer run: %v", errs[2])
			}
		})
	}
}

func TestSubmissionsRaceForOneRevision(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	for revision := range int64(3) {
		var contenders []func(c *catalog.Catalog) error
		for i := range 6 {
			contenders = append(contenders, func(c *catalog.Catalog) error {
				_, err := c.Submit(ctx, catalog.SubmitInput{Effective: spec("orders", fmt.Sprintf("%d.%d", revision, i)), Kind: stacks.RunApply, ExpectRevision: revision})
				return err
			})
		}
		won := 0
		for i, err := range h.race(contenders...) {
			if err == nil {
				won++
			} else if !errors.Is(err, catalog.ErrMoved) {
				t.Errorf("submission %d was told %v", i, err)
			}
		}
		if won != 1 || h.db("orders").Revision != revision+1 {
			t.Fatalf("%d submissions of one revision won; database %+v", won, h.db("orders"))
		}
	}
}

func TestFunnelsRaceForTheNextRun(t *testing.T) {
	h := newHouse(t)
	r := h.submit(spec("orders", "15"), 0)
	got := make([]string, 6)
	var contenders []func(c *catalog.Catalog) error
	for i := range got {
		contenders = append(contenders, func(c *catalog.Catalog) (err error) {
			got[i], err = c.NextRun(context.Background(), "default", "orders")
			return err
		})
	}
	for _, err := range h.race(contenders...) {
		h.must(err)
	}
	for _, id := range got {
		if id != r.ID {
			t.Fatalf("funnels got %q", got)
		}
	}
}
