package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/stacks"
)

// planRegions brings a run that plans to awaiting, with these changes in ankara, and istanbul unchanged.
func (h *house) planRegions(id, needs, digest string, changes ...stacks.Change) catalog.Run {
	h.t.Helper()
	ctx := h.t.Context()
	_, err := h.SetRegions(ctx, id, []catalog.RunRegion{{Region: "istanbul"}, {Region: "ankara"}})
	h.must(err)
	h.must(h.UpdateRegion(ctx, id, "ankara", func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.StackDigest, r.Artifact, r.ArtifactDigest, r.StateSerial, r.Changes = stacks.RegionPlanned, "stack", "art", digest, 7, changes
		return r
	}))
	h.must(h.UpdateRegion(ctx, id, "istanbul", func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.StackDigest = stacks.RegionUnchanged, "stack2"
		return r
	}))
	r, err := h.MoveRun(ctx, id, catalog.Move{From: stacks.PhasePlanning, To: stacks.PhaseAwaiting, PlanDigest: h.planDigest(id), NeedsApproval: needs})
	h.must(err)
	return r
}

func creation(address string) stacks.Change {
	return stacks.Change{Address: address, Type: "t", Action: stacks.ActionCreate, DataBearing: true, Attributes: []stacks.AttributeChange{{Path: "size", After: "1"}}}
}

func removal(address string) stacks.Change {
	return stacks.Change{Address: address, Type: "t", Action: stacks.ActionDelete, DataBearing: true, Attributes: []stacks.AttributeChange{{Path: "id", Before: `"7"`}}}
}

// TestApprovalCarriesOver: the yes to a plan whose apply was interrupted is one to the next plan, where that holds nothing else.
func TestApprovalCarriesOver(t *testing.T) {
	for name, c := range map[string]struct {
		approved, now []stacks.Change
		needs         string
		want          string // what the run says where it asks again, "" where it goes on
	}{
		"the same":             {[]stacks.Change{creation("a"), creation("b")}, []stacks.Change{creation("a"), creation("b")}, "", ""},
		"what is left":         {[]stacks.Change{creation("a"), creation("b")}, []stacks.Change{creation("b")}, "", ""},
		"an import":            {[]stacks.Change{creation("a")}, []stacks.Change{{Address: "a", Type: "t", Action: stacks.ActionNoop, Importing: true}}, "", ""},
		"the rest of a delete": {[]stacks.Change{removal("a"), removal("b")}, []stacks.Change{removal("b")}, "destroys b", ""},
		"something new":        {[]stacks.Change{creation("a")}, []stacks.Change{creation("b")}, "", "create of b was not part of it"},
		"a delete":             {[]stacks.Change{creation("a")}, []stacks.Change{removal("a")}, "destroys a", "delete of a: approved was create"},
		"what nobody can see":  {[]stacks.Change{creation("a")}, nil, "", "does not show what it changes"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			ctx := t.Context()
			r := h.submit(spec("orders", "15"), 0)
			h.next("orders")
			h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
			first := h.planRegions(r.ID, c.needs, "one", c.approved...)
			h.approve(r.ID)
			for _, digest := range []string{"two", "three"} { // a yes that was carried over is carried on, and always from the first
				h.move(r.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
				_, err := h.Replan(ctx, r.ID, "ankara", "interrupted")
				h.must(err)
				r = h.planRegions(r.ID, c.needs, digest, c.now...)
				ok, err := h.Approved(ctx, r.ID)
				h.must(err)
				if ok != (c.want == "") || !strings.Contains(r.Message, c.want) {
					t.Fatalf("approved: %v, %q; want %q", ok, r.Message, c.want)
				}
				if !ok {
					if next := h.next("orders"); next != "" {
						t.Errorf("next run %q without a yes", next)
					}
					return
				}
				audits, err := h.Audits(ctx, "default", "orders", 0)
				h.must(err)
				carried := func(a catalog.Audit) bool {
					return a.Verb == "carry-over" && a.Actor == "grace" && strings.Contains(a.Detail, first.PlanDigest) && strings.Contains(a.Detail, r.PlanDigest)
				}
				if !slices.ContainsFunc(audits, carried) {
					t.Errorf("no line in the audit: %+v", audits)
				}
				var from, actor string
				h.must(h.st.Read(ctx, func(tx *store.Tx) error {
					return tx.QueryRow("SELECT carried_from, actor FROM approvals WHERE run = ? AND digest = ?", r.ID, r.PlanDigest).Scan(&from, &actor)
				}))
				if from != first.PlanDigest || actor != "grace" {
					t.Errorf("carried from %s by %s, want from %s by grace", from, actor, first.PlanDigest)
				}
			}
		})
	}
}

