package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/persistence/store"
)

func next(t *testing.T, ch <-chan store.Change) store.Change {
	t.Helper()
	select {
	case c, ok := <-ch:
		if !ok {
			t.Fatal("the feed ended")
		}
		return c
	case <-time.After(5 * time.Second):
		t.Fatal("no change came")
	}
	return store.Change{}
}

func TestWatchSeesThisProcessAtOnce(t *testing.T) {
	s := open(t, t.TempDir())
	s.PollEvery(time.Hour) // so that nothing but the commit itself can wake the watcher
	notify(t, s, "run", "before")
	ch := s.Watch(t.Context())
	for i := range 10 {
		notify(t, s, "run", fmt.Sprint(i))
		if c := next(t, ch); c.Topic != "run" || c.Key != fmt.Sprint(i) {
			t.Fatalf("change %d is %+v", i, c)
		}
	}
}

func TestWatchSeesOtherProcesses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	ch := s.Watch(t.Context())
	c := startChild(t, dir)
	for i := range childWrites {
		if got := next(t, ch); got.Topic != "child" || !strings.HasSuffix(got.Key, fmt.Sprintf("-%d", i)) {
			t.Fatalf("change %d is %+v", i, got)
		}
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestWatchEnds(t *testing.T) {
	for name, end := range map[string]func(cancel func(), s *store.Store) error{
		"with its context": func(cancel func(), _ *store.Store) error { cancel(); return nil },
		"with the store":   func(_ func(), s *store.Store) error { return s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ch := s.Watch(ctx)
			notify(t, s, "run", "nobody reads this") // a watcher that is stuck in a send ends too
			if err := end(cancel, s); err != nil {
				t.Fatal(err)
			}
			deadline := time.After(5 * time.Second)
			for {
				select {
				case _, ok := <-ch:
					if !ok {
						return
					}
				case <-deadline:
					t.Fatal("the feed did not end")
				}
			}
		})
	}
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-s.Watch(t.Context()); ok {
		t.Fatal("a closed store feeds changes")
	}
}

func TestFeedIsPruned(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Write(t.Context(), func(tx *store.Tx) error {
		for i := range 10000 {
			if err := tx.Notify("run", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var n, last int
	scan(t, s, "SELECT count(*) FROM changes", &n)
	scan(t, s, "SELECT max(seq) FROM changes", &last)
	if n < 8000 || n > 9000 || last != 10000 {
		t.Fatalf("%d of 10000 changes are kept, the last is %d", n, last)
	}
}
