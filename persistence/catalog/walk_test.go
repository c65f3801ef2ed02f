package catalog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// A random walk of people and workflows over one database: whatever they do, in whatever order, the rows keep their promises,
// and at the end every run can be brought to its end.
func TestRandomWalk(t *testing.T) {
	h := newHouse(t)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &walk{house: &house{Catalog: h.Catalog, t: t, dir: h.dir, st: h.st, keys: h.keys}, name: fmt.Sprint("db", seed), rnd: rand.New(rand.NewPCG(seed, 1))}
			for range 60 {
				w.step()
				w.check()
			}
			w.drain()
		})
	}
}

type walk struct {
	*house
	name    string
	rnd     *rand.Rand
	version int
}

// allowed fails on an error that is no honest answer to somebody who came too late.
func (w *walk) allowed(err error) {
	w.t.Helper()
	for _, known := range []error{catalog.ErrMoved, catalog.ErrDestroying, catalog.ErrRefused, catalog.ErrStaleDigest, catalog.ErrNotFound} {
		if err == nil || errors.Is(err, known) {
			return
		}
	}
	w.t.Fatal(err)
}

func (w *walk) open() []catalog.Run {
	w.t.Helper()
	runs, err := w.Runs(w.t.Context(), catalog.RunFilter{Namespace: "default", Name: w.name, Open: true})
	w.must(err)
	return runs
}

func (w *walk) step() {
	ctx := w.t.Context()
	open := w.open()
	var one catalog.Run
	if len(open) > 0 {
		one = open[w.rnd.IntN(len(open))]
	}
	switch w.rnd.IntN(10) {
	case 0, 1:
		d, _ := w.Database(ctx, "default", w.name)
		w.version += w.rnd.IntN(2)
		_, err := w.Submit(ctx, catalog.SubmitInput{Effective: spec(w.name, fmt.Sprint(w.version)), Kind: stacks.RunApply, ExpectRevision: d.Revision, Yes: w.rnd.IntN(2) == 0})
		w.allowed(err)
	case 2:
		_, err := w.SubmitDestroy(ctx, "default", w.name, "ada")
		w.allowed(err)
	case 3:
		_, err := w.Cancel(ctx, one.ID, "ada", nil)
		w.allowed(err)
	case 4, 5:
		_, err := w.Approve(ctx, one.ID, one.PlanDigest, "grace")
		w.allowed(err)
	case 6:
		if len(one.Regions) > 0 {
			_, err := w.Replan(ctx, one.ID, one.Regions[0].Region, "stale")
			w.allowed(err)
		}
	default:
		id, err := w.NextRun(ctx, "default", w.name)
		w.must(err)
		if id != "" {
			w.advance(w.run(id))
		}
	}
}

// advance is one step of the workflow that works on a run.
func (w *walk) advance(r catalog.Run) {
	w.t.Helper()
	ctx := w.t.Context()
	m := catalog.Move{From: r.Phase}
	switch {
	case r.Cancel:
		m.To = stacks.PhaseCancelled
	case r.Phase == stacks.PhasePending:
		_, err := w.SetRegions(ctx, r.ID, []catalog.RunRegion{{Region: "ankara"}, {Region: "istanbul"}})
		w.allowed(err)
		m.To = stacks.PhasePlanning
	case r.Phase == stacks.PhasePlanning:
		for _, x := range r.Regions {
			w.allowed(w.UpdateRegion(ctx, r.ID, x.Region, func(x catalog.RunRegion) catalog.RunRegion {
				x.Phase, x.StackDigest, x.ArtifactDigest = stacks.RegionPlanned, "s", fmt.Sprint(r.ID, x.Plans)
				return x
			}))
		}
		m.To, m.PlanDigest = stacks.PhaseAwaiting, w.planDigest(r.ID)
		if r.Kind == stacks.RunDestroy {
			m.NeedsApproval = "destroys it"
		}
	case r.Phase == stacks.PhaseAwaiting:
		m.To = stacks.PhaseApplying
	case r.Kind == stacks.RunDestroy:
		w.must(w.RemoveDatabase(ctx, r.Incarnation))
		m.To = stacks.PhaseDone
	default:
		m.To = []stacks.Phase{stacks.PhaseDone, stacks.PhaseFailed}[w.rnd.IntN(2)]
	}
	_, err := w.MoveRun(ctx, r.ID, m)
	w.allowed(err)
}

// check holds the rows to their promises.
func (w *walk) check() {
	w.t.Helper()
	ctx := w.t.Context()
	working := 0
	for _, r := range w.open() {
		if r.EndedAt != nil {
			w.t.Fatalf("an open run has ended: %+v", r)
		}
		if r.Phase != stacks.PhaseUnlinking && r.Phase != stacks.PhaseApplying && r.Phase != stacks.PhaseLinking {
			continue
		}
		working++
		d, err := w.Incarnation(ctx, r.Incarnation)
		w.must(err)
		if d.ActiveRun != r.ID {
			w.t.Fatalf("run %s works, the active one is %q", r.ID, d.ActiveRun)
		}
		if ok, err := w.Approved(ctx, r.ID); err != nil || !ok {
			w.t.Fatalf("run %s works without a yes: %v", r.ID, err)
		}
	}
	if working > 1 {
		w.t.Fatalf("%d runs work on one database", working)
	}
}

// drain says yes to whatever waits until nothing is left to do: no run may be stuck.
func (w *walk) drain() {
	w.t.Helper()
	for range 200 {
		open := w.open()
		if len(open) == 0 {
			if d, err := w.Database(w.t.Context(), "default", w.name); err == nil && d.ActiveRun != "" {
				w.t.Fatalf("nothing is left to do, and %s is active", d.ActiveRun)
			}
			return
		}
		if id := w.next(w.name); id != "" {
			w.advance(w.run(id))
			continue
		}
		for _, r := range w.open() {
			if r.Phase != stacks.PhaseAwaiting {
				w.t.Fatalf("the funnel leaves run %s, which is %s", r.ID, r.Phase)
			}
			_, err := w.Approve(w.t.Context(), r.ID, r.PlanDigest, "grace")
			w.must(err)
		}
	}
	w.t.Fatalf("runs that do not end: %+v", w.open())
}
