package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
)

// TestBackupIsConsistentWhileOthersWrite copies a store in which two rows are always the same, while somebody changes both.
func TestBackupIsConsistentWhileOthersWrite(t *testing.T) {
	if storetest.OnPostgres() {
		s := open(t, t.TempDir())
		if _, err := s.Backup(t.Context(), t.TempDir()); !errors.Is(err, store.ErrNotFile) {
			t.Fatalf("a copy of a file that is not there: %v", err)
		}
		return
	}
	s := open(t, t.TempDir())
	set := func(n int) error {
		return s.Write(t.Context(), func(tx *store.Tx) error {
			for _, key := range []string{"a", "b"} {
				if _, err := tx.Exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, strconv.Itoa(n)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := set(0); err != nil {
		t.Fatal(err)
	}
	stop, wrote := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				wrote <- nil
				return
			default:
			}
			if err := set(n); err != nil {
				wrote <- err
				return
			}
		}
	}()
	for range 5 {
		dir := t.TempDir()
		path, err := s.Backup(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || filepath.Base(path) != store.FileName {
			t.Fatalf("%s: %v, %v", path, info, err)
		}
		if _, err := s.Backup(t.Context(), dir); !errors.Is(err, os.ErrExist) {
			t.Fatalf("a file that is there was written over: %v", err)
		}
		kept, err := store.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		var a, b string
		err = kept.Read(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.QueryRow("SELECT value FROM meta WHERE key = 'a'").Scan(&a), tx.QueryRow("SELECT value FROM meta WHERE key = 'b'").Scan(&b))
		})
		lines, checked := kept.Check(t.Context())
		if err = errors.Join(err, checked, kept.Close()); err != nil || a != b || a == "" || len(lines) > 0 {
			t.Fatalf("a copy with %q and %q, %v, %q", a, b, err, lines)
		}
	}
	close(stop)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

// TestCheckFindsATornPage damages a page in the middle of the file.
func TestCheckFindsATornPage(t *testing.T) {
	storetest.SQLiteOnly(t)
	dir := t.TempDir()
	s := open(t, dir)
	for n := range 400 {
		notify(t, s, "run", strconv.Itoa(n))
	}
	if lines, err := s.Check(t.Context()); err != nil || len(lines) > 0 {
		t.Fatalf("a sound store: %q, %v", lines, err)
	}
	path, err := s.Backup(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	damaged := t.TempDir()
	for i := len(text) - 3*page; i < len(text)-page; i++ {
		text[i] ^= 0xff
	}
	if err := os.WriteFile(filepath.Join(damaged, store.FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	torn, err := store.Open(t.Context(), damaged)
	if errors.Is(err, store.ErrCorrupt) {
		return // it was noticed even earlier
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = torn.Close() }()
	lines, err := torn.Check(t.Context())
	if len(lines) == 0 && err == nil {
		t.Error("a torn page was not noticed")
	}
}
