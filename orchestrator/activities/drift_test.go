package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/providers"
	"meridian/stacks"
)

// TestNoRemedy tells when drift is put back without a person.
func TestNoRemedy(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	changed := stacks.DriftItem{Kind: stacks.DriftChanged, Region: "ankara", Subject: "a.b", Path: "port"}
	replaces, extra, ignored, grown := changed, changed, changed, changed
	replaces.Replaces, extra.Kind, grown.Grown = true, stacks.DriftExtra, true
	ignored.Replaces, ignored.Ignored = true, "ada"
	past := func(print string, ago ...time.Duration) (out []catalog.DriftCheck) {
		for _, d := range ago {
			out = append(out, catalog.DriftCheck{Print: print, StartedAt: now.Add(-d)})
		}
		return out
	}
	tests := map[string]struct {
		items   []stacks.DriftItem
		history []catalog.DriftCheck
		want    string // "" is yes
	}{
		"the first time":                  {items: []stacks.DriftItem{changed}},
		"again, too soon":                 {items: []stacks.DriftItem{changed}, history: past("p", 9*time.Minute), want: "again after 10m"},
		"again, after a while":            {items: []stacks.DriftItem{changed}, history: past("p", 11*time.Minute)},
		"a third time, too soon":          {items: []stacks.DriftItem{changed}, history: past("p", 29*time.Minute, time.Hour), want: "again after 30m"},
		"a third time, after a while":     {items: []stacks.DriftItem{changed}, history: past("p", 31*time.Minute, time.Hour)},
		"a fourth time":                   {items: []stacks.DriftItem{changed}, history: past("p", 5*time.Hour, 6*time.Hour, 7*time.Hour), want: "came back"},
		"other drift":                     {items: []stacks.DriftItem{changed}, history: past("q", time.Minute)},
		"always a bit different":          {items: []stacks.DriftItem{changed}, history: past("q", slices.Repeat([]time.Duration{time.Hour}, allRemedies)...), want: "12 times"},
		"only a replacement would do":     {items: []stacks.DriftItem{changed, replaces}, want: "destroying"},
		"only a destruction would do":     {items: []stacks.DriftItem{extra}, want: "destroying"},
		"it cannot be lowered":            {items: []stacks.DriftItem{changed, grown}, want: "cannot be lowered"},
		"what is ignored is not put back": {items: []stacks.DriftItem{changed, ignored}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := noRemedy(catalog.DriftCheck{Print: "p", Drift: test.items}, test.history, now)
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("it says %q, want %q", got, test.want)
			}
		})
	}
}

// TestRemedyAsksAndRefuses tells what a remedy's plan needs a person for, and what it never does.
func TestRemedyAsksAndRefuses(t *testing.T) {
	const address = "module.database.localdb_postgres.this"
	change := func(action stacks.Action, data bool) stacks.Change {
		return stacks.Change{Address: address, Action: action, DataBearing: data, Attributes: []stacks.AttributeChange{{Path: "port", Before: "6000", After: "5432"}}}
	}
	tests := map[string]struct {
		change  stacks.Change
		found   []stacks.DriftItem
		ignore  []string
		rules   []stacks.DriftRule
		asks    string // "" is nothing
		refused bool
	}{
		"an update":                       {change: change(stacks.ActionUpdate, true)},
		"data made anew":                  {change: change(stacks.ActionCreate, true), asks: "its data is gone"},
		"something without data":          {change: change(stacks.ActionCreate, false)},
		"a database inside that was lost": {change: change(stacks.ActionUpdate, true), found: []stacks.DriftItem{{Kind: stacks.DriftMissing, Region: "ankara", Subject: "database shop", DataBearing: true}}, asks: "database shop"},
		"a user that was lost":            {change: change(stacks.ActionUpdate, true), found: []stacks.DriftItem{{Kind: stacks.DriftMissing, Region: "ankara", Subject: "user shop"}}},
		"what is ignored":                 {change: change(stacks.ActionUpdate, true), ignore: []string{"*.port"}, asks: "undoes what the spec says to ignore"},
		"what is accepted": {change: change(stacks.ActionUpdate, true), asks: "undoes what ada accepted: ankara: " + address + ".port", rules: []stacks.DriftRule{
			{Pattern: "ankara: " + address + ".port", By: "ada", Accept: true, Kind: stacks.DriftChanged, Found: "6000"},
		}},
		"a replacement": {change: change(stacks.ActionReplace, false), refused: true},
		"a destruction": {change: change(stacks.ActionDelete, false), refused: true},
		"a forgetting":  {change: change(stacks.ActionForget, false), refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run := catalog.Run{Remedy: "c1", Regions: []catalog.RunRegion{{Region: "ankara", Phase: stacks.RegionPlanned, Changes: []stacks.Change{test.change}}}}
			asks := strings.Join(asksOf(run, catalog.DriftCheck{Drift: test.found}, test.ignore, test.rules), "; ")
			if !test.refused && ((asks == "") != (test.asks == "") || !strings.Contains(asks, test.asks)) {
				t.Errorf("it asks %q, want %q", asks, test.asks)
			}
			if got := len(beyondRemedy(run)) > 0; got != test.refused {
				t.Errorf("refused is %t, want %t", got, test.refused)
			}
			run.Remedy = ""
			if len(beyondRemedy(run)) > 0 {
				t.Error("a run that is no remedy is refused for what a remedy never does")
			}
		})
	}
}

