package journal_test

import (
	"errors"
	"fmt"
	"time"

	"meridian/persistence/journal"
)

// The model: sites with clocks of their own, each with at most one runner and one terraform, that share one stack through a book. Requests
// and answers are lost or late; runners die, machines stop, sleep and boot; the network breaks. What a site does is what the runner does,
// in the same order; what the book does is what the journal does, or is the journal.

// The lease of the model, as users have it.
const (
	modelLease = 10 * time.Minute
	modelStop  = 120 * time.Second
	modelKill  = 30 * time.Second
)

// book is what sites ask of the store. A take is refused where the head is not the one that was looked at: its transaction read it.
type book interface {
	look(seen *journal.Sighting) (journal.Head, string, error)
	take(site, boot, attempt string, own bool, seen *journal.Sighting, expect journal.Head) (journal.Fence, error)
	adopt(f journal.Fence, boot string) (journal.Fence, error)
	beat(f journal.Fence) error
	ship(f journal.Fence) error
	finish(f journal.Fence) error
	see(site, boot string) error
	declareDead(site string) error
	raise() error
}

// modelSite is one machine.
type modelSite struct {
	id   string
	boot int
	// clock is its boot clock, which runs at rate.
	clock time.Duration
	rate  float64
	// paused: nothing on it runs, though its clock does. cut: it reaches nobody.
	paused, cut bool

	runner bool           // a runner follows the attempt in the spool
	spool  *journal.Fence // the attempt that is not settled yet
	// until is the end of the lease, by its clock; terraform lives while it is not nil.
	terraform *journal.Fence
	until     time.Duration

	watch *journal.Sighting // what a taker saw last, since when
	since time.Duration
}

func (s *modelSite) bootID() string { return fmt.Sprintf("%s-%d", s.id, s.boot) }

// message is a request on its way. Its answer reaches the site only if that is the same boot, awake and connected, and the answer is not lost.
type message struct {
	from      *modelSite
	boot      int
	lost      bool
	what      string
	arrive    func() error
	answer    func()
	refused   func(error)
	committed func()
}

// world is the model's state and its judge.
type world struct {
	book  book
	sites []*modelSite
	mail  []message
	// owner is who took the head last; it is what the judge goes by, not the book.
	owner    string
	attempts int
	takes    int
	// overtakes are the takes of a head that was running.
	overtakes int
	// noLease is a control: terraform outlives the lease.
	noLease bool
	broken  string
}

func newWorld(b book, rates ...float64) *world {
	w := &world{book: b}
	for i, rate := range rates {
		s := &modelSite{id: fmt.Sprintf("site-%d", i), boot: 1, rate: rate}
		w.sites = append(w.sites, s)
		w.mustSee(s)
	}
	return w
}

