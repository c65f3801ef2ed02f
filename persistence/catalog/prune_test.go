package catalog_test

import (
	"slices"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
)

// TestPruneRuns takes the old runs of a database, a look at a time, but the newest ones, those that are young, open or active, and those that are needed.
func TestPruneRuns(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	var runs []string
	for i := range 6 {
		r := h.submit(spec("orders", "15"), int64(min(i, 1)))
		runs = append(runs, r.ID)
		h.must(h.AppendLog(ctx, catalog.LogLine{Run: r.ID, Level: "INFO", Text: "said"}))
		if i < 5 {
			_, err := h.Cancel(ctx, r.ID, "ada", nil)
			h.must(err)
		}
	}
	h.exec("UPDATE databases SET active_run = '" + runs[2] + "'")
	var asked []string
	look := func(in catalog.PruneInput, needed ...string) (int, catalog.PruneCursor, bool) {
		t.Helper()
		asked = nil
		n, next, more, err := h.PruneRuns(ctx, in, func(_ *store.Tx, list []string) ([]string, error) {
			asked = list
			return slices.DeleteFunc(slices.Clone(list), func(id string) bool { return slices.Contains(needed, id) }), nil
		})
		h.must(err)
		return n, next, more
	}
	future := time.Now().Add(time.Hour)
	if n, _, more := look(catalog.PruneInput{Runs: 1, Before: time.Now().Add(-time.Hour), Limit: 10}); n != 0 || more || asked != nil {
		t.Errorf("young ones: %d, %v", n, asked)
	}
	n, next, more := look(catalog.PruneInput{Runs: 2, Before: future, Limit: 2}, runs[1])
	if n != 1 || !more || !slices.Equal(asked, runs[:2]) {
		t.Errorf("first: %d, %v, of %v", n, asked, runs)
	}
	if n, _, more = look(catalog.PruneInput{Runs: 2, Before: future, Limit: 2, After: next}); n != 1 || more || !slices.Equal(asked, runs[3:4]) {
		t.Errorf("then: %d, %v, of %v", n, asked, runs)
	}
	if n, _, _ = look(catalog.PruneInput{Runs: 2, Before: future, Limit: 10}, runs[1]); n != 0 || !slices.Equal(asked, runs[1:2]) {
		t.Errorf("once more: %d, %v, of %v", n, asked, runs)
	}
	for i, id := range runs {
		lines, err := h.LogLines(ctx, id, 0)
		h.must(err)
		at, err := h.PrunedAt(ctx, id)
		h.must(err)
		if gone := i == 0 || i == 3; gone != (len(lines) == 0) || gone != (at != nil) || h.run(id).Actor != "ada" {
			t.Errorf("run %d: %d lines, removed at %v", i, len(lines), at)
		}
	}
	_, err := h.PrunedAt(ctx, "nobody")
	h.is(err, catalog.ErrNotFound)
}
