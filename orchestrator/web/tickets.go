package web

import (
	"crypto/sha256"
	"sync"
	"time"
)

// tickets are secrets that this process gave out and that run out; they live in memory only. They are found by their hash, so
// that the time a look-up takes says nothing of a ticket.
type tickets struct {
	life time.Duration
	now  func() time.Time

	mu  sync.Mutex
	all map[[sha256.Size]byte]ticket
}

type ticket struct {
	ends time.Time
	note string
}

func newTickets(life time.Duration) *tickets {
	return &tickets{life: life, now: time.Now, all: map[[sha256.Size]byte]ticket{}}
}

// issue makes a ticket with a note, and forgets those that have run out.
func (t *tickets) issue(note string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for id, old := range t.all {
		if !now.Before(old.ends) {
			delete(t.all, id)
		}
	}
	s := secret()
	t.all[sha256.Sum256([]byte(s))] = ticket{ends: now.Add(t.life), note: note}
	return s
}

// known says whether a ticket was issued and has not run out.
func (t *tickets) known(s string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.all[sha256.Sum256([]byte(s))]
	return ok && t.now().Before(found.ends)
}

// take uses a ticket up and returns its note.
func (t *tickets) take(s string) (note string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := sha256.Sum256([]byte(s))
	found, ok := t.all[id]
	delete(t.all, id)
	return found.note, ok && t.now().Before(found.ends)
}
