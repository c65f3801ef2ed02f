package activities

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// house is activities on a real store, with a provider and an engine that do nothing: tests play the runner by moving rows.
type house struct {
	*Activities
	t      *testing.T
	run    catalog.Run
	engine *fakeEngine
	cloud  *fakeProvider
}

// fakeProvider finds nothing again, or what a test says.
type fakeProvider struct {
	locate    func(in providers.LocateInput) providers.Located
	preflight func() error
	progress  func() (string, error)
	lag       func() (time.Duration, bool, error)
	growths   []stacks.Growth
}

func (*fakeProvider) Name() string { return "local" }

func (p *fakeProvider) GrowsByItself(stacks.Database, stacks.Region) []stacks.Growth {
	return p.growths
}

func (p *fakeProvider) Locate(_ context.Context, in providers.LocateInput) (providers.Located, error) {
	if p.locate == nil {
		return providers.Located{State: providers.FoundUnknown, Evidence: "nobody looked"}, nil
	}
	return p.locate(in), nil
}

func (p *fakeProvider) Preflight(context.Context, providers.ModuleInput) error {
	if p.preflight == nil {
		return nil
	}
	return p.preflight()
}

func (p *fakeProvider) ApplyProgress(context.Context, providers.ModuleInput) (string, error) {
	if p.progress == nil {
		return "", nil
	}
	return p.progress()
}

func (p *fakeProvider) ReplicationLag(context.Context, providers.ModuleInput) (time.Duration, bool, error) {
	if p.lag == nil {
		return 0, false, nil
	}
	return p.lag()
}

// fakeEngine does nothing, or what a test says.
type fakeEngine struct {
	ensure, remove func(ctx context.Context) error
	check          func() providers.LinkStatus
}

func (*fakeEngine) Name() string { return "postgres" }

func (e *fakeEngine) EnsureLink(ctx context.Context, _ providers.LinkInput) error {
	if e.ensure == nil {
		return nil
	}
	return e.ensure(ctx)
}

func (e *fakeEngine) CheckLink(context.Context, providers.LinkInput) (providers.LinkStatus, error) {
	if e.check == nil {
		return providers.LinkStatus{State: providers.StateReady}, nil
	}
	return e.check(), nil
}

func (e *fakeEngine) RemoveLink(ctx context.Context, _ providers.LinkInput) error {
	if e.remove == nil {
		return nil
	}
	return e.remove(ctx)
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	keys, err := keyring.Open(keyring.Source{Dir: dir}, true)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	engine, cloud := &fakeEngine{}, &fakeProvider{}
	return &house{t: t, engine: engine, cloud: cloud, Activities: New(Options{
		Catalog: catalog.New(st, keys), Journal: journal.New(st, keys), Site: terraform.Site{Root: dir},
		Registry: providers.NewRegistry([]providers.Provider{cloud}, []providers.Engine{engine}),
		Timing:   stacks.DefaultTiming(), Logger: slog.New(slog.DiscardHandler),
	})}
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) is(err, target error) {
	h.t.Helper()
	if !errors.Is(err, target) {
		h.t.Fatalf("error %v, want %v", err, target)
	}
}

// orders is a database in these regions, the first one the primary.
func orders(regions ...string) stacks.Database {
	protect := false
	db := stacks.Database{
		APIVersion: stacks.APIVersion, Kind: stacks.KindDatabase, Metadata: stacks.Metadata{Namespace: "default", Name: "orders"},
		Spec: stacks.DatabaseSpec{Engine: stacks.Engine{Name: "postgres", Version: "15"}, Deletion: stacks.Deletion{Protect: &protect}},
	}
	for i, name := range regions {
		role := stacks.RoleReplica
		if i == 0 {
			role = stacks.RolePrimary
		}
		db.Spec.Regions = append(db.Spec.Regions, stacks.Region{Name: name, Provider: "local", Location: "local", Role: role})
	}
	return db
}

func linked(db stacks.Database, to ...string) stacks.Database {
	for _, r := range to {
		db.Spec.Replication.Links = append(db.Spec.Replication.Links, stacks.Link{From: db.Primary(), To: r, Mode: stacks.LinkLogical})
	}
	return db
}

// submit stores a run with a yes and makes it the active one.
func (h *house) submit(db stacks.Database, kind stacks.RunKind) {
	h.t.Helper()
	known, err := h.Catalog.Database(h.t.Context(), "default", "orders")
	if !errors.Is(err, catalog.ErrNotFound) {
		h.must(err)
	}
	h.run, err = h.Catalog.Submit(h.t.Context(), catalog.SubmitInput{Effective: db, Yes: true, Actor: "ada", Kind: kind, ExpectRevision: known.Revision})
	h.must(err)
	h.next()
}

// destroy submits a destroy run.
func (h *house) destroy() {
	h.t.Helper()
	var err error
	h.run, err = h.Catalog.SubmitDestroy(h.t.Context(), "default", "orders", "ada")
	h.must(err)
	h.next()
}

