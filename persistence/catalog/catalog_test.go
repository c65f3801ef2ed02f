package catalog_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	"meridian/stacks"
)

func TestOnPostgres(t *testing.T) { storetest.Again(t) }

type house struct {
	*catalog.Catalog
	t    *testing.T
	dir  string
	st   *store.Store
	keys *keyring.Keyring
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	var err error
	if h.keys, err = keyring.Open(keyring.Source{Dir: h.dir}, true); err != nil {
		t.Fatal(err)
	}
	h.st = h.openStore()
	h.Catalog = catalog.New(h.st, h.keys)
	return h
}

func (h *house) openStore() *store.Store {
	h.t.Helper()
	return storetest.Open(h.t, h.dir)
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// is fails unless err is target.
func (h *house) is(err, target error) {
	h.t.Helper()
	if !errors.Is(err, target) {
		h.t.Fatalf("error %v, want %v", err, target)
	}
}

func spec(name, version string) stacks.Database {
	protect := false
	return stacks.Database{
		APIVersion: stacks.APIVersion, Kind: stacks.KindDatabase,
		Metadata: stacks.Metadata{Namespace: "default", Name: name, Labels: map[string]string{"team": "shop", "a": "b"}},
		Spec: stacks.DatabaseSpec{
			Engine: stacks.Engine{Name: "postgres", Version: version},
			Regions: []stacks.Region{
				{Name: "ankara", Provider: "local", Location: "local", Role: stacks.RolePrimary},
				{Name: "istanbul", Provider: "local", Location: "local", Role: stacks.RoleReplica},
			},
			Deletion: stacks.Deletion{Protect: &protect},
		},
	}
}

func (h *house) submit(db stacks.Database, expect int64, change ...func(*catalog.SubmitInput)) catalog.Run {
	h.t.Helper()
	in := catalog.SubmitInput{Effective: db, Source: []byte("kind: Database"), Actor: "ada", Kind: stacks.RunApply, ExpectRevision: expect}
	for _, f := range change {
		f(&in)
	}
	r, err := h.Submit(h.t.Context(), in)
	h.must(err)
	return r
}

func yes(in *catalog.SubmitInput)   { in.Yes = true }
func check(in *catalog.SubmitInput) { in.Kind = stacks.RunCheck }

func (h *house) db(name string) catalog.Database {
	h.t.Helper()
	d, err := h.Database(h.t.Context(), "default", name)
	h.must(err)
	return d
}

func (h *house) run(id string) catalog.Run {
	h.t.Helper()
	r, err := h.Run(h.t.Context(), id)
	h.must(err)
	return r
}

func (h *house) next(name string) string {
	h.t.Helper()
	id, err := h.NextRun(h.t.Context(), "default", name)
	h.must(err)
	return id
}

func (h *house) move(id string, from, to stacks.Phase) catalog.Run {
	h.t.Helper()
	r, err := h.MoveRun(h.t.Context(), id, catalog.Move{From: from, To: to})
	h.must(err)
	return r
}

// plan brings a pending run to awaiting, as the workflow would: one region changes, the other does not.
func (h *house) plan(id, needs string) catalog.Run {
	h.t.Helper()
	if next := h.next(h.run(id).Name); next != id {
		h.t.Fatalf("next run is %q, not %s", next, id)
	}
	h.move(id, stacks.PhasePending, stacks.PhasePlanning)
	return h.planAgain(id, needs, "sha-"+id)
}

func (h *house) planAgain(id, needs, digest string) catalog.Run {
	h.t.Helper()
	ctx := h.t.Context()
	_, err := h.SetRegions(ctx, id, []catalog.RunRegion{{Region: "istanbul"}, {Region: "ankara"}})
	h.must(err)
	h.must(h.UpdateRegion(ctx, id, "ankara", func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.StackDigest, r.Artifact, r.ArtifactDigest, r.StateSerial, r.PlanStep = stacks.RegionPlanned, "stack", "art", digest, 7, id+"/ankara/plan.1"
		value := stacks.AttributeChange{Path: "value", After: strconv.Quote(digest)}
		r.Changes = []stacks.Change{{Address: "localdb_postgres.this", Action: stacks.ActionCreate, Attributes: []stacks.AttributeChange{value}}}
		return r
	}))
	h.must(h.UpdateRegion(ctx, id, "istanbul", func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.StackDigest = stacks.RegionUnchanged, "stack2"
		return r
	}))
	r, err := h.MoveRun(ctx, id, catalog.Move{
		From: stacks.PhasePlanning, To: stacks.PhaseAwaiting, PlanDigest: h.planDigest(id), NeedsApproval: needs,
	})
	h.must(err)
	return r
}

