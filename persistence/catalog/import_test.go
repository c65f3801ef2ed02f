package catalog_test

import (
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// TestImport stores a run with its regions' placements and passwords, all or nothing, and again where the first was refused.
func TestImport(t *testing.T) {
	h := newHouse(t)
	submit := func(name, address, password string, yes bool) (catalog.Run, error) {
		db := stacks.Database{APIVersion: stacks.APIVersion, Kind: stacks.KindDatabase, Metadata: stacks.Metadata{Namespace: "default", Name: name}}
		db.Spec.Engine = stacks.Engine{Name: "postgres", Version: "16"}
		db.Spec.Regions = []stacks.Region{{Name: "a", Provider: "local", Location: "local", Role: stacks.RolePrimary}}
		known, err := h.Database(t.Context(), "default", name)
		if err != nil {
			known.Revision = 0
		}
		return h.Import(t.Context(), catalog.SubmitInput{Effective: db, Yes: yes, Actor: "ada", Kind: stacks.RunApply, ExpectRevision: known.Revision}, []catalog.ImportRegion{{
			Region: "a", Secret: "region/a/admin", Password: password,
			Placement: stacks.Placement{Address: address, Port: 5432, Takeover: &stacks.Takeover{Objects: []stacks.Import{{Address: "db.a", ID: address}}}},
		}})
	}
	_, err := submit("orders", "127.0.9.1", "first", true)
	h.is(err, catalog.ErrRefused)
	run, err := submit("orders", "127.0.9.1", "first", false)
	h.must(err)
	id := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: run.Incarnation, Region: "a"}
	p, err := h.Placement(t.Context(), id)
	h.must(err)
	if p.Address != "127.0.9.1" || p.Takeover == nil || p.Takeover.Objects[0].ID != "127.0.9.1" || run.Yes {
		t.Errorf("placement %+v of run %+v", p, run)
	}
	again, err := submit("orders", "127.0.9.2", "second", false)
	h.must(err)
	p, err = h.Placement(t.Context(), id)
	h.must(err)
	secret, err := h.Secret(t.Context(), run.Incarnation, "region/a/admin")
	h.must(err)
	if again.Incarnation != run.Incarnation || p.Address != "127.0.9.2" || secret != "second" {
		t.Errorf("the second import has %+v and %q", p, secret)
	}
	_, err = submit("sales", "127.0.9.2", "x", false)
	h.is(err, catalog.ErrRefused)
	_, err = h.Database(t.Context(), "default", "sales")
	h.is(err, catalog.ErrNotFound)
	if _, err := h.NextRun(t.Context(), "default", "orders"); err != nil {
		t.Fatal(err)
	}
	_, err = submit("orders", "127.0.9.3", "third", false)
	h.is(err, catalog.ErrRefused)
}
