package activities

import (
	"context"
	"slices"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

func (h *house) locations(want ...string) {
	h.t.Helper()
	got, err := h.Locations(h.t.Context(), h.run.ID)
	h.must(err)
	if !slices.Equal(got, want) {
		h.t.Errorf("locations %q, want %q", got, want)
	}
}

// TestRegionsBesideTheSpec wants every region that is there worked on, where it is, though the run's spec does not have it.
func TestRegionsBesideTheSpec(t *testing.T) {
	t.Run("removed in another location", func(t *testing.T) {
		h := newHouse(t)
		db := orders("ankara", "istanbul")
		db.Spec.Regions[1].Location = "there"
		h.submit(db, stacks.RunApply)
		h.locations("local", "there")
		h.born("ankara")
		h.born("istanbul")
		h.over()
		h.submit(orders("ankara"), stacks.RunApply)
		h.locations("local", "there")
		res := h.step("", stacks.PhasePlanning, "ankara", "istanbul")
		if !res.Regions[1].Destroy || res.Regions[1].Location != "there" {
			t.Errorf("istanbul's work is %+v", res.Regions[1])
		}
		h.locations("local", "there")
	})
	t.Run("only in a later revision", func(t *testing.T) {
		h := newHouse(t)
		h.submit(orders("ankara"), stacks.RunApply)
		h.born("ankara")
		h.over()
		h.submit(orders("ankara", "istanbul"), stacks.RunCheck)
		h.born("istanbul")
		_, err := h.Catalog.MoveRun(t.Context(), h.run.ID, catalog.Move{From: stacks.PhasePending, To: stacks.PhaseDone})
		h.must(err)
		h.destroy()
		h.locations("local")
		h.step("", stacks.PhasePlanning, "ankara", "istanbul")
		w, err := h.load(t.Context(), RegionInput{Run: h.run.ID, Region: "istanbul"})
		h.must(err)
		if w.region.Name != "istanbul" || !w.row.Destroy {
			t.Errorf("istanbul is %+v, %+v", w.region, w.row)
		}
	})
	t.Run("placed and never planned", func(t *testing.T) {
		h := newHouse(t)
		h.submit(orders("ankara"), stacks.RunApply)
		_, err := h.Catalog.EnsurePlacement(t.Context(), stackID(h.run, "ankara"), func([]string) (stacks.Placement, error) {
			return stacks.Placement{Address: "127.0.0.2", Port: 5432}, nil
		})
		h.must(err)
		h.over()
		h.destroy()
		h.step("", stacks.PhasePlanning, "ankara")
	})
	t.Run("that nobody knows", func(t *testing.T) {
		h := newHouse(t)
		h.submit(orders("ankara"), stacks.RunApply)
		h.born("ghost")
		res := h.step("", stacks.PhasePlanning, "ankara", "ghost")
		if res.Regions[1].Location != "local" {
			t.Errorf("its step would run on queue %q, which nobody serves", res.Regions[1].Location)
		}
		_, err := h.load(t.Context(), RegionInput{Run: h.run.ID, Region: "ghost"})
		h.is(err, catalog.ErrNotFound)
	})
}

// TestNeedsRunner wants another runner after one that was killed, and no storm of them.
func TestNeedsRunner(t *testing.T) {
	h := newHouse(t)
	over := make(chan struct{})
	close(over)
	fresh := &process{done: over, err: context.Canceled, started: time.Now()} // no exit code: it was killed
	old := &process{done: over, err: context.Canceled, started: time.Now().Add(-h.Timing.BeatEvery)}
	for name, tc := range map[string]struct {
		p      *process
		killed int
		want   bool
	}{
		"the first":               {nil, 0, true},
		"after one that died":     {fresh, 0, true},
		"after many that died":    {fresh, killsAtOnce, false},
		"a beat after many":       {old, killsAtOnce, true},
		"while one runs":          {&process{done: make(chan struct{})}, 0, false},
		"after one that was done": {&process{done: over, started: time.Now()}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := h.needsRunner(tc.p, tc.killed); got != tc.want {
				t.Errorf("needs a runner: %v", got)
			}
		})
	}
}