func (h *house) planDigest(id string) string {
	h.t.Helper()
	var digests []stacks.RegionDigest
	for _, r := range h.run(id).Regions {
		digests = append(digests, stacks.RegionDigest{Region: r.Region, Digest: r.ArtifactDigest})
	}
	return stacks.RunDigest(digests)
}

func (h *house) approve(id string) {
	h.t.Helper()
	_, err := h.Approve(h.t.Context(), id, h.run(id).PlanDigest, "grace")
	h.must(err)
}

// finish brings an awaiting run with its yes to done.
func (h *house) finish(id string) {
	h.t.Helper()
	h.move(id, stacks.PhaseAwaiting, stacks.PhaseApplying)
	h.move(id, stacks.PhaseApplying, stacks.PhaseDone)
}

func TestInstallation(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	id, err := h.Installation(ctx)
	h.must(err)
	if !regexp.MustCompile(`^[a-z][a-z2-7]{7}$`).MatchString(id) {
		t.Fatalf("installation %q", id)
	}
	again, err := catalog.New(h.openStore(), h.keys).Installation(ctx)
	h.must(err)
	if again != id {
		t.Fatalf("installation %q, then %q", id, again)
	}
	other, err := keyring.Open(keyring.Source{Dir: t.TempDir()}, true)
	h.must(err)
	_, err = catalog.New(h.st, other).Installation(ctx)
	h.is(err, keyring.ErrLost)
}

func TestSubmitANewDatabase(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0)
	d := h.db("orders")
	if !regexp.MustCompile(`^[a-z][a-z2-7]{7}$`).MatchString(d.Incarnation) {
		t.Errorf("incarnation %q", d.Incarnation)
	}
	if r.ID != d.Incarnation+"-1" || r.Kind != stacks.RunApply || r.Phase != stacks.PhasePending || r.Revision != 1 || r.Actor != "ada" || r.Yes {
		t.Errorf("run %+v", r)
	}
	if d.Revision != 1 || d.Applied != 0 || d.LastRun != 1 || d.Phase != catalog.DatabaseCreating || d.ActiveRun != "" {
		t.Errorf("database %+v", d)
	}
	rev, err := h.Revision(ctx, d.Incarnation, 0)
	h.must(err)
	if rev.Number != 1 || rev.Draft || string(rev.Source) != "kind: Database" || rev.Effective.Metadata.Labels["team"] != "shop" || rev.Actor != "ada" {
		t.Errorf("revision %+v", rev)
	}
	if _, err := h.Revision(ctx, d.Incarnation, 2); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("revision 2: %v", err)
	}
	if _, err := h.Database(ctx, "other", "orders"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("database of another namespace: %v", err)
	}
	h.submit(spec("stock", "15"), 0)
	list, err := h.Databases(ctx, "default")
	h.must(err)
	if len(list) != 2 || list[0].Name != "orders" || list[1].Name != "stock" {
		t.Errorf("databases %+v", list)
	}
	if none, err := h.Databases(ctx, "other"); err != nil || len(none) != 0 {
		t.Errorf("databases of another namespace: %v, %v", none, err)
	}
}