func (h *house) next() {
	h.t.Helper()
	if h.run.Kind == stacks.RunCheck {
		return
	}
	id, err := h.Catalog.NextRun(h.t.Context(), "default", "orders")
	h.must(err)
	if id != h.run.ID {
		h.t.Fatalf("the next run is %q, want %s", id, h.run.ID)
	}
}

// approve says yes to the plan of the run.
func (h *house) approve() {
	h.t.Helper()
	run, err := h.Catalog.Run(h.t.Context(), h.run.ID)
	h.must(err)
	_, err = h.Catalog.Approve(h.t.Context(), run.ID, run.PlanDigest, "ada")
	h.must(err)
	h.next()
}

func (h *house) cancel() {
	h.t.Helper()
	_, err := h.Catalog.Cancel(h.t.Context(), h.run.ID, "ada", nil)
	h.must(err)
}

// step asks for the next phase and wants it, with work for exactly these regions or links.
func (h *house) step(done, want stacks.Phase, work ...string) StepResult {
	h.t.Helper()
	res, err := h.Step(h.t.Context(), StepInput{Run: h.run.ID, Done: done})
	h.must(err)
	got := slices.Clone(res.Links)
	for _, r := range res.Regions {
		got = append(got, r.Region)
	}
	if res.Phase != want || !slices.Equal(got, work) {
		h.t.Fatalf("after %q: %s with %v, want %s with %v; the run says %q", done, res.Phase, got, want, work, h.row().Message)
	}
	return res
}

func (h *house) row() catalog.Run {
	h.t.Helper()
	run, err := h.Catalog.Run(h.t.Context(), h.run.ID)
	h.must(err)
	return run
}

// judged is the row of a run that is planned to make one change in ankara, once what it may do was judged; next is where it goes from there.
func (h *house) judged(db stacks.Database, kind stacks.RunKind, change stacks.Change, next stacks.Phase) catalog.Run {
	h.t.Helper()
	h.submit(db, kind)
	h.step("", stacks.PhasePlanning, "ankara")
	h.planned("ankara", "a")
	h.must(h.Catalog.UpdateRegion(h.t.Context(), h.run.ID, "ankara", func(r catalog.RunRegion) catalog.RunRegion {
		r.Changes = []stacks.Change{change}
		return r
	}))
	var work []string
	if next == stacks.PhaseApplying {
		work = []string{"ankara"}
	}
	h.step(stacks.PhasePlanning, next, work...)
	return h.row()
}

// planned plays a plan that changes something, or, with an empty digest, nothing.
func (h *house) planned(region, digest string) {
	h.t.Helper()
	h.must(h.Catalog.UpdateRegion(h.t.Context(), h.run.ID, region, func(r catalog.RunRegion) catalog.RunRegion {
		r.StackDigest, r.Artifact, r.ArtifactDigest, r.StateSerial = "stack", digest, digest, 1
		if r.Phase = stacks.RegionPlanned; digest == "" {
			r.Phase = stacks.RegionUnchanged
		}
		return r
	}))
}

// ended plays how an apply ended.
func (h *house) ended(region string, phase stacks.RegionPhase) {
	h.t.Helper()
	h.must(h.Catalog.UpdateRegion(h.t.Context(), h.run.ID, region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.Message, r.ApplyStep = phase, "played", h.run.ID+"/"+region+"/apply.1"
		return r
	}))
}

// born gives a region a head with an empty state.
func (h *house) born(region string) {
	h.t.Helper()
	id := stackID(h.run, region)
	empty := terraform.EmptyState(id)
	state, err := terraform.ReadState(empty)
	h.must(err)
	h.must(h.Journal.EnsureStack(h.t.Context(), id, empty, state.Lineage))
}

// linkOf is the first link of a database, as the run knows it.
func (h *house) linkOf(db stacks.Database) linkJob {
	link := db.Spec.Replication.Links[0]
	return linkJob{run: h.run, row: catalog.Link{Incarnation: h.run.Incarnation, Name: link.Name(), Spec: link, RunNumber: h.run.Number}}
}

// ready plays an apply of two regions up to the links.
func (h *house) ready() {
	h.t.Helper()
	h.step("", stacks.PhasePlanning, "ankara", "istanbul")
	h.planned("ankara", "")
	h.planned("istanbul", "")
	h.step(stacks.PhasePlanning, stacks.PhaseApplying, "ankara", "istanbul")
	h.ended("ankara", stacks.RegionReady)
	h.ended("istanbul", stacks.RegionReady)
	h.step(stacks.PhaseApplying, stacks.PhaseLinking, "ankara-istanbul")
}

// over ends the run before it worked.
func (h *house) over() {
	h.t.Helper()
	h.must(h.EndRun(h.t.Context(), EndRunInput{Run: h.run.ID, Reason: "Played"}))
}
