package catalog_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/stacks"
)

func TestARunFromSubmissionToDone(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0)
	r = h.plan(r.ID, "")
	if r.Phase != stacks.PhaseAwaiting || r.PlanDigest == "" || len(r.Regions) != 2 || r.Regions[0].Region != "ankara" || r.Regions[0].Changes[0].Address != "localdb_postgres.this" {
		t.Fatalf("run %+v", r)
	}
	if d := h.db("orders"); d.ActiveRun != r.ID || d.Phase != catalog.DatabaseCreating {
		t.Fatalf("database %+v", d)
	}
	_, err := h.MoveRun(ctx, r.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	h.is(err, catalog.ErrMoved) // no yes yet
	h.is(err, catalog.ErrRefused)
	h.approve(r.ID)
	h.move(r.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
	h.move(r.ID, stacks.PhaseApplying, stacks.PhaseLinking)
	r, err = h.MoveRun(ctx, r.ID, catalog.Move{From: stacks.PhaseLinking, To: stacks.PhaseDone, Message: "all is well"})
	h.must(err)
	if r.EndedAt == nil || r.Message != "all is well" {
		t.Fatalf("run %+v", r)
	}
	d := h.db("orders")
	if d.ActiveRun != "" || d.Applied != 1 || d.Phase != catalog.DatabaseReady {
		t.Fatalf("database %+v", d)
	}
	if next := h.next("orders"); next != "" {
		t.Fatalf("next run %q", next)
	}
}

func TestMoveRunOnlyForward(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0, yes)
	h.next("orders")
	for name, m := range map[string]catalog.Move{
		"back":           {From: stacks.PhasePlanning, To: stacks.PhasePending},
		"to itself":      {From: stacks.PhasePending, To: stacks.PhasePending},
		"out of an end":  {From: stacks.PhaseDone, To: stacks.PhaseFailed},
		"to no phase":    {From: stacks.PhasePending, To: "ready"},
		"from no phase":  {From: "", To: stacks.PhaseDone},
		"out of nothing": {},
	} {
		if _, err := h.MoveRun(ctx, r.ID, m); err == nil || errors.Is(err, catalog.ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
	_, err := h.MoveRun(ctx, r.ID, catalog.Move{From: stacks.PhasePending, To: stacks.PhasePlanning})
	h.is(err, catalog.ErrMoved) // done already
	_, err = h.MoveRun(ctx, "nothing", catalog.Move{From: stacks.PhasePending, To: stacks.PhasePlanning})
	h.is(err, catalog.ErrNotFound)
}

func TestTheDatabaseAfterARun(t *testing.T) {
	fail := func(from stacks.Phase) func(*house, string) {
		return func(h *house, id string) {
			_, err := h.MoveRun(h.t.Context(), id, catalog.Move{
				From: from, To: stacks.PhaseFailed, Reason: "RegionFailed", Message: "ankara: boom",
				Diagnostics: []stacks.Diagnostic{{Summary: "z", Address: "b"}, {Summary: "y", Address: "a"}},
			})
			h.must(err)
		}
	}
	for name, c := range map[string]struct {
		applied bool // a run was done before
		end     func(h *house, id string)
		phase   string
	}{
		"planning failed at first": {false, func(h *house, id string) { fail(stacks.PhaseAwaiting)(h, id) }, catalog.DatabaseFailed},
		"planning failed later":    {true, func(h *house, id string) { fail(stacks.PhaseAwaiting)(h, id) }, catalog.DatabaseReady},
		"applying failed at first": {false, func(h *house, id string) {
			h.approve(id)
			h.move(id, stacks.PhaseAwaiting, stacks.PhaseApplying)
			fail(stacks.PhaseApplying)(h, id)
		}, catalog.DatabaseFailed},
		"applying failed later": {true, func(h *house, id string) {
			h.approve(id)
			h.move(id, stacks.PhaseAwaiting, stacks.PhaseApplying)
			fail(stacks.PhaseApplying)(h, id)
		}, catalog.DatabaseDegraded},
		"cancelled while it waited":  {true, func(h *house, id string) { _, err := h.Cancel(h.t.Context(), id, "ada", nil); h.must(err) }, catalog.DatabaseReady},
		"superseded while it waited": {true, func(h *house, id string) { h.submit(spec("orders", "18"), 2) }, catalog.DatabaseReady},
		"planned again, then cancelled": {true, func(h *house, id string) {
			replanned(h, id)
			_, err := h.Cancel(h.t.Context(), id, "ada", nil)
			h.must(err)
			h.move(id, stacks.PhasePlanning, stacks.PhaseCancelled)
		}, catalog.DatabaseDegraded},
		"planned again, then failed": {true, func(h *house, id string) { replanned(h, id); fail(stacks.PhasePlanning)(h, id) }, catalog.DatabaseDegraded},
		"planned again at first, then failed": {false, func(h *house, id string) {
			replanned(h, id)
			fail(stacks.PhasePlanning)(h, id)
		}, catalog.DatabaseFailed},
		"planned again, cancelled while it waited for another yes": {true, func(h *house, id string) {
			replanned(h, id)
			h.planAgain(id, "", "b")
			if next := h.next("orders"); next != "" {
				h.t.Fatalf("next run %q", next)
			}
			_, err := h.Cancel(h.t.Context(), id, "ada", nil)
			h.must(err)
		}, catalog.DatabaseDegraded},
		"planned again, superseded while it waited for another yes": {true, func(h *house, id string) {
			replanned(h, id)
			h.planAgain(id, "", "b")
			h.submit(spec("orders", "18"), 2)
		}, catalog.DatabaseDegraded},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			r := h.submit(spec("orders", "15"), 0)
			if c.applied {
				h.plan(r.ID, "")
				h.approve(r.ID)
				h.finish(r.ID)
				r = h.submit(spec("orders", "16"), 1)
			}
			h.plan(r.ID, "")
			c.end(h, r.ID)
			d := h.db("orders")
			if d.Phase != c.phase || d.ActiveRun != "" {
				t.Fatalf("database %+v", d)
			}
			ended := h.run(r.ID)
			if !ended.Phase.Ended() || ended.EndedAt == nil {
				t.Fatalf("run %+v", ended)
			}
			if ended.Phase == stacks.PhaseFailed && (ended.Reason != "RegionFailed" || ended.Diagnostics[0].Address != "a") {
				t.Fatalf("run %+v", ended)
			}
		})
	}
}

