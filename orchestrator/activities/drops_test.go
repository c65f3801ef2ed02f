package activities

import (
	"slices"
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

func dropping(db stacks.Database, databases ...string) stacks.Database {
	for _, name := range databases {
		db.Spec.Databases = append(db.Spec.Databases, stacks.LogicalDatabase{Name: name, Drop: true})
	}
	return db
}

func having(db stacks.Database, databases ...string) stacks.Database {
	for _, name := range databases {
		db.Spec.Databases = append(db.Spec.Databases, stacks.LogicalDatabase{Name: name})
	}
	return db
}

func TestDropsNow(t *testing.T) {
	user := func(db stacks.Database, drop bool) stacks.Database {
		db.Spec.Users = append(db.Spec.Users, stacks.User{Name: "bob", Drop: drop})
		return db
	}
	one := orders("ankara")
	tests := map[string]struct {
		spec      stacks.Database
		since     []stacks.Database
		unmanaged []string
		want      []string
	}{
		"nothing is dropped":                {spec: having(one, "old")},
		"never applied before":              {spec: dropping(one, "old"), want: []string{"database old"}},
		"it was kept until now":             {spec: dropping(one, "old"), since: []stacks.Database{having(one, "old")}, want: []string{"database old"}},
		"it was in no spec":                 {spec: dropping(one, "old"), since: []stacks.Database{one}, want: []string{"database old"}},
		"done":                              {spec: dropping(one, "old"), since: []stacks.Database{dropping(one, "old")}},
		"done, and another one":             {spec: dropping(one, "old", "older"), since: []stacks.Database{dropping(one, "old")}, want: []string{"database older"}},
		"done, then perhaps made again":     {spec: dropping(one, "old"), since: []stacks.Database{dropping(one, "old"), having(one, "old")}, want: []string{"database old"}},
		"done, then found there":            {spec: dropping(one, "old"), since: []stacks.Database{dropping(one, "old")}, unmanaged: []string{"database old"}, want: []string{"database old"}},
		"done, another was found there":     {spec: dropping(one, "old"), since: []stacks.Database{dropping(one, "old")}, unmanaged: []string{"database other"}},
		"a user":                            {spec: user(one, true), since: []stacks.Database{user(one, false)}, want: []string{"user bob"}},
		"a user, done":                      {spec: user(one, true), since: []stacks.Database{user(one, true)}},
		"a user is no database of his name": {spec: user(dropping(one, "bob"), true), since: []stacks.Database{dropping(one, "bob")}, want: []string{"user bob"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range dropsNow(tc.spec, tc.since, tc.unmanaged) {
				got = append(got, c.Address)
				if c.DataBearing != (c.Type == "database") || c.Action != stacks.ActionDelete {
					t.Errorf("change %+v", c)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("drops %q, want %q", got, tc.want)
			}
		})
	}
}

// apply plays an apply of one region in which terraform changes nothing, up to where it waits or works.
func (h *house) apply(db stacks.Database, want stacks.Phase) {
	h.t.Helper()
	h.submit(db, stacks.RunApply)
	h.step("", stacks.PhasePlanning, "ankara")
	h.planned("ankara", "")
	if want == stacks.PhaseAwaiting {
		h.step(stacks.PhasePlanning, want)
		return
	}
	h.step(stacks.PhasePlanning, want, "ankara")
}

func (h *house) finish() {
	h.t.Helper()
	h.ended("ankara", stacks.RegionReady)
	h.step(stacks.PhaseApplying, stacks.PhaseDone)
}

// TestADropIsAskedForOnce leaves a drop in the spec: only the first apply asks, and no later one drops what nobody was asked about.
func TestADropIsAskedForOnce(t *testing.T) {
	h := newHouse(t)
	h.apply(having(orders("ankara"), "old"), stacks.PhaseApplying)
	h.finish()
	db := dropping(orders("ankara"), "old")
	h.apply(db, stacks.PhaseAwaiting)
	row := h.row()
	if row.NeedsApproval != "drops database old" || len(row.Drops) != 1 {
		t.Fatalf("the run needs a yes for %q, drops %+v", row.NeedsApproval, row.Drops)
	}
	if left := mayGo(row, db.Spec.Databases); len(left) != 1 {
		t.Errorf("databases %+v: the drop was asked for", left)
	}
	h.approve()
	h.step("", stacks.PhaseApplying, "ankara")
	h.finish()

	h.apply(db, stacks.PhaseApplying) // the same spec again
	if left := mayGo(h.row(), db.Spec.Databases); len(left) != 0 {
		t.Errorf("databases %+v: nobody was asked", left)
	}
	h.finish()
	changed := dropping(orders("ankara"), "old")
	changed.Metadata.Labels = map[string]string{"team": "shop"}
	h.apply(changed, stacks.PhaseApplying)
	h.finish()

	h.must(h.Catalog.SetUnmanaged(t.Context(), h.run.Incarnation, []string{"database old"})) // somebody made it by hand
	h.apply(changed, stacks.PhaseAwaiting)
}

// TestACheckShowsDrops wants them in the result of a check, which asks nobody, and a digest of what it found.
func TestACheckShowsDrops(t *testing.T) {
	h := newHouse(t)
	check := func(db stacks.Database, changes ...stacks.Change) (drops int, digest string) {
		t.Helper()
		h.submit(db, stacks.RunCheck)
		h.step("", stacks.PhasePlanning, "ankara")
		h.must(h.Catalog.UpdateRegion(t.Context(), h.run.ID, "ankara", func(r catalog.RunRegion) catalog.RunRegion {
			r.StackDigest, r.Phase, r.Changes = "stack", stacks.RegionUnchanged, changes
			if len(changes) > 0 {
				r.Phase = stacks.RegionPlanned
			}
			return r
		}))
		h.step(stacks.PhasePlanning, stacks.PhaseDone)
		return len(h.row().Drops), h.row().PlanDigest
	}
	h.apply(having(orders("ankara"), "old"), stacks.PhaseApplying)
	h.finish()
	if drops, _ := check(dropping(orders("ankara"), "old")); drops != 1 {
		t.Errorf("%d drops", drops)
	}
	small := stacks.Change{Address: "a", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "size", After: `"small"`}}}
	large := stacks.Change{Address: "a", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "size", After: `"large"`}}}
	_, nothing := check(orders("ankara"))
	_, first := check(orders("ankara"), small)
	_, again := check(orders("ankara"), small)
	_, other := check(orders("ankara"), large)
	if first != again || first == other || first == nothing {
		t.Errorf("digests: nothing %s, small %s, small again %s, large %s", nothing, first, again, other)
	}
}
