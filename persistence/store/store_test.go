package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
)

func TestOnPostgres(t *testing.T) { storetest.Again(t) }

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	return storetest.Open(t, dir)
}

func notify(t *testing.T, s *store.Store, topic, key string) {
	t.Helper()
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Notify(topic, key) }); err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, s *store.Store, query string, dest any) {
	t.Helper()
	if err := s.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(query).Scan(dest) }); err != nil {
		t.Fatal(err)
	}
}

func TestReadCannotWrite(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Read(t.Context(), func(tx *store.Tx) error { return tx.Notify("run", "x") })
	if err == nil {
		t.Fatal("a read transaction wrote")
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	s := open(t, t.TempDir())
	boom := errors.New("boom")
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.Notify("run", "x"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	var n int
	if scan(t, s, "SELECT count(*) FROM changes", &n); n != 0 {
		t.Fatalf("%d rows of a failed transaction stayed", n)
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.Write(t.Context(), func(tx *store.Tx) error { panic("x") })
	}()
	notify(t, s, "run", "after a panic") // the connection is free again
}

func TestWritersWaitForEachOther(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	var g errgroup.Group
	for i := range 8 {
		s := []*store.Store{a, b}[i%2]
		g.Go(func() error {
			for range 25 {
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					var n int
					if err := tx.QueryRow("SELECT coalesce((SELECT value FROM meta WHERE key = 'n'), '0')").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec("INSERT INTO meta (key, value) VALUES ('n', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", fmt.Sprint(n+1))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var n string
	if scan(t, a, "SELECT value FROM meta WHERE key = 'n'", &n); n != "200" {
		t.Fatalf("200 increments gave %s", n)
	}
}

func TestBusyWriterGivesUpWithItsContext(t *testing.T) {
	storetest.SQLiteOnly(t)
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	release := hold(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err := b.Write(ctx, func(tx *store.Tx) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a write beside a held lock: %v", err)
	}
	var n int
	scan(t, b, "SELECT count(*) FROM changes", &n) // readers do not wait
	release()
	notify(t, b, "run", "x")
}

// hold keeps the write lock until the returned function is called.
func hold(t *testing.T, s *store.Store) (release func()) {
	t.Helper()
	held, done, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Write(context.Background(), func(tx *store.Tx) error {
			close(held)
			<-done
			return nil
		})
	}()
	<-held
	return sync.OnceFunc(func() {
		close(done)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestIsConflict(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO meta (key) VALUES ('epoch')")
		return err
	})
	if !store.IsConflict(err) || store.IsConflict(sql.ErrNoRows) || store.IsConflict(nil) {
		t.Fatalf("conflict %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := store.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for b.Loop() {
		var v string
		if err := s.Read(b.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT value FROM meta WHERE key = 'epoch'").Scan(&v) }); err != nil {
			b.Fatal(err)
		}
	}
}
