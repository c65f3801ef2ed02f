package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// regions of every database of the suite; rows are written in the first.
var regions = []string{"ankara", "istanbul"}

// spec is a database in two regions. Each round changes parameters: one that needs a restart and one that does not.
func spec(name string, round int) string {
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: %s}
spec:
  engine:
    name: postgres
    parameters: {max_connections: "%d", work_mem: "%dMB"}
  databases: [{name: orders, owner: orders_app}]
  users: [{name: orders_app}]
  regions:
    - {name: ankara, provider: local, role: primary}
    - {name: istanbul, provider: local, role: replica}
  replication:
    maxLag: 30s
    links: [{to: istanbul, mode: logical, databases: [orders]}]
  deletion: {protect: false}
`, name, 50+round, 8+round)
}

// updates is how often a database is changed before it is removed.
const updates = 2

// errGivenUp means that a database does not come to an end; what is wrong was counted.
var errGivenUp = errors.New("given up")

// life makes, changes and removes databases of one name, one incarnation after another, until the last kill has fallen.
func (s *suite) life(ctx context.Context, base string, foreign bool) error {
	name := base
	for given, born := 0, 0; born == 0 || !s.over(); born++ {
		w := &witness{suite: s, name: name, births: map[string]string{}}
		if foreign {
			w.foreign = fmt.Sprintf("%sx%d", base, born)
		}
		err := s.generation(ctx, w)
		if errors.Is(err, errGivenUp) { // its name stays taken
			given++
			name = fmt.Sprintf("%s-%d", base, given)
			continue
		}
		if err != nil {
			return fmt.Errorf("database %s: %w", name, err)
		}
	}
	return nil
}

// generation is one database from its birth to its removal, looked at after each step.
func (s *suite) generation(ctx context.Context, w *witness) (err error) {
	name := w.name
	defer func() {
		if errors.Is(err, errGivenUp) {
			s.mu.Lock()
			s.given[w.incarnation] = true
			s.mu.Unlock()
		}
	}()
	last := 0
	for round := range updates + 1 {
		if round > 1 && s.over() {
			break
		}
		last = round
		_, err := s.done(ctx, name, func() (string, error) {
			id, err := w.submit(ctx, round, false)
			if w.incarnation == "" {
				w.incarnation, _, _ = strings.Cut(id, "-")
				if w.foreign != "" && err == nil {
					s.ledger.alias(w.foreign, w.incarnation)
				}
			}
			return id, err
		})
		if err != nil {
			return err
		}
		if err := w.look(ctx, round); err != nil {
			return err
		}
		s.mu.Lock()
		if round == 0 {
			s.result.Applied++
		} else {
			s.result.Updated++
		}
		s.mu.Unlock()
		if w.foreign != "" {
			continue
		}
		if err := w.write(ctx, round); err != nil {
			return err
		}
	}
	r, err := s.done(ctx, name, func() (string, error) { return w.submit(ctx, last, true) })
	if err != nil {
		return err
	}
	if r.HasChanges {
		s.found(flaw{"lost", fmt.Sprintf("%s: the second plan is not clean: %+v", name, r.Changes)})
	}
	for _, region := range w.regions() {
		s.allow(w.incarnation + "/" + region)
	}
	if _, err := s.done(ctx, name, func() (string, error) { return s.client.destroy(ctx, name) }); err != nil {
		return err
	}
	s.mu.Lock()
	s.result.Destroyed++
	s.mu.Unlock()
	return w.gone(ctx)
}

// submit submits the spec of a round.
func (w *witness) submit(ctx context.Context, round int, check bool) (string, error) {
	if w.foreign == "" {
		return w.client.submit(ctx, w.name, spec(w.name, round), nil, check)
	}
	module, err := packedModule()
	if err != nil {
		return "", err
	}
	return w.client.submit(ctx, w.name, w.foreignSpec(round), map[string][]byte{"./objects": module}, check)
}

// allow says that the objects of a stack may be removed from now on: its destruction is about to be approved.
func (s *suite) allow(stack string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mayGo[stack] = time.Now()
}

// tries is how often a person would submit again what failed.
const tries = 3

// done begins a run and follows it to its good end. A run that fails needs a person: it is counted, and begun again.
func (s *suite) done(ctx context.Context, name string, begin func() (string, error)) (run, error) {
	for try := 0; try < tries; {
		id, err := begin()
		if isCode(err, "not_found", "conflict", "refused", "invalid_spec") {
			s.found(flaw{"human", fmt.Sprintf("%s: %v", name, err)})
			return run{}, errGivenUp
		}
		if err != nil {
			return run{}, err
		}
		ended := s.follows(id)
		r, err := s.follow(ctx, name, id)
		ended()
		if err != nil {
			return r, err
		}
		switch incarnation, _, _ := strings.Cut(id, "-"); {
		case r.Phase == "done":
			return r, nil
		case r.Phase == "cancelled" && s.wasCancelled(id): // the next one goes on from there
			s.mu.Lock()
			s.result.Cancelled++
			s.mu.Unlock()
			if err := s.kept(name, incarnation); err != nil {
				return r, err
			}
			continue
		}
		try++
		s.found(flaw{"human", name + ": " + r.String()})
	}
	return run{}, errGivenUp
}

const (
	followEvery = 200 * time.Millisecond
	// asksFor is how long a run may await something after its plan was approved, before that counts as a question to a person.
	asksFor = 30 * time.Second
)

// follow waits for the end of a run of a database and approves its plan, once. A second plan that needs a yes needs a person.
func (s *suite) follow(ctx context.Context, name, id string) (run, error) {
	begin := time.Now()
	approved := map[string]bool{}
	var awaits time.Time
	var r run
	for {
		var err error
		if r, err = s.client.run(ctx, id); err != nil {
			return r, fmt.Errorf("run %s: %w", id, err)
		}
		if r.ended() {
			return r, nil
		}
		if len(r.Questions) > 0 {
			if err := s.answer(ctx, name, r); err != nil {
				return r, err
			}
		}
		if r.Phase != "awaiting" || r.Approved {
			awaits = time.Time{}
		} else if awaits.IsZero() {
			awaits = time.Now()
		}
		if r.Phase == "awaiting" && len(r.Questions) == 0 && !r.Approved && r.PlanDigest != "" && !approved[r.PlanDigest] {
			if err := s.approve(ctx, r, approved); err != nil {
				return r, err
			}
		}
		if !awaits.IsZero() && time.Since(awaits) > asksFor {
			s.found(flaw{"human", "asks for something: " + r.String()})
			return r, s.giveUp(ctx, id)
		}
		if time.Since(begin) > s.Patience {
			s.found(flaw{"stuck", fmt.Sprintf("after %s: %s", s.Patience, r)})
			return r, s.giveUp(ctx, id)
		}
		if !pause(ctx, followEvery) {
			return r, context.Cause(ctx)
		}
	}
}

// approve says yes to exactly the plan of r.
func (s *suite) approve(ctx context.Context, r run, approved map[string]bool) error {
	err := s.client.once(ctx, "POST", "/runs/"+r.ID+"/approve", map[string]string{"plan": r.PlanDigest, "actor": "chaos"}, &struct{}{})
	switch {
	case err == nil:
		if len(approved) > 0 {
			s.found(flaw{"human", "a second yes was needed: " + r.String()})
		}
		approved[r.PlanDigest] = true
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default: // a lost answer, or a run that has moved on: the next look tells
		s.say("approve %s: %v", r.ID, err)
	}
	return nil
}

// giveUp cancels a run that does not end, and leaves its database behind.
func (s *suite) giveUp(ctx context.Context, id string) error {
	_ = s.client.once(ctx, "POST", "/runs/"+id+"/cancel", map[string]string{"actor": "chaos"}, &struct{}{})
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return errGivenUp
}
