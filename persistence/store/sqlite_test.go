package store_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
)

func TestOpenSetsWhatTheDesignPromises(t *testing.T) {
	storetest.SQLiteOnly(t)
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "0"} {
		for name, in := range map[string]func(context.Context, func(*store.Tx) error) error{"write": s.Write, "read": s.Read} {
			var got string
			if err := in(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("PRAGMA " + pragma).Scan(&got) }); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s in a %s transaction is %s, want %s", pragma, name, got, want)
			}
		}
	}
	notify(t, s, "run", "x")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("files %q, %v", files, err)
	}
	for _, f := range append(files, dir) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may read it", f, info.Mode())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	storetest.SQLiteOnly(t)
	if os.Getuid() == 0 {
		t.Log("root may read everything: the case of permissions is left out")
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    error
		says    string
		asUser  bool
	}{
		"newer version": {
			prepare: func(t *testing.T, dir string) {
				s := open(t, dir)
				if err := s.Write(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, 1)")
					return err
				}); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			},
			want: store.ErrNewer, says: "4711",
		},
		"no database": {
			prepare: func(t *testing.T, dir string) { write(t, dir, strings.Repeat("this is no database\n", 300)) },
			want:    store.ErrCorrupt, says: "backup",
		},
		"damaged": {
			prepare: func(t *testing.T, dir string) {
				s := open(t, dir)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				f := filepath.Join(dir, store.FileName)
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				for i := 100; i < len(b); i++ {
					b[i] = 0xff
				}
				write(t, dir, string(b))
			},
			want: store.ErrCorrupt, says: "backup",
		},
		"directory is a file": {
			prepare: func(t *testing.T, dir string) {
				if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			},
			says: "not a directory",
		},
		"not ours to write": {
			prepare: func(t *testing.T, dir string) {
				if err := os.Chmod(dir, 0o500); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
			},
			want: store.ErrUnreadable, says: "owns the directory", asUser: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.asUser && os.Getuid() == 0 {
				t.Skip("root may write everywhere")
			}
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c.prepare(t, dir)
			s, err := store.Open(t.Context(), dir)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opened")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
		})
	}
}

func write(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, store.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileOpenToOthersIsClosedToThem(t *testing.T) {
	storetest.SQLiteOnly(t)
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	f := filepath.Join(dir, store.FileName)
	if err := os.Chmod(f, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	info, err := os.Stat(f)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestFirstOpenByManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var children []*exec.Cmd
	for range 4 {
		children = append(children, startChild(t, dir))
	}
	var g errgroup.Group
	where := storetest.Where(t, dir)
	for range 4 {
		g.Go(func() error {
			s, err := store.Open(t.Context(), where)
			if err != nil {
				return err
			}
			return s.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	var n int
	if scan(t, open(t, dir), "SELECT count(*) FROM changes WHERE topic = 'child'", &n); n != 4*childWrites {
		t.Fatalf("%d writes arrived, want %d", n, 4*childWrites)
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := store.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for b.Loop() {
		s, err := store.Open(b.Context(), dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