func TestSubmitAgain(t *testing.T) {
	for name, c := range map[string]struct {
		db       stacks.Database
		kind     stacks.RunKind
		revision int64 // of the run
		newest   int64 // of the database
		draft    bool
		first    stacks.Phase // what became of the first run, which was pending
	}{
		"the same spec":        {spec("orders", "15"), stacks.RunApply, 1, 1, false, stacks.PhaseSuperseded},
		"a changed spec":       {spec("orders", "16"), stacks.RunApply, 2, 2, false, stacks.PhaseSuperseded},
		"check of the same":    {spec("orders", "15"), stacks.RunCheck, 1, 1, false, stacks.PhasePending},
		"check of a changed":   {spec("orders", "16"), stacks.RunCheck, 2, 1, true, stacks.PhasePending},
		"check of another one": {spec("stock", "16"), stacks.RunCheck, 1, 1, true, stacks.PhasePending},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			first := h.submit(spec("orders", "15"), 0)
			expect := int64(1)
			if c.db.Metadata.Name != "orders" {
				expect = 0
			}
			r := h.submit(c.db, expect, func(in *catalog.SubmitInput) { in.Kind = c.kind })
			if r.Revision != c.revision || r.Kind != c.kind {
				t.Errorf("run %+v", r)
			}
			rev, err := h.Revision(t.Context(), r.Incarnation, r.Revision)
			h.must(err)
			if rev.Draft != c.draft {
				t.Errorf("revision %+v", rev)
			}
			if d := h.db("orders"); d.Revision != c.newest {
				t.Errorf("database %+v", d)
			}
			if f := h.run(first.ID); f.Phase != c.first || (f.EndedAt != nil) != c.first.Ended() {
				t.Errorf("first run %+v", f)
			}
			newest, err := h.Revision(t.Context(), first.Incarnation, 0)
			h.must(err)
			if newest.Number != c.newest {
				t.Errorf("newest revision %d", newest.Number)
			}
		})
	}
}

func TestACheckOfAnUnknownDatabaseMakesNone(t *testing.T) {
	h := newHouse(t)
	r := h.submit(spec("orders", "15"), 0, check)
	if _, err := h.Database(t.Context(), "default", "orders"); !errors.Is(err, catalog.ErrNotFound) {
		t.Fatalf("database: %v", err)
	}
	if next := h.next("orders"); next != "" {
		t.Fatalf("the funnel works on %q", next)
	}
	h.move(r.ID, stacks.PhasePending, stacks.PhasePlanning)
	r = h.move(r.ID, stacks.PhasePlanning, stacks.PhaseDone)
	if r.EndedAt == nil {
		t.Fatalf("run %+v", r)
	}
	if a := h.submit(spec("orders", "15"), 0); a.Incarnation == r.Incarnation {
		t.Error("the database took the incarnation of a check")
	}
}

func TestADraftIsNeverTheDatabases(t *testing.T) {
	h := newHouse(t)
	first := h.submit(spec("orders", "15"), 0)
	h.submit(spec("orders", "16"), 1, check)
	r := h.submit(spec("orders", "17"), 1)
	if r.Revision != 3 || h.db("orders").Revision != 3 {
		t.Fatalf("run %+v, database %+v", r, h.db("orders"))
	}
	rev, err := h.Revision(t.Context(), first.Incarnation, 2)
	h.must(err)
	if !rev.Draft {
		t.Fatalf("revision %+v", rev)
	}
}

func TestSubmitExpectsARevision(t *testing.T) {
	h := newHouse(t)
	in := catalog.SubmitInput{Effective: spec("orders", "15"), Kind: stacks.RunApply, ExpectRevision: 1}
	_, err := h.Submit(t.Context(), in)
	h.is(err, catalog.ErrMoved)
	h.submit(spec("orders", "15"), 0)
	for _, expect := range []int64{0, 2} {
		in.ExpectRevision = expect
		_, err = h.Submit(t.Context(), in)
		h.is(err, catalog.ErrMoved)
	}
	in.Kind = stacks.RunDestroy
	if _, err := h.Submit(t.Context(), in); err == nil {
		t.Error("a destroy run took a spec")
	}
}

