package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// TestPreflight holds that nothing is rendered, placed or planned where the provider says that its place cannot be worked on, and that the
// run goes on where that is mended.
func TestPreflight(t *testing.T) {
	for name, plan := range map[string]struct {
		kind stacks.RunKind
		do   func(*Activities, context.Context, RegionInput) (RegionResult, error)
	}{
		NamePlanStack:  {stacks.RunApply, (*Activities).PlanStack},
		NameCheckStack: {stacks.RunCheck, (*Activities).CheckStack},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.submit(orders("ankara"), plan.kind)
			h.step("", stacks.PhasePlanning, "ankara")
			h.cloud.preflight = func() error { return fmt.Errorf("another account: %w", providers.ErrPermanent) }
			before := h.row()
			_, err := plan.do(h.Activities, t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
			if h.is(err, providers.ErrPermanent); !strings.Contains(err.Error(), "before the plan of ankara: another account") {
				t.Error(err)
			}
			if after := h.row(); after.Regions[0].PlanStep != before.Regions[0].PlanStep || after.Regions[0].Phase != stacks.RegionPending {
				t.Errorf("the region is %+v", after.Regions[0])
			}
			_, err = h.Journal.Head(t.Context(), stackID(h.run, "ankara"))
			if err == nil {
				t.Error("the stack was born")
			}
			h.cloud.preflight = nil
			_, err = plan.do(h.Activities, t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
			if err == nil || strings.Contains(err.Error(), "before the plan") { // this provider has no module to render
				t.Errorf("once mended: %v", err)
			}
		})
	}
}

// TestProgress holds that what the cloud says during an apply is shown, each thing once, that its trouble disturbs nothing, and that
// nothing is written once the apply has ended.
func TestProgress(t *testing.T) {
	h := newHouse(t)
	h.Timing.ProgressEvery = time.Millisecond
	h.submit(orders("ankara"), stacks.RunApply)
	h.step("", stacks.PhasePlanning, "ankara")
	h.planned("ankara", "a")
	h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara")
	step := h.run.ID + "/ankara/apply.1"
	h.ended("ankara", stacks.RegionApplying) // it has begun
	var asked atomic.Int64
	h.cloud.progress = func() (string, error) {
		switch n := asked.Add(1); {
		case n <= 3:
			return "", errors.New("throttled")
		case n <= 6:
			return "db is creating", nil
		}
		return "db is backing-up", nil
	}
	w, err := h.load(t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
	h.must(err)
	stop := h.showProgress(t.Context(), w, step)
	for deadline := time.Now().Add(time.Minute); h.row().Regions[0].Message != "db is backing-up" || asked.Load() < 9; {
		if time.Now().After(deadline) {
			t.Fatalf("after %d questions the row says %q", asked.Load(), h.row().Regions[0].Message)
		}
	}
	stop()
	was := asked.Load()
	lines, err := h.Catalog.LogLines(t.Context(), h.run.ID, 0)
	h.must(err)
	var said []string
	for _, l := range lines {
		if l.Part == "ankara" {
			said = append(said, l.Text)
		}
	}
	if got := strings.Join(said, "; "); got != "db is creating; db is backing-up" {
		t.Errorf("the log says %q", got)
	}
	h.ended("ankara", stacks.RegionFailed)
	if last := h.tell(t.Context(), w, step, h.cloud, providers.ModuleInput{}, "before"); last != "db is backing-up" || h.row().Regions[0].Message != "played" {
		t.Errorf("after its end the row says %q", h.row().Regions[0].Message)
	}
	if asked.Load() != was+1 {
		t.Error("it is asked after its end")
	}
	other := func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.ApplyStep, r.Message = stacks.RegionApplying, "another", "theirs"
		return r
	}
	h.must(h.Catalog.UpdateRegion(t.Context(), h.run.ID, "ankara", other))
	if h.tell(t.Context(), w, step, h.cloud, providers.ModuleInput{}, ""); h.row().Regions[0].Message != "theirs" {
		t.Error("a slower attempt wrote over a newer one")
	}
}