// replanned brings a planned run to work, and back to planning.
func replanned(h *house, id string) {
	h.t.Helper()
	h.approve(id)
	h.move(id, stacks.PhaseAwaiting, stacks.PhaseApplying)
	_, err := h.Replan(h.t.Context(), id, "ankara", "the plan is stale")
	h.must(err)
}

// TestOneThatWaitsBehindAnotherChangesNothing cancels a run while another works.
func TestOneThatWaitsBehindAnotherChangesNothing(t *testing.T) {
	h := newHouse(t)
	h.finishNew("orders", "15")
	works := h.submit(spec("orders", "16"), 1)
	h.plan(works.ID, "")
	h.approve(works.ID)
	h.move(works.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
	waits := h.submit(spec("orders", "17"), 2)
	_, err := h.Cancel(t.Context(), waits.ID, "ada", nil)
	h.must(err)
	if d := h.db("orders"); d.Phase != catalog.DatabaseChanging || d.ActiveRun != works.ID {
		t.Fatalf("database %+v", d)
	}
}

func TestWorkingChangesThePhase(t *testing.T) {
	h := newHouse(t)
	r := h.submit(spec("orders", "15"), 0)
	h.plan(r.ID, "")
	h.approve(r.ID)
	h.finish(r.ID)
	r = h.submit(spec("orders", "16"), 1)
	h.plan(r.ID, "")
	if d := h.db("orders"); d.Phase != catalog.DatabaseReady {
		t.Fatalf("database %+v: a plan changes nothing", d)
	}
	h.approve(r.ID)
	h.move(r.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
	if d := h.db("orders"); d.Phase != catalog.DatabaseChanging {
		t.Fatalf("database %+v", d)
	}
	h.move(r.ID, stacks.PhaseApplying, stacks.PhaseDone)
	destroy, err := h.SubmitDestroy(t.Context(), "default", "orders", "ada")
	h.must(err)
	h.plan(destroy.ID, "destroys default/orders")
	h.approve(destroy.ID)
	h.move(destroy.ID, stacks.PhaseAwaiting, stacks.PhaseUnlinking)
	if d := h.db("orders"); d.Phase != catalog.DatabaseDestroying {
		t.Fatalf("database %+v", d)
	}
}

func TestAllowReplaceIsClearedOnceUsed(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.finishNew("orders", "15")
	replace := spec("orders", "16")
	replace.Spec.AllowReplace = []string{"ankara"}
	r := h.submit(replace, 1)
	seen := func() []string {
		t.Helper()
		rev, err := h.Revision(ctx, r.Incarnation, r.Revision)
		h.must(err)
		return rev.Effective.Spec.AllowReplace
	}
	h.plan(r.ID, "")
	h.approve(r.ID)
	if got := seen(); !slices.Equal(got, []string{"ankara"}) {
		t.Fatalf("allowReplace %q before its use", got)
	}
	h.finish(r.ID)
	if got := seen(); got != nil {
		t.Fatalf("allowReplace %q after its use", got)
	}
	without := spec("orders", "16")
	if again := h.submit(without, 2); again.Revision != 2 {
		t.Errorf("the same spec without it is revision %d", again.Revision)
	}
	if again := h.submit(replace, 2); again.Revision != 3 {
		t.Errorf("a new permission is revision %d", again.Revision)
	}
}

// finishNew submits a database and brings its first run to done.
func (h *house) finishNew(name, version string) catalog.Run {
	h.t.Helper()
	r := h.submit(spec(name, version), 0)
	h.plan(r.ID, "")
	h.approve(r.ID)
	h.finish(r.ID)
	return h.run(r.ID)
}

func TestReplan(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0)
	r = h.plan(r.ID, "")
	h.approve(r.ID)
	h.move(r.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
	old := r.PlanDigest
	r, err := h.Replan(ctx, r.ID, "ankara", "the state moved")
	h.must(err)
	if r.Phase != stacks.PhasePlanning || r.PlanDigest != "" || r.Regions[0].Plans != 1 || r.Regions[0].ArtifactDigest != "" || r.Regions[0].Phase != stacks.RegionPending {
		t.Fatalf("run %+v", r)
	}
	if r.Regions[1].StackDigest != "stack2" || r.Regions[1].Plans != 0 {
		t.Fatalf("the other region %+v", r.Regions[1])
	}
	_, err = h.Replan(ctx, r.ID, "ankara", "again")
	h.is(err, catalog.ErrMoved) // planning already
	// The yes was to another plan.
	r = h.planAgain(r.ID, "", "other")
	if r.PlanDigest == old {
		t.Fatalf("digest %s again", old)
	}
	if ok, err := h.Approved(ctx, r.ID); err != nil || ok {
		t.Fatalf("approved after a new plan: %v, %v", ok, err)
	}
	_, err = h.MoveRun(ctx, r.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	h.is(err, catalog.ErrRefused)
	h.approve(r.ID)
	h.finish(r.ID)
	_, err = h.Replan(ctx, r.ID, "ankara", "too late")
	h.is(err, catalog.ErrMoved)
}

func TestReplanKeepsAYesThatIsOfNoPlan(t *testing.T) {
	h := newHouse(t)
	r := h.submit(spec("orders", "15"), 0, yes)
	h.plan(r.ID, "")
	_, err := h.Replan(t.Context(), r.ID, "ankara", "the state moved")
	h.must(err)
	h.planAgain(r.ID, "", "other")
	h.finish(r.ID)
	r = h.submit(spec("orders", "16"), 1, yes)
	h.plan(r.ID, "")
	_, err = h.Replan(t.Context(), r.ID, "ankara", "the state moved")
	h.must(err)
	h.planAgain(r.ID, "destroys ankara", "other") // the new plan is dangerous
	_, err = h.MoveRun(t.Context(), r.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	h.is(err, catalog.ErrRefused)
}

func TestRegionsAreSetOnceAndFrozenWithThePlan(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0)
	h.plan(r.ID, "")
	got, err := h.SetRegions(ctx, r.ID, []catalog.RunRegion{{Region: "izmir"}})
	h.must(err)
	if len(got) != 2 || got[0].Region != "ankara" || got[1].Region != "istanbul" {
		t.Fatalf("regions %+v", got)
	}
	before := h.run(r.ID).Regions[0]
	for name, f := range map[string]func(*catalog.RunRegion){
		"artifact digest": func(x *catalog.RunRegion) { x.ArtifactDigest = "forged" },
		"artifact":        func(x *catalog.RunRegion) { x.Artifact = "forged" },
		"stack digest":    func(x *catalog.RunRegion) { x.StackDigest = "forged" },
		"serial":          func(x *catalog.RunRegion) { x.StateSerial++ },
		"destroy":         func(x *catalog.RunRegion) { x.Destroy = true },
	} {
		err := h.UpdateRegion(ctx, r.ID, "ankara", func(x catalog.RunRegion) catalog.RunRegion { f(&x); return x })
		if !errors.Is(err, catalog.ErrMoved) {
			t.Errorf("%s changed under a plan that people read: %v", name, err)
		}
	}
	h.must(h.UpdateRegion(ctx, r.ID, "ankara", func(x catalog.RunRegion) catalog.RunRegion {
		x.Phase, x.Message, x.ApplyStep = stacks.RegionApplying, "creating", "apply.1"
		return x
	}))
	after := h.run(r.ID).Regions[0]
	if after.Message != "creating" || after.ApplyStep != "apply.1" || !after.MovedAt.After(before.MovedAt) || len(after.Changes) != 1 {
		t.Fatalf("region %+v", after)
	}
	h.is(h.UpdateRegion(ctx, r.ID, "izmir", func(x catalog.RunRegion) catalog.RunRegion { return x }), catalog.ErrNotFound)
	if err := h.UpdateRegion(ctx, r.ID, "ankara", func(x catalog.RunRegion) catalog.RunRegion { x.Region = "izmir"; return x }); err == nil {
		t.Error("a region changed its name")
	}
}

func TestNeedsYes(t *testing.T) {
	changed := catalog.RunRegion{Region: "a", StackDigest: "s", ArtifactDigest: "d", Phase: stacks.RegionPlanned}
	same := catalog.RunRegion{Region: "b", StackDigest: "s", Phase: stacks.RegionUnchanged}
	later := catalog.RunRegion{Region: "b", StackDigest: "s", Phase: stacks.RegionReady}
	unplanned := catalog.RunRegion{Region: "c"}
	for name, c := range map[string]struct {
		run  catalog.Run
		want bool
	}{
		"changes":                          {catalog.Run{Regions: []catalog.RunRegion{changed, same}}, true},
		"changes, with a yes":              {catalog.Run{Yes: true, Regions: []catalog.RunRegion{changed}}, false},
		"dangerous, with a yes":            {catalog.Run{Yes: true, NeedsApproval: "destroys a", Regions: []catalog.RunRegion{changed}}, true},
		"nothing changes":                  {catalog.Run{Regions: []catalog.RunRegion{same, later}}, false},
		"nothing changes, still dangerous": {catalog.Run{NeedsApproval: "drops database x", Regions: []catalog.RunRegion{same}}, true},
		"a region is not planned":          {catalog.Run{Regions: []catalog.RunRegion{same, unplanned}}, true},
		"no region is known":               {catalog.Run{}, true},
		"a destroy of nothing":             {catalog.Run{Kind: stacks.RunDestroy, Regions: []catalog.RunRegion{same}}, false},
		"a check":                          {catalog.Run{Kind: stacks.RunCheck, Regions: []catalog.RunRegion{changed}}, false},
	} {
		if got := catalog.NeedsYes(c.run); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestGateApply(t *testing.T) {
	type gate struct {
		run, region, digest string
		serial              int64
	}
	for name, c := range map[string]struct {
		yes     bool
		needs   string
		prepare func(h *house, id string)
		change  func(h *house, g *gate)
		open    bool
	}{
		"with an approval":             {prepare: applying, open: true},
		"with a yes in advance":        {yes: true, prepare: applyingWithoutApproval, open: true},
		"dangerous, with an approval":  {yes: true, needs: "destroys ankara", prepare: applying, open: true},
		"another plan":                 {prepare: applying, change: func(_ *house, g *gate) { g.digest = "other" }},
		"no plan":                      {prepare: applying, change: func(_ *house, g *gate) { g.digest = "" }},
		"another state":                {prepare: applying, change: func(_ *house, g *gate) { g.serial++ }},
		"another region":               {prepare: applying, change: func(_ *house, g *gate) { g.region = "istanbul" }},
		"an unknown region":            {prepare: applying, change: func(_ *house, g *gate) { g.region = "izmir" }},
		"an unknown run":               {prepare: applying, change: func(_ *house, g *gate) { g.run = "nothing" }},
		"an unchanged region, no plan": {prepare: applying, change: func(_ *house, g *gate) { g.region, g.digest, g.serial = "istanbul", "", 0 }},
		"awaiting":                     {prepare: func(h *house, id string) { h.approve(id) }},
		"linking":                      {prepare: func(h *house, id string) { applying(h, id); h.move(id, stacks.PhaseApplying, stacks.PhaseLinking) }},
		"done":                         {prepare: func(h *house, id string) { applying(h, id); h.move(id, stacks.PhaseApplying, stacks.PhaseDone) }},
		"cancelled": {prepare: func(h *house, id string) {
			applying(h, id)
			_, err := h.Cancel(h.t.Context(), id, "ada", nil)
			h.must(err)
		}},
		"another run is the active one": {prepare: func(h *house, id string) { applying(h, id); h.exec("UPDATE databases SET active_run = 'other'") }},
		"the approval is gone":          {prepare: func(h *house, id string) { applying(h, id); h.exec("UPDATE approvals SET dropped = 1") }},
		"the approval is of another":    {prepare: func(h *house, id string) { applying(h, id); h.exec("UPDATE approvals SET digest = 'other'") }},
		"the yes is no yes to danger": {yes: true, prepare: func(h *house, id string) {
			applyingWithoutApproval(h, id)
			h.exec("UPDATE runs SET needs_approval = 'destroys'")
		}},
		"planned again": {prepare: func(h *house, id string) {
			applying(h, id)
			_, err := h.Replan(h.t.Context(), id, "ankara", "stale")
			h.must(err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			ctx := t.Context()
			r := h.submit(spec("orders", "15"), 0, func(in *catalog.SubmitInput) { in.Yes = c.yes })
			h.plan(r.ID, c.needs)
			c.prepare(h, r.ID)
			g := gate{r.ID, "ankara", "sha-" + r.ID, 7}
			if c.change != nil {
				c.change(h, &g)
			}
			err := h.st.Write(ctx, func(tx *store.Tx) error { return h.GateApply(ctx, tx, g.run, g.region, g.digest, g.serial) })
			if c.open {
				h.must(err)
				return
			}
			h.is(err, catalog.ErrRefused)
		})
	}
}

func applying(h *house, id string) {
	h.t.Helper()
	h.approve(id)
	h.move(id, stacks.PhaseAwaiting, stacks.PhaseApplying)
}

func applyingWithoutApproval(h *house, id string) {
	h.t.Helper()
	h.move(id, stacks.PhaseAwaiting, stacks.PhaseApplying)
}

func (h *house) exec(query string) {
	h.t.Helper()
	h.must(h.st.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(query)
		return err
	}))
}
