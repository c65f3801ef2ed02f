package activities

import (
	"context"
	"reflect"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks"
)

// TestLate has workflows that know less than the rows ask for every step in every phase of a run: a step that belongs to another phase
// changes no row, makes no secret and is no error, so that the workflow goes on to ask where the run stands.
func TestLate(t *testing.T) {
	region := func(f func(*Activities, context.Context, RegionInput) (RegionResult, error)) func(*house) (RegionResult, error) {
		return func(h *house) (RegionResult, error) {
			return f(h.Activities, h.t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
		}
	}
	link := func(f func(*Activities, context.Context, LinkInput) (RegionResult, error)) func(*house) (RegionResult, error) {
		return func(h *house) (RegionResult, error) {
			return f(h.Activities, h.t.Context(), LinkInput{Run: h.run.ID, Link: "ankara-istanbul"})
		}
	}
	steps := map[string]struct {
		phase stacks.Phase
		ask   func(h *house) (RegionResult, error)
	}{
		NameSettleStack:   {stacks.PhasePlanning, region((*Activities).SettleStack)},
		NamePlanStack:     {stacks.PhasePlanning, region((*Activities).PlanStack)},
		NameCheckStack:    {stacks.PhasePlanning, region((*Activities).CheckStack)},
		NameApplyStack:    {stacks.PhaseApplying, region((*Activities).ApplyStack)},
		NameCheckReady:    {stacks.PhaseApplying, region((*Activities).CheckReady)},
		NameEnsureObjects: {stacks.PhaseApplying, region((*Activities).EnsureObjects)},
		NameRemoveRegion:  {stacks.PhaseApplying, region((*Activities).RemoveRegion)},
		NameEnsureLink:    {stacks.PhaseLinking, link((*Activities).EnsureLink)},
		NameCheckLink:     {stacks.PhaseLinking, link((*Activities).CheckLink)},
		NameRemoveLink:    {stacks.PhaseUnlinking, link((*Activities).RemoveLink)},
	}
	stands := map[stacks.Phase]func(h *house){
		stacks.PhasePending:  func(*house) {},
		stacks.PhasePlanning: func(h *house) { h.step("", stacks.PhasePlanning, "ankara", "istanbul") },
		stacks.PhaseApplying: func(h *house) {
			h.step("", stacks.PhasePlanning, "ankara", "istanbul")
			h.planned("ankara", "a")
			h.planned("istanbul", "b")
			h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara", "istanbul")
		},
		stacks.PhaseLinking: func(h *house) { h.ready() },
		stacks.PhaseFailed:  func(h *house) { h.ready(); h.over() },
	}
	for phase, stand := range stands {
		t.Run(string(phase), func(t *testing.T) {
			h := newHouse(t)
			h.submit(linked(orders("ankara", "istanbul"), "istanbul"), stacks.RunApply)
			stand(h)
			before := h.row()
			if before.Phase != phase {
				t.Fatalf("the run is %s", before.Phase)
			}
			for name, step := range steps {
				if step.phase == phase {
					continue
				}
				res, err := step.ask(h)
				if err != nil || res.Go {
					t.Errorf("%s of a run that is %s: %+v, %v", name, phase, res, err)
				}
				if after := h.row(); !reflect.DeepEqual(before, after) {
					t.Errorf("%s moved a run that is %s:\n%+v\n%+v", name, phase, before, after)
				}
				links, err := h.Catalog.Links(t.Context(), h.run.Incarnation)
				h.must(err)
				_, err = h.Catalog.Secret(t.Context(), h.run.Incarnation, "link/ankara-istanbul")
				if h.is(err, catalog.ErrNotFound); len(links) > 0 {
					t.Errorf("%s made %+v", name, links)
				}
			}
		})
	}
}

// TestSlower wants an attempt that comes to its end after a faster one to overwrite nothing.
func TestSlower(t *testing.T) {
	h := newHouse(t)
	h.submit(orders("ankara", "istanbul"), stacks.RunApply)
	h.step("", stacks.PhasePlanning, "ankara", "istanbul")
	w, err := h.load(t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
	h.must(err)
	h.planned("ankara", "a")
	h.planned("istanbul", "b")
	h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara", "istanbul")
	h.ended("ankara", stacks.RegionReady)
	before := h.row()
	h.must(h.Activities.planned(t.Context(), w, "stack", nil, nil))
	h.must(h.setRegion(t.Context(), w, stacks.RegionWaiting, "terraform is done"))
	if after := h.row(); !reflect.DeepEqual(before, after) {
		t.Errorf("ankara was %+v and is %+v", before.Regions[0], after.Regions[0])
	}
}

// TestPlanThatStillFits plans a region again whose state has not moved: the artifact of before is taken, and with it the step that made it.
func TestPlanThatStillFits(t *testing.T) {
	h := newHouse(t)
	h.submit(orders("ankara"), stacks.RunApply)
	h.step("", stacks.PhasePlanning, "ankara")
	h.planned("ankara", "a")
	h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara")
	_, err := h.Catalog.Replan(t.Context(), h.run.ID, "ankara", "terraform was killed before it changed anything")
	h.must(err)
	w, err := h.load(t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
	h.must(err)
	art := journal.Artifact{ID: h.run.ID + "/ankara/plan.1", Digest: "a", StateSerial: 1}
	h.must(h.Activities.planned(t.Context(), w, "stack", &art, nil))
	if r := h.row().Regions[0]; r.Phase != stacks.RegionPlanned || r.PlanStep != art.ID {
		t.Errorf("ankara is %+v, want it planned by %s", r, art.ID)
	}
}
