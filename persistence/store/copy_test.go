package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
)

// TestCopy moves rows of every kind from a file to PostgreSQL and back, and finds them the same; a target of somebody else's is refused.
func TestCopy(t *testing.T) {
	storetest.SQLiteOnly(t)
	t.Parallel()
	where := storetest.Postgres(t)
	openAt := func(where string) *store.Store {
		t.Helper()
		s, err := store.Open(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	from, to := openAt(t.TempDir()), openAt(storetest.Schema(t, where, "first"))
	const runs = 300
	if err := from.Write(t.Context(), func(tx *store.Tx) error { return fill(tx, runs) }); err != nil {
		t.Fatal(err)
	}
	copied, err := store.Copy(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(copied, func(c store.Copied) bool { return c.Table == "audit" }); i < 0 || copied[i].Rows != runs {
		t.Errorf("copied %+v", copied)
	}
	again, err := store.Copy(t.Context(), from, to)
	if err != nil || !slices.Equal(again, copied) {
		t.Errorf("again: %v, %+v", err, again)
	}
	// The next numbers are past those that were copied.
	if err := to.Write(t.Context(), func(tx *store.Tx) error { return fill(tx, 1) }); err != nil {
		t.Errorf("a row after the copy: %v", err)
	}
	if _, err := store.Copy(t.Context(), from, to); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("onto rows of its own: %v", err)
	}

	back := openAt(t.TempDir())
	there, err := store.Copy(t.Context(), to, back)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if scan(t, back, "SELECT count(*) FROM audit", &n); n != runs+1 || len(there) != len(copied) {
		t.Errorf("%d rows came back of %d tables", n, len(there))
	}
	if _, err := store.Copy(t.Context(), from, back); err == nil {
		t.Error("a file was copied into a file")
	}
}

func fill(tx *store.Tx, rows int) error {
	for i := range rows {
		detail := fmt.Sprintf("détail %d 'quoted' \"twice\" \n", i)
		if _, err := tx.Exec("INSERT INTO audit (at, actor, verb, subject, namespace, name, run, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", i, "a", "b", "", "", "Ä", "", detail); err != nil {
			return err
		}
	}
	return nil
}

func TestLookSchema(t *testing.T) {
	dir := t.TempDir()
	where := storetest.Where(t, dir)
	before, err := store.LookSchema(t.Context(), where)
	if err != nil || before.Version != 0 || before.Want == 0 || before.Foreign {
		t.Fatalf("before: %+v, %v", before, err)
	}
	s := open(t, dir)
	after, err := store.LookSchema(t.Context(), where)
	if err != nil || after.Version != after.Want || after.Foreign || after.Changed {
		t.Errorf("after: %+v, %v", after, err)
	}
	if err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE meta SET value = ? WHERE key = 'schema'", fmt.Sprintf("%d other", after.Version))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if changed, err := store.LookSchema(t.Context(), where); err != nil || !changed.Changed {
		t.Errorf("made from other files: %+v, %v", changed, err)
	}
}
