package catalog_test

import (
	"reflect"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// TestOverviews reads of many databases what is read of each alone.
func TestOverviews(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	for i, name := range []string{"orders", "stock", "empty"} {
		h.submit(spec(name, "15"), 0)
		h.submit(spec(name, "16"), 1)
		d := h.db(name)
		if name == "empty" {
			continue
		}
		h.must(h.PutEndpoint(ctx, stacks.StackID{Namespace: d.Namespace, Name: name, Incarnation: d.Incarnation, Region: "ankara"}, stacks.Endpoint{Host: "127.0.0.1", Port: 5000 + i}))
		h.must(h.PutLink(ctx, catalog.Link{Incarnation: d.Incarnation, Name: "b", Phase: "verified", Lag: time.Second}))
		h.must(h.PutLink(ctx, catalog.Link{Incarnation: d.Incarnation, Name: "a", Phase: "pending"}))
	}
	all, err := h.Databases(ctx, "")
	h.must(err)
	got, err := h.Overviews(ctx, all)
	h.must(err)
	if len(got) != 3 {
		t.Fatalf("%d overviews", len(got))
	}
	for _, d := range all {
		o := got[d.Incarnation]
		rev, err := h.Revision(ctx, d.Incarnation, 0)
		h.must(err)
		run, err := h.Run(ctx, o.LastRun.ID)
		h.must(err)
		links, err := h.Links(ctx, d.Incarnation)
		h.must(err)
		if !reflect.DeepEqual(o.Effective, rev.Effective) || !reflect.DeepEqual(o.LastRun, run) || !reflect.DeepEqual(o.Links, links) || o.LastDrift.ID != "" {
			t.Errorf("%s: %+v, want revision %+v, run %+v, links %+v", d.Name, o, rev, run, links)
		}
		if run.Number != d.LastRun {
			t.Errorf("%s: run %d, want %d", d.Name, run.Number, d.LastRun)
		}
		if want := map[string]int{"orders": 1, "stock": 1, "empty": 0}[d.Name]; len(o.Endpoints) != want {
			t.Errorf("%s: endpoints %+v", d.Name, o.Endpoints)
		}
	}
	if none, err := h.Overviews(ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
}