// TestAnUpdateInterruptedTwice: a server that a first interruption left stopped is started under the same yes, also where the state of the
// second one says that it was stopped. Nothing else is, and not what was never to be brought back.
func TestAnUpdateInterruptedTwice(t *testing.T) {
	attribute := func(path, before, after string) stacks.AttributeChange {
		return stacks.AttributeChange{Path: path, Before: before, After: after}
	}
	update := func(restores []string, list ...stacks.AttributeChange) stacks.Change {
		return stacks.Change{Address: "a", Type: "t", Action: stacks.ActionUpdate, Attributes: list, Restores: restores}
	}
	size, start := attribute("size", "1", "2"), attribute("status", `"stopped"`, `"running"`)
	for name, c := range map[string]struct {
		second, third stacks.Change
		want          bool
	}{
		"started in both":         {update([]string{"status"}, size, start), update(nil, start), true},
		"stopped by the second":   {update(nil, size), update([]string{"status"}, size, start), true},
		"never to be started":     {update(nil, size), update(nil, start), false},
		"brought elsewhere":       {update([]string{"status"}, size, start), update(nil, attribute("status", `"stopped"`, `"paused"`)), false},
		"another one of its kind": {update([]string{"status"}, size, start), update(nil, attribute("port", "1", "2")), false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			ctx := t.Context()
			r := h.submit(spec("orders", "15"), 0)
			h.next("orders")
			h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
			h.planRegions(r.ID, "", "one", update(nil, size))
			h.approve(r.ID)
			interrupt := func(digest string, now stacks.Change) bool {
				h.move(r.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
				_, err := h.Replan(ctx, r.ID, "ankara", "interrupted")
				h.must(err)
				_, err = h.SetRegions(ctx, r.ID, []catalog.RunRegion{{Region: "istanbul"}, {Region: "ankara"}})
				h.must(err)
				h.must(h.UpdateRegion(ctx, r.ID, "ankara", func(x catalog.RunRegion) catalog.RunRegion {
					x.Recovery = &catalog.Recovery{Step: digest, Anew: true, Objects: []catalog.Recovered{{Address: "a", Type: "t", Action: stacks.ActionUpdate}}}
					return x
				}))
				h.planRegions(r.ID, "", digest, now)
				ok, err := h.Approved(ctx, r.ID)
				h.must(err)
				return ok
			}
			if !interrupt("two", c.second) {
				t.Fatal("the second plan asks")
			}
			if got := interrupt("three", c.third); got != c.want {
				t.Errorf("the third plan is approved: %v, want %v", got, c.want)
			}
		})
	}
}

// TestAYesThatWasNeverGivenIsNotCarried: a plan that nobody approved leaves nothing behind.
func TestAYesThatWasNeverGivenIsNotCarried(t *testing.T) {
	h := newHouse(t)
	r := h.submit(spec("orders", "15"), 0)
	h.next("orders")
	h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
	h.planRegions(r.ID, "", "one", creation("a"))
	_, err := h.Replan(t.Context(), r.ID, "ankara", "stale")
	h.must(err)
	h.planRegions(r.ID, "", "one", creation("a"))
	if ok, err := h.Approved(t.Context(), r.ID); err != nil || ok {
		t.Errorf("approved: %v, %v", ok, err)
	}
}

// TestAnotherRenderingIsNotCarried: sensitive values are in no diff, so only the same configuration is the same plan.
func TestAnotherRenderingIsNotCarried(t *testing.T) {
	a := catalog.ApprovedPlan{Regions: []catalog.ApprovedRegion{{Region: "ankara", StackDigest: "one", Changes: []stacks.Change{creation("a")}}}}
	now := func(region, digest string, drops ...stacks.Change) catalog.Run {
		return catalog.Run{Drops: drops, Regions: []catalog.RunRegion{{Region: region, Phase: stacks.RegionPlanned, StackDigest: digest, Changes: []stacks.Change{creation("a")}}}}
	}
	for name, c := range map[string]struct {
		run  catalog.Run
		want bool
	}{
		"the same": {now("ankara", "one"), true}, "another rendering": {now("ankara", "two"), false}, "another region": {now("istanbul", "one"), false},
		"a drop": {now("ankara", "one", stacks.Change{Address: "database x", Action: stacks.ActionDelete}), false},
	} {
		if ok, why := a.Covers(c.run); ok != c.want || ok != (why == "") {
			t.Errorf("%s: %v, %q", name, ok, why)
		}
	}
}

// asking brings a run to a question about a in ankara.
func asking(h *house) catalog.Run {
	h.t.Helper()
	ctx := h.t.Context()
	r := h.submit(spec("orders", "15"), 0, yes)
	h.next("orders")
	h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
	_, err := h.SetRegions(ctx, r.ID, []catalog.RunRegion{{Region: "istanbul"}, {Region: "ankara"}})
	h.must(err)
	h.must(h.UpdateRegion(ctx, r.ID, "ankara", func(x catalog.RunRegion) catalog.RunRegion {
		x.Recovery = &catalog.Recovery{Step: "s", Anew: true, Objects: []catalog.Recovered{
			{Address: "a", Found: "unknown", Question: "is a there?"}, {Address: "b", Found: "present", ImportID: "/b"}, {Address: "c", Found: "present", Untaint: true},
		}}
		return x
	}))
	r, err = h.MoveRun(ctx, r.ID, catalog.Move{From: stacks.PhasePlanning, To: stacks.PhaseAwaiting, Reason: catalog.ReasonQuestion, Message: "is a there?"})
	h.must(err)
	return r
}

// TestAQuestionIsAnswered: a run with an open question stands still, whatever yes it was given, until the answer, and plans with it.
func TestAQuestionIsAnswered(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := asking(h)
	if len(r.Questions()) != 1 || r.Questions()[0].Region != "ankara" || r.Questions()[0].Address != "a" {
		t.Fatalf("questions %+v", r.Questions())
	}
	if ok, err := h.Approved(ctx, r.ID); err != nil || ok {
		t.Errorf("approved: %v, %v", ok, err)
	}
	if next := h.next("orders"); next != "" {
		t.Errorf("next run %q while a question is open", next)
	}
	_, err := h.MoveRun(ctx, r.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	h.is(err, catalog.ErrRefused)
	_, err = h.Approve(ctx, r.ID, "x", "grace")
	h.is(err, catalog.ErrMoved)
	in := catalog.AnswerInput{Run: r.ID, Address: "a", Answer: catalog.Answer{Kind: catalog.AnswerAdopt, Actor: "grace"}}
	if _, err := h.Answer(ctx, in); err == nil {
		t.Error("an adoption without an ID")
	}
	in.Address, in.ID = "b", "/x"
	_, err = h.Answer(ctx, in)
	h.is(err, catalog.ErrNotFound)
	in.Address = "a"
	in.Region = "istanbul"
	_, err = h.Answer(ctx, in)
	h.is(err, catalog.ErrNotFound)
	in.Region = ""
	r, err = h.Answer(ctx, in)
	h.must(err)
	if r.Phase != stacks.PhasePlanning || len(r.Questions()) != 0 || h.next("orders") != r.ID {
		t.Errorf("after the answer: %+v", r)
	}
	rec := r.Regions[0].Recovery
	if a := rec.Answered(catalog.Recovered{Address: "a", Evidence: "whatever is seen now"}); a == nil || a.ID != "/x" || rec.Step != "" {
		t.Errorf("recovery %+v", rec)
	}
	_, err = h.Answer(ctx, in)
	h.is(err, catalog.ErrMoved)
}

func TestAQuestionIsCancelled(t *testing.T) {
	h := newHouse(t)
	r := asking(h)
	r, err := h.Cancel(t.Context(), r.ID, "ada", nil)
	h.must(err)
	if r.Phase != stacks.PhaseCancelled {
		t.Errorf("run is %s", r.Phase)
	}
}

func TestLookAgainForgetsTheAnswer(t *testing.T) {
	h := newHouse(t)
	r := asking(h)
	r, err := h.Answer(t.Context(), catalog.AnswerInput{Run: r.ID, Address: "a", Answer: catalog.Answer{Kind: catalog.AnswerAgain, Actor: "grace"}})
	h.must(err)
	if r.Phase != stacks.PhasePlanning || r.Regions[0].Recovery.Answered(catalog.Recovered{Address: "a"}) != nil {
		t.Errorf("run is %s: %+v", r.Phase, r.Regions[0].Recovery)
	}
}

// TestAnAnswerStands: what was said holds after a later apply too, where that did not begin on the object and what is seen is the same.
func TestAnAnswerStands(t *testing.T) {
	t.Parallel()
	said := catalog.Recovered{
		Address: "a", Action: stacks.ActionCreate, Begun: "run/ankara/apply.1", Found: "unknown", Evidence: "no right to look",
		Answer: &catalog.Answer{Kind: catalog.AnswerAbsent},
	}
	for name, c := range map[string]struct {
		step   string
		change func(*catalog.Recovered)
		want   bool
	}{
		"the same is seen after another apply":    {"apply.2", func(*catalog.Recovered) {}, true},
		"another apply has begun on it":           {"apply.2", func(o *catalog.Recovered) { o.Begun = "run/ankara/apply.2" }, false},
		"something else is done to it":            {"apply.2", func(o *catalog.Recovered) { o.Action = stacks.ActionDelete }, false},
		"something else is found":                 {"apply.2", func(o *catalog.Recovered) { o.Found = "foreign" }, false},
		"the evidence is another":                 {"apply.2", func(o *catalog.Recovered) { o.Evidence = "seen" }, false},
		"it is another object":                    {"apply.2", func(o *catalog.Recovered) { o.Address = "b" }, false},
		"just answered, whatever is seen":         {"", func(o *catalog.Recovered) { o.Evidence = "seen" }, true},
		"just answered, and another one is meant": {"", func(o *catalog.Recovered) { o.Address = "b" }, false},
	} {
		now := said
		now.Answer = nil
		c.change(&now)
		r := &catalog.Recovery{Step: c.step, Objects: []catalog.Recovered{said}}
		if got := r.Answered(now); (got != nil) != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	old := said
	old.Begun = ""
	if (&catalog.Recovery{Step: "apply.2", Objects: []catalog.Recovered{old}}).Answered(old) != nil {
		t.Error("an answer that does not say of which apply it is")
	}
}

func TestRecoveryPlan(t *testing.T) {
	r := &catalog.Recovery{Anew: true, Objects: []catalog.Recovered{{Address: "a", ImportID: "1"}, {Address: "b", Untaint: true}, {Address: "c", Question: "?"}}}
	p := r.Plan()
	if !p.Anew || len(p.Import) != 1 || p.Import[0] != (stacks.Import{Address: "a", ID: "1"}) || !slices.Equal(p.Untaint, []string{"b"}) {
		t.Errorf("%+v", p)
	}
	if none := (*catalog.Recovery)(nil); !none.Plan().Empty() || none.Questions() != nil || none.Answered(catalog.Recovered{Address: "a"}) != nil {
		t.Error("nothing is not empty")
	}
}

// TestWhatAnInterruptedUpdateDidIsUndone: the yes to an update covers the start of what the interruption of its apply left stopped, and of
// nothing else.
func TestWhatAnInterruptedUpdateDidIsUndone(t *testing.T) {
	update := stacks.Change{Address: "a", Type: "t", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "size", Before: "1", After: "2"}}}
	started := update
	started.Attributes = append(slices.Clone(update.Attributes), stacks.AttributeChange{Path: "status", Before: `"stopped"`, After: `"running"`})
	started.Restores = []string{"status"}
	for name, c := range map[string]struct {
		object string
		want   bool
	}{"its update was cut short": {"a", true}, "that of another was": {"b", false}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			ctx := t.Context()
			r := h.submit(spec("orders", "15"), 0)
			h.next("orders")
			h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
			h.planRegions(r.ID, "", "one", update)
			h.approve(r.ID)
			h.move(r.ID, stacks.PhaseAwaiting, stacks.PhaseApplying)
			_, err := h.Replan(ctx, r.ID, "ankara", "interrupted")
			h.must(err)
			h.must(h.UpdateRegion(ctx, r.ID, "ankara", func(x catalog.RunRegion) catalog.RunRegion {
				x.Recovery = &catalog.Recovery{Step: "s", Anew: true, Objects: []catalog.Recovered{{Address: c.object, Action: stacks.ActionUpdate}}}
				return x
			}))
			r = h.planRegions(r.ID, "", "two", started)
			if ok, err := h.Approved(ctx, r.ID); err != nil || ok != c.want {
				t.Errorf("approved: %v, %q, %v; want %v", ok, r.Message, err, c.want)
			}
		})
	}
}