// applied is a database of one region that was applied, by rows alone.
func (h *house) applied(regions ...string) catalog.Database {
	h.t.Helper()
	ctx := context.Background()
	run, err := h.Catalog.Submit(ctx, catalog.SubmitInput{Effective: orders(regions...), Kind: stacks.RunApply, Yes: true, Actor: "test"})
	h.must(err)
	err = h.Catalog.Store().Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE databases SET applied = 1 WHERE incarnation = ?", run.Incarnation)
		return err
	})
	h.must(err)
	_, err = h.Catalog.Cancel(ctx, run.ID, "test", nil)
	h.must(err)
	db, err := h.Catalog.Incarnation(ctx, run.Incarnation)
	h.must(err)
	return db
}

// TestDriftJoins tells what becomes of a check by what its parts say.
func TestDriftJoins(t *testing.T) {
	drifted := stacks.DriftItem{Kind: stacks.DriftLogin, Region: "ankara", Subject: "user shop"}
	tests := map[string]struct {
		parts   []catalog.DriftPart
		ignore  string
		outcome catalog.DriftOutcome
		found   int
		says    string
	}{
		"clean":                          {parts: []catalog.DriftPart{{Part: "stack/ankara", Outcome: catalog.DriftClean}, {Part: "inside/ankara", Outcome: catalog.DriftClean}}, outcome: catalog.DriftClean},
		"clean, with a note":             {parts: []catalog.DriftPart{{Part: "stack/ankara", Outcome: catalog.DriftClean}, {Part: "inside/ankara", Outcome: catalog.DriftClean, Message: "copying orders"}}, outcome: catalog.DriftClean, says: "inside/ankara: copying orders"},
		"drifted":                        {parts: []catalog.DriftPart{{Part: "stack/ankara", Outcome: catalog.DriftClean}, {Part: "inside/ankara", Outcome: catalog.DriftDrifted, Drift: []stacks.DriftItem{drifted}}}, outcome: catalog.DriftDrifted, found: 1},
		"ignored":                        {parts: []catalog.DriftPart{{Part: "stack/ankara", Outcome: catalog.DriftClean}, {Part: "inside/ankara", Outcome: catalog.DriftDrifted, Drift: []stacks.DriftItem{drifted}}}, ignore: "*: user shop", outcome: catalog.DriftClean},
		"a part that could not look":     {parts: []catalog.DriftPart{{Part: "stack/ankara", Outcome: catalog.DriftUnknown, Message: "no credentials"}, {Part: "inside/ankara", Outcome: catalog.DriftClean}}, outcome: catalog.DriftUnknown, says: "no credentials"},
		"a part that never said a word":  {parts: []catalog.DriftPart{{Part: "inside/ankara", Outcome: catalog.DriftClean}}, outcome: catalog.DriftUnknown, says: "stack/ankara"},
		"drift beside what is not known": {parts: []catalog.DriftPart{{Part: "inside/ankara", Outcome: catalog.DriftDrifted, Drift: []stacks.DriftItem{drifted}}}, outcome: catalog.DriftDrifted, found: 1, says: "stack/ankara"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			db := h.applied("ankara")
			work, err := h.BeginDrift(t.Context(), DriftInput{Incarnation: db.Incarnation, Reason: catalog.DriftScheduled, Execution: "e1", Workflow: "w1"})
			h.must(err)
			again, err := h.BeginDrift(t.Context(), DriftInput{Incarnation: db.Incarnation, Reason: catalog.DriftScheduled, Execution: "e1", Workflow: "w1"})
			h.must(err)
			if work.Check == "" || again.Check != work.Check || len(work.Regions) != 1 {
				t.Fatalf("begun as %+v, again as %+v", work, again)
			}
			if test.ignore != "" {
				h.must(h.Catalog.PutDriftRule(t.Context(), db.Incarnation, catalog.DriftRule{DriftRule: stacks.DriftRule{Pattern: test.ignore, By: "ada"}}))
			}
			for _, p := range test.parts {
				h.must(h.Catalog.PutDriftPart(t.Context(), work.Check, p))
			}
			for range 2 { // the second time changes nothing
				h.must(h.EndDrift(t.Context(), DriftPartInput{Check: work.Check}))
			}
			got, err := h.Catalog.Drift(t.Context(), work.Check)
			h.must(err)
			if got.Outcome != test.outcome || got.Found != test.found || !strings.Contains(got.Message, test.says) {
				t.Errorf("it is %s with %d found: %q, want %s with %d: %q", got.Outcome, got.Found, got.Message, test.outcome, test.found, test.says)
			}
		})
	}
}