func TestNewestRunsFirst(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	a := h.submit(spec("orders", "15"), 0)
	b := h.submit(spec("orders", "16"), 1)
	c := h.submit(spec("stock", "16"), 0, check)
	for name, x := range map[string]struct {
		f    catalog.RunFilter
		want []string
	}{
		"all":             {catalog.RunFilter{}, []string{c.ID, b.ID, a.ID}},
		"of one database": {catalog.RunFilter{Namespace: "default", Name: "orders"}, []string{b.ID, a.ID}},
		"open":            {catalog.RunFilter{Open: true}, []string{c.ID, b.ID}},
		"the newest":      {catalog.RunFilter{Limit: 1}, []string{c.ID}},
		"of nobody":       {catalog.RunFilter{Namespace: "other"}, nil},
	} {
		runs, err := h.Runs(ctx, x.f)
		h.must(err)
		var got []string
		for _, r := range runs {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
	open, err := h.AllRunsOpen(ctx)
	h.must(err)
	if len(open) != 2 {
		t.Errorf("open runs %+v", open)
	}
}

func TestStatusOfADatabase(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	d := h.db(h.submit(spec("orders", "15"), 0).Name)
	h.must(h.SetDatabaseStatus(ctx, d.Incarnation, catalog.DatabaseDegraded, "istanbul does not answer"))
	h.must(h.SetUnmanaged(ctx, d.Incarnation, []string{"database old", "user bob"}))
	d = h.db("orders")
	if d.Phase != catalog.DatabaseDegraded || d.Message != "istanbul does not answer" || !slices.Equal(d.Unmanaged, []string{"database old", "user bob"}) {
		t.Fatalf("database %+v", d)
	}
	h.must(h.SetUnmanaged(ctx, d.Incarnation, nil))
	if d = h.db("orders"); len(d.Unmanaged) != 0 {
		t.Fatalf("database %+v", d)
	}
	h.is(h.SetDatabaseStatus(ctx, "nothing", "", ""), catalog.ErrNotFound)
}

func TestAudit(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0)
	h.plan(r.ID, "")
	h.approve(r.ID)
	h.approve(r.ID) // the same yes is one
	_, err := h.Cancel(ctx, r.ID, "ada", nil)
	h.must(err)
	_, err = h.SubmitDestroy(ctx, "default", "orders", "ada")
	h.must(err)
	h.must(h.RecordAudit(ctx, catalog.Audit{Actor: "eve", Verb: "reveal", Subject: "user orders_app", Namespace: "default", Name: "orders"}))
	h.submit(spec("stock", "15"), 0)
	list, err := h.Audits(ctx, "default", "orders", 0)
	h.must(err)
	var got []string
	for _, a := range list {
		got = append(got, a.Actor+" "+a.Verb)
		if time.Since(a.At) > time.Minute {
			t.Errorf("line %+v", a)
		}
	}
	if want := []string{"eve reveal", "ada destroy", "ada cancel", "grace approve", "ada submit"}; !slices.Equal(got, want) {
		t.Fatalf("audit %q, want %q", got, want)
	}
	if two, err := h.Audits(ctx, "default", "orders", 2); err != nil || len(two) != 2 || two[0].Verb != "reveal" {
		t.Fatalf("audit %+v, %v", two, err)
	}
}

func TestIncarnationsDiffer(t *testing.T) {
	h := newHouse(t)
	seen := map[string]bool{}
	for i := range 200 {
		r := h.submit(spec("db"+strings.Repeat("x", i%30)+string(rune('a'+i%26)), "15"), 0, check)
		if seen[r.Incarnation] {
			t.Fatalf("incarnation %s twice", r.Incarnation)
		}
		seen[r.Incarnation] = true
	}
}

// searched is every byte of the store's files. Reading them drops the locks of this process, so nothing is written after it.
func (h *house) searched() []byte {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, store.FileName+"*"))
	h.must(err)
	if len(files) < 3 {
		h.t.Fatalf("files %q", files)
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		h.must(err)
		all = append(all, b...)
	}
	return all
}
