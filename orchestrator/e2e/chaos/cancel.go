package chaos

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// cancelWithin is how long a cancel waits for a server that answers.
const cancelWithin = 3 * time.Second

// cancel asks for the end of the run that works on a stack, or of one that goes on where none is given, and says which run it was and
// whether something of it was being created. What was asked for may end the run also where the answer is lost.
func (s *suite) cancel(ctx context.Context, d Decision, stack string) (of string, creating bool) {
	s.mu.Lock()
	incarnation, _, _ := strings.Cut(stack, "/")
	id := s.going[incarnation]
	if all := slices.Sorted(maps.Values(s.going)); stack == "" && len(all) > 0 {
		id = all[d.Pick%uint64(len(all))]
		incarnation, _, _ = strings.Cut(id, "-")
	}
	if id != "" {
		s.cancelled[id] = true
	}
	s.mu.Unlock()
	if id == "" {
		return "", false
	}
	if open, err := s.ledger.inFlight(); err == nil {
		creating = slices.ContainsFunc(open, func(e entry) bool { return strings.HasPrefix(e.stack, incarnation+"/") })
	}
	ctx, stop := context.WithTimeout(ctx, cancelWithin)
	defer stop()
	for {
		err := s.client.once(ctx, http.MethodPost, "/runs/"+id+"/cancel", map[string]string{"actor": "chaos"}, &struct{}{})
		if err == nil {
			return "run " + id, creating
		}
		if isCode(err, "conflict", "not_found") || !pause(ctx, retryEvery) { // it has ended
			return "", false
		}
	}
}

// follows notes which run of an incarnation goes on, until the returned func is called.
func (s *suite) follows(id string) (ended func()) {
	incarnation, _, _ := strings.Cut(id, "-")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.going[incarnation] = id
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.going, incarnation)
	}
}

// wasCancelled reports whether the suite asked for the end of a run.
func (s *suite) wasCancelled(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancelled[id]
}

// kept judges the world after a cancel: what was finished is there, and the next apply must find it.
func (s *suite) kept(name, incarnation string) error {
	entries, err := s.ledger.read()
	if err != nil {
		return err
	}
	for _, path := range finished(entries, incarnation) {
		if _, err := os.Stat(path); err != nil {
			s.found(flaw{"lost", fmt.Sprintf("%s: a cancel took what was finished: %v", name, err)})
		}
	}
	return nil
}

// finished lists what of an incarnation was created to its end, and whose removal has not begun since. It is pure.
func finished(entries []entry, incarnation string) []string {
	made := map[string]bool{}
	for _, e := range entries {
		switch {
		case !strings.HasPrefix(e.stack, incarnation+"/"):
		case e.Op == "create" && e.Phase == "end" && e.Error == "":
			made[e.Path] = true
		case e.Op == "delete":
			delete(made, e.Path)
		}
	}
	return slices.Sorted(maps.Keys(made))
}
