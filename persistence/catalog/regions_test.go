package catalog_test

import (
	"fmt"
	"slices"
	"testing"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// TestRegions lists where databases are and were, also those that are gone, and not what was only checked.
func TestRegions(t *testing.T) {
	h := newHouse(t)
	submit := func(name string, kind stacks.RunKind, regions ...stacks.Region) {
		t.Helper()
		db := stacks.Database{APIVersion: stacks.APIVersion, Kind: stacks.KindDatabase, Metadata: stacks.Metadata{Namespace: "default", Name: name}}
		db.Spec.Engine, db.Spec.Regions = stacks.Engine{Name: "postgres", Version: "16"}, regions
		known, err := h.Database(t.Context(), "default", name)
		if err != nil {
			known.Revision = 0
		}
		if _, err := h.Submit(t.Context(), catalog.SubmitInput{Effective: db, Yes: true, Actor: "ada", Kind: kind, ExpectRevision: known.Revision}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name, location string, account string) stacks.Region {
		return stacks.Region{Name: name, Provider: "cloud", Location: location, Role: stacks.RolePrimary, Settings: stacks.Settings{"account": account}}
	}
	submit("orders", stacks.RunApply, at("a", "here", "1"))
	submit("orders", stacks.RunApply, at("a", "here", "1"), at("b", "there", "1"))
	submit("orders", stacks.RunApply, at("a", "here", "2"))
	submit("orders", stacks.RunCheck, at("c", "nowhere", "1"))
	submit("sales", stacks.RunApply, at("a", "here", "1"))
	all, err := h.Regions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		region, ok := r.Effective.Region(r.Stack.Region)
		if !ok {
			t.Fatalf("%s is not in its spec", r.Stack)
		}
		got = append(got, fmt.Sprint(r.Stack.Name, " ", region.Name, " ", region.Location, " ", region.Settings["account"]))
	}
	want := []string{"orders a here 2", "orders a here 1", "orders b there 1", "sales a here 1"}
	if slices.Sort(got); !slices.Equal(got, sorted(want)) {
		t.Errorf("%q, want %q", got, want)
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }
