package store_test

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestListeners tells who listens to a store's changes: nobody, another process while it watches, whatever it was told meanwhile, and nobody again
// once it has ended. Who listens to another store on the same server is not among them.
func TestListeners(t *testing.T) {
	onPostgres(t)
	s, other := open(t, t.TempDir()), open(t, t.TempDir())
	wants := func(what string, n int) {
		t.Helper()
		var got []string
		var err error
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
			if got, err = s.Listeners(t.Context()); err == nil && len(got) == n {
				for _, from := range got {
					if !strings.Contains(from, "backend ") {
						t.Errorf("%s: %q does not say which backend", what, from)
					}
				}
				return
			}
		}
		t.Errorf("%s: %v, %v, want %d", what, got, err, n)
	}
	wants("nobody", 0)
	elsewhere, stop := context.WithCancel(t.Context())
	defer stop()
	other.Watch(elsewhere)
	watching, end := context.WithCancel(t.Context())
	defer end()
	changes := s.Watch(watching)
	wants("one", 1)
	notify(t, s, "topic", "key")
	select {
	case <-changes:
	case <-time.After(30 * time.Second):
		t.Fatal("it was not told of a change")
	}
	wants("one that was told of a change", 1)
	end()
	wants("nobody any more", 0)
}