// TestACopyThatGotOn looks at a link for a while: a copy that got on in one of the looks is no drift, though it waits in the last.
func TestACopyThatGotOn(t *testing.T) {
	h := newHouse(t)
	h.Timing.LinkLook = 3 * looksEvery
	looks := 0
	h.engine.check = func() providers.LinkStatus {
		looks++
		return providers.LinkStatus{State: providers.StatePending, Moving: looks == 1, Message: fmt.Sprintf("copying orders: %d of 5 tables", looks)}
	}
	spec := orders("ankara", "istanbul")
	link := stacks.Link{From: "ankara", To: "istanbul", Mode: stacks.LinkLogical}
	spec.Spec.Replication.Links = []stacks.Link{link}
	db := h.applied("ankara", "istanbul")
	j := driftJob{check: catalog.DriftCheck{Incarnation: db.Incarnation}, db: db, spec: spec, run: catalog.Run{Incarnation: db.Incarnation, Namespace: "default", Name: "orders"}}
	h.must(h.Catalog.EnsureSecret(t.Context(), db.Incarnation, linkSecret("ankara-istanbul")))
	st, err := h.lookOnce(t.Context(), j, link)
	h.must(err)
	if _, drifted := linkDrift(link, st); drifted || looks < 2 || st.Message != "copying orders: 1 of 5 tables" {
		t.Errorf("after %d looks it is drift: %t, %+v", looks, drifted, st)
	}
}

// TestDriftLink tells what a check makes of what an engine says of a link.
func TestDriftLink(t *testing.T) {
	tests := map[string]struct {
		status providers.LinkStatus
		kind   stacks.DriftKind // "" is none
	}{
		"it replicates":      {status: providers.LinkStatus{State: providers.StateReady}},
		"it is broken":       {status: providers.LinkStatus{State: providers.StateFailed, Message: "the slot is gone"}, kind: stacks.DriftLink},
		"it does not get on": {status: providers.LinkStatus{State: providers.StatePending, Message: "the worker is not running"}, kind: stacks.DriftLink},
		"it is being filled": {status: providers.LinkStatus{State: providers.StatePending, Moving: true, Message: "copying orders: 3 of 5 tables"}},
		"it stands still":    {status: providers.LinkStatus{State: providers.StatePending, Message: "copying orders: 3 of 5 tables"}, kind: stacks.DriftLink},
		"it is past its lag": {status: providers.LinkStatus{State: providers.StatePending, Late: true, Message: "7 s behind"}, kind: stacks.DriftLag},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.Timing.LinkLook = time.Millisecond
			h.engine.check = func() providers.LinkStatus { return test.status }
			spec := orders("ankara", "istanbul")
			spec.Spec.Replication.Links = []stacks.Link{{From: "ankara", To: "istanbul", Mode: stacks.LinkLogical}}
			db := h.applied("ankara", "istanbul")
			j := driftJob{check: catalog.DriftCheck{Incarnation: db.Incarnation}, db: db, spec: spec, run: catalog.Run{Incarnation: db.Incarnation, Namespace: "default", Name: "orders"}}
			h.must(h.Catalog.EnsureSecret(t.Context(), db.Incarnation, linkSecret("ankara-istanbul")))
			st, err := h.lookOnce(t.Context(), j, spec.Spec.Replication.Links[0])
			h.must(err)
			item, ok := linkDrift(spec.Spec.Replication.Links[0], st)
			if ok != (test.kind != "") || item.Kind != test.kind || item.Message != test.status.Message && ok {
				t.Errorf("it is drift: %t, %+v, want %q", ok, item, test.kind)
			}
		})
	}
}