func (w *world) breaks(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

func (w *world) mustSee(s *modelSite) {
	if err := w.book.see(s.id, s.bootID()); err != nil && !errors.Is(err, journal.ErrSiteDead) {
		w.breaks("see %s: %v", s.id, err)
	}
}

// fate is what happens to a request.
type fate int

const (
	fateOK fate = iota
	fateLost
	fateAnswerLost
	fateLate
	fateLateAndAnswerLost
	fates
)

// send sends a request with its fate; one that is late waits in the mail.
func (w *world) send(m message, f fate) {
	m.boot = m.from.boot
	m.lost = f == fateAnswerLost || f == fateLateAndAnswerLost
	switch {
	case m.from.cut || f == fateLost:
		m.from.unanswered(m)
	case f == fateLate || f == fateLateAndAnswerLost:
		w.mail = append(w.mail, m)
	default:
		w.deliver(m)
	}
}

func (w *world) deliver(m message) {
	err := m.arrive()
	if err == nil && m.committed != nil {
		m.committed()
	}
	s := m.from
	if m.lost || s.boot != m.boot || s.paused || s.cut {
		s.unanswered(m)
		return
	}
	if err != nil {
		if m.refused != nil {
			m.refused(err)
		}
		return
	}
	if m.answer != nil {
		m.answer()
	}
}

// unanswered is a runner that does not know what became of its claim: it ends.
func (s *modelSite) unanswered(m message) {
	if m.what == "take" && s.boot == m.boot {
		s.runner = false
	}
}

// start is a runner that is asked to run a step: it looks, and claims a head that is free, that is this site's own with nothing left here,
// or that is another's and proven over.
func (w *world) start(s *modelSite, f fate) {
	if s.paused || s.runner || s.spool != nil || s.terraform != nil {
		return
	}
	if s.cut {
		s.watch = nil
		return
	}
	var seen *journal.Sighting
	if s.watch != nil {
		watch := *s.watch
		watch.For = s.clock - s.since
		seen = &watch
	}
	if err := w.book.see(s.id, s.bootID()); err != nil {
		return // declared dead: it must boot first
	}
	head, why, err := w.book.look(seen)
	if err != nil {
		w.breaks("look: %v", err)
		return
	}
	own := head.Status == journal.HeadRunning && head.Site == s.id
	if head.Status == journal.HeadRunning && !own && why == "" {
		if s.watch == nil || s.watch.Fence != head.Fence || s.watch.Beats != head.Beats {
			s.watch, s.since = &journal.Sighting{Fence: head.Fence, Beats: head.Beats}, s.clock
		}
		return
	}
	w.attempts++
	attempt := fmt.Sprintf("a%d", w.attempts)
	sent := s.clock
	var fence journal.Fence
	s.runner = true
	w.send(message{
		from: s, what: "take",
		arrive: func() (err error) {
			fence, err = w.book.take(s.id, s.bootID(), attempt, own, seen, head)
			return err
		},
		committed: func() {
			if w.takes++; w.owner != "" {
				w.overtakes++
			}
			w.owner = attempt
		},
		refused: func(error) { s.runner = false },
		answer: func() {
			if !s.runner { // it was killed meanwhile
				return
			}
			s.watch = nil
			s.spool, s.until = &fence, sent+modelLease
			if s.clock < s.until-modelStop || w.noLease {
				s.terraform = &fence
			}
		},
	}, f)
}

// beat renews the lease, counted from before it was sent.
func (w *world) beat(s *modelSite, f fate) {
	if s.paused || !s.runner || s.spool == nil {
		return
	}
	fence, sent := *s.spool, s.clock
	w.send(message{
		from: s, what: "beat",
		arrive:  func() error { return w.book.beat(fence) },
		refused: func(err error) { s.fenced(err, fence) },
		answer: func() {
			if s.spool != nil && *s.spool == fence {
				s.until = max(s.until, sent+modelLease)
			}
		},
	}, f)
}

// fenced ends a runner whose attempt has lost the head. Its terraform lives on until its lease ends.
func (s *modelSite) fenced(err error, fence journal.Fence) {
	if errors.Is(err, journal.ErrFenced) && s.spool != nil && *s.spool == fence {
		s.runner = false
	}
}

// ship writes under the fence; the judge refuses a write that the book lets pass for an attempt that is not the owner.
func (w *world) ship(s *modelSite, f fate) {
	if s.paused || !s.runner || s.spool == nil {
		return
	}
	fence := *s.spool
	w.send(message{
		from: s, what: "ship",
		arrive:    func() error { return w.book.ship(fence) },
		committed: func() { w.judgeWrite("ship", fence) },
		refused:   func(err error) { s.fenced(err, fence) },
	}, f)
}

// conclude is the end of terraform, and of its step.
func (w *world) conclude(s *modelSite, f fate) {
	if s.paused || !s.runner || s.spool == nil {
		return
	}
	s.terraform = nil
	fence := *s.spool
	w.send(message{
		from: s, what: "finish",
		arrive:    func() error { return w.book.finish(fence) },
		committed: func() { w.judgeWrite("finish", fence); w.owner = "" },
		refused: func(err error) {
			if errors.Is(err, journal.ErrHasResult) { // an earlier finish, whose answer was lost
				s.settled(fence)
			}
			s.fenced(err, fence)
		},
		answer: func() { s.settled(fence) },
	}, f)
}

// settled is an attempt with nothing left to do.
func (s *modelSite) settled(fence journal.Fence) {
	if s.spool != nil && *s.spool == fence {
		s.spool, s.runner = nil, false
	}
}

func (w *world) judgeWrite(what string, f journal.Fence) {
	if f.Attempt != w.owner {
		w.breaks("a stale write was accepted: %s of %+v, the owner is %q", what, f, w.owner)
	}
}

// adopt is a new runner that finds the spool: it goes on with the attempt, or drops it where another has the head and nothing lives.
func (w *world) adopt(s *modelSite, f fate) {
	if s.paused || s.cut || s.runner || s.spool == nil {
		return
	}
	if err := w.book.see(s.id, s.bootID()); err != nil {
		return
	}
	fence, sent := *s.spool, s.clock
	var now journal.Fence
	w.send(message{
		from: s, what: "adopt",
		arrive: func() (err error) {
			now, err = w.book.adopt(fence, s.bootID())
			return err
		},
		committed: func() { w.judgeWrite("adopt", fence) },
		refused: func(error) {
			if s.terraform == nil && s.spool != nil && *s.spool == fence {
				s.spool = nil
			}
		},
		answer: func() {
			if s.spool == nil || *s.spool != fence || s.runner {
				return
			}
			s.spool, s.runner, s.until = &now, true, max(s.until, sent+modelLease)
			if s.terraform != nil {
				s.terraform = &now
			}
		},
	}, f)
}

// pass lets time pass: clocks run, and where a machine is awake its shim ends a terraform whose lease ends.
func (w *world) pass(d time.Duration) {
	for _, s := range w.sites {
		s.clock += time.Duration(float64(d) * s.rate)
		w.shim(s)
	}
}

func (w *world) shim(s *modelSite) {
	if !s.paused && !w.noLease && s.terraform != nil && s.clock >= s.until-modelKill {
		s.terraform = nil
	}
}

// crash is a machine that loses its power and boots: its disk is there, everything else is new.
func (w *world) crash(s *modelSite) {
	s.boot++
	s.clock, s.until, s.paused, s.runner, s.terraform, s.watch = 0, 0, false, false, nil, nil
	if !s.cut {
		w.mustSee(s)
	}
}

// declareDead is an operator who has seen that nothing runs there.
func (w *world) declareDead(s *modelSite) {
	if s.terraform != nil || s.runner {
		return
	}
	if err := w.book.declareDead(s.id); err != nil {
		w.breaks("declare dead: %v", err)
	}
}

// judge looks whether more than one terraform can work.
func (w *world) judge() string {
	var working []string
	for _, s := range w.sites {
		if s.terraform != nil && !s.paused {
			working = append(working, fmt.Sprintf("%s (%+v, lease to %s at %s)", s.id, *s.terraform, s.until, s.clock))
		}
	}
	if len(working) > 1 {
		w.breaks("two terraforms on one stack: %v", working)
	}
	return w.broken
}
