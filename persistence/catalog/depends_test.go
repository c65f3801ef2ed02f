package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// needs is a spec that depends on others of its namespace.
func needs(name string, others ...string) stacks.Database {
	s := spec(name, "15")
	for _, o := range others {
		s.Spec.DependsOn = append(s.Spec.DependsOn, stacks.Dependency{Namespace: s.Metadata.Namespace, Name: o})
	}
	return s
}

// TestARunWaitsForWhatItDependsOn lets the run of a database start only once what it depends on was applied.
func TestARunWaitsForWhatItDependsOn(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	runs, err := h.SubmitAll(ctx, []catalog.SubmitInput{
		{Effective: needs("app", "network"), Kind: stacks.RunApply, Actor: "test"},
		{Effective: needs("network"), Kind: stacks.RunApply, Actor: "test"},
	})
	h.must(err)
	app, network := runs[0], runs[1]
	next := func(name string) string {
		t.Helper()
		id, err := h.NextRun(ctx, "default", name)
		h.must(err)
		return id
	}
	if got := next("app"); got != "" {
		t.Fatalf("app starts with %s while network was never applied", got)
	}
	if r, err := h.Run(ctx, app.ID); err != nil || !strings.Contains(r.Message, network.ID) || r.Phase != stacks.PhasePending {
		t.Errorf("what it waits for is not said: %+v, %v", r, err)
	}
	if got := next("network"); got != network.ID {
		t.Fatalf("network starts with %q", got)
	}
	_, err = h.MoveRun(ctx, network.ID, catalog.Move{From: stacks.PhasePending, To: stacks.PhaseDone})
	h.must(err)
	if got := next("app"); got != app.ID {
		t.Fatalf("app does not go on with %s but %q", app.ID, got)
	}
}

// TestARunWhoseDependencyFailedFails does not wait for what will not come.
func TestARunWhoseDependencyFailedFails(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	runs, err := h.SubmitAll(ctx, []catalog.SubmitInput{
		{Effective: needs("network"), Kind: stacks.RunApply, Actor: "test"},
		{Effective: needs("app", "network"), Kind: stacks.RunApply, Actor: "test"},
	})
	h.must(err)
	_, err = h.MoveRun(ctx, runs[0].ID, catalog.Move{From: stacks.PhasePending, To: stacks.PhaseFailed, Reason: "Broken"})
	h.must(err)
	if id, err := h.NextRun(ctx, "default", "app"); err != nil || id != "" {
		t.Fatalf("app starts: %q, %v", id, err)
	}
	r, err := h.Run(ctx, runs[1].ID)
	h.must(err)
	if r.Phase != stacks.PhaseFailed || r.Reason != "Dependency" || !strings.Contains(r.Message, "network") {
		t.Errorf("the run is %s (%s): %s", r.Phase, r.Reason, r.Message)
	}
	if d, err := h.Database(ctx, "default", "app"); err != nil || d.Phase != catalog.DatabaseFailed {
		t.Errorf("the database is %s, %v", d.Phase, err)
	}
}

// TestDependenciesThatCannotBeMet refuses, in the transaction that would store it, what is not there and what closes a circle.
func TestDependenciesThatCannotBeMet(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	submit := func(specs ...stacks.Database) error {
		var ins []catalog.SubmitInput
		for _, s := range specs {
			in := catalog.SubmitInput{Effective: s, Kind: stacks.RunApply, Actor: "test"}
			if d, err := h.Database(ctx, "default", s.Metadata.Name); err == nil {
				in.ExpectRevision = d.Revision
			}
			ins = append(ins, in)
		}
		_, err := h.SubmitAll(ctx, ins)
		return err
	}
	if err := submit(needs("app", "network")); !errors.Is(err, catalog.ErrDependency) {
		t.Errorf("an unknown dependency: %v", err)
	}
	if _, err := h.Database(ctx, "default", "app"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("what was refused is there: %v", err)
	}
	if err := submit(needs("a", "b"), needs("b", "c"), needs("c", "a")); !errors.Is(err, catalog.ErrDependency) || !strings.Contains(err.Error(), "default/a -> default/b -> default/c -> default/a") {
		t.Errorf("a circle: %v", err)
	}
	h.must(submit(needs("network"), needs("app", "network")))
	if err := submit(needs("network", "app")); !errors.Is(err, catalog.ErrDependency) {
		t.Errorf("a circle with what is there: %v", err)
	}
	if _, err := h.SubmitDestroy(ctx, "default", "network", "test"); !errors.Is(err, catalog.ErrDependents) || !strings.Contains(err.Error(), "default/app") {
		t.Errorf("network may be destroyed while app needs it: %v", err)
	}
	h.must(submit(needs("app")))
	if _, err := h.SubmitDestroy(ctx, "default", "network", "test"); err != nil {
		t.Errorf("network may not be destroyed though nothing needs it: %v", err)
	}
	if err := submit(needs("app", "network")); !errors.Is(err, catalog.ErrDependency) {
		t.Errorf("a dependency that is being destroyed: %v", err)
	}
}

// TestPackages keeps a module by its content, makes a new revision where it changed, and forgets it with the database.
func TestPackages(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	put := func(text string) catalog.RegionPackage {
		p := stacks.NewPackage(stacks.Package{
			ModuleSource: stacks.ModuleSource{Source: "./module"}, Dir: "modules/database", Resolved: "abc",
			Files: []stacks.File{{Path: "modules/database/main.tf", Content: []byte(text), Exec: true}},
		})
		h.must(h.PutPackage(ctx, p))
		h.must(h.PutPackage(ctx, p))
		got, err := h.Package(ctx, p.Digest)
		h.must(err)
		if len(got.Files) != 1 || string(got.Files[0].Content) != text || !got.Files[0].Exec || got.Source != "./module" {
			t.Fatalf("came back as %+v", got)
		}
		return catalog.RegionPackage{Region: "ankara", Source: p.ModuleSource, Archive: "a", Resolved: p.Resolved, Digest: p.Digest}
	}
	submit := func(revision int64, p catalog.RegionPackage) catalog.Run {
		r, err := h.Submit(ctx, catalog.SubmitInput{Effective: spec("orders", "15"), Kind: stacks.RunApply, ExpectRevision: revision, Packages: []catalog.RegionPackage{p}})
		h.must(err)
		return r
	}
	one, two := put("# one"), put("# two")
	first := submit(0, one)
	if r := submit(1, one); r.Revision != 1 {
		t.Errorf("the same spec of the same module is revision %d", r.Revision)
	}
	if r := submit(1, two); r.Revision != 2 {
		t.Errorf("the same spec of another module is revision %d", r.Revision)
	}
	for revision, want := range map[int64]catalog.RegionPackage{1: one, 2: two, 0: two} {
		got, err := h.RegionPackage(ctx, first.Incarnation, revision, "ankara")
		h.must(err)
		if got.Digest != want.Digest || got.Source.Source != "./module" || got.Archive != "a" || got.Resolved != "abc" {
			t.Errorf("revision %d is made of %+v", revision, got)
		}
	}
	if _, err := h.RegionPackage(ctx, first.Incarnation, 1, "izmir"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("another region's module: %v", err)
	}
	h.must(h.RemoveDatabase(ctx, first.Incarnation))
	if _, err := h.RegionPackage(ctx, first.Incarnation, 1, "ankara"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("a removed database is made of something: %v", err)
	}
}
