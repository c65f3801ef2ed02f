package journal_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
)

// MERIDIAN_MODEL_STEPS is how many steps the model makes, in memory and, in TestModelOfTheStore, on the store.
const envModelSteps = "MERIDIAN_MODEL_STEPS"

// pick draws a number below n, each as likely as another: rapid's own numbers lean towards the small ones, and a model in which hardly any
// time passes proves little.
func pick(t *rapid.T, n int, what string) int {
	v := 0
	for range 10 {
		v *= 2
		if rapid.Bool().Draw(t, what) {
			v++
		}
	}
	return v % n
}

// step lets one of the things happen that may happen in the model.
func (w *world) step(t *rapid.T) {
	s := w.sites[pick(t, len(w.sites), "site")]
	f := fateOK
	if pick(t, 3, "rough") == 0 {
		f = fate(pick(t, int(fates), "fate"))
	}
	switch n := pick(t, 100, "what"); {
	case n < 25:
		w.start(s, f)
	case n < 35:
		w.beat(s, f)
	case n < 43:
		w.ship(s, f)
	case n < 48:
		w.conclude(s, f)
	case n < 58:
		w.adopt(s, f)
	case n < 62:
		s.runner = false // killed
	case n < 65:
		s.paused = true
	case n < 71:
		s.paused = false
		w.shim(s)
	case n < 73:
		s.cut = true
	case n < 77:
		s.cut = false
	case n < 90:
		times := []time.Duration{time.Second, 15 * time.Second, time.Minute, 4 * time.Minute, 9 * time.Minute, 12 * time.Minute}
		w.pass(times[pick(t, len(times), "time")])
	case n < 97:
		if len(w.mail) > 0 {
			i := pick(t, len(w.mail), "letter")
			m := w.mail[i]
			w.mail = append(w.mail[:i:i], w.mail[i+1:]...)
			w.deliver(m)
		}
	case n < 98:
		w.crash(s)
	case n < 99:
		w.declareDead(s)
	case pick(t, 4, "rarely") == 0:
		if err := w.book.raise(); err != nil {
			w.breaks("raise: %v", err)
		}
	}
}

// model makes worlds, each of a hundred steps, until as many steps are made.
func model(t rapid.TB, fresh func() book, want int, change func(*world)) (steps, takes, overtakes int) {
	for name, value := range map[string]string{"rapid.steps": "300", "rapid.checks": "20", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for steps < want && !t.Failed() {
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			w := newWorld(fresh(), 1, rapid.Float64Range(0.96, 1.04).Draw(rt, "rate"), 1.03)
			change(w)
			rt.Repeat(map[string]func(*rapid.T){
				"step": func(t *rapid.T) { steps++; w.step(t) },
				"": func(t *rapid.T) {
					if why := w.judge(); why != "" {
						t.Fatal(why)
					}
				},
			})
			takes, overtakes = takes+w.takes, overtakes+w.overtakes
		})
	}
	return steps, takes, overtakes
}

// quiet says nothing of the many checks that pass.
type quiet struct{ rapid.TB }

func (quiet) Logf(string, ...any) {}

// wanted is the number of steps, unless the environment says another.
func wanted(t *testing.T, steps int) int {
	t.Helper()
	text := os.Getenv(envModelSteps)
	if text == "" {
		return steps
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	if err != nil {
		t.Fatalf("%s: %v", envModelSteps, err)
	}
	return n
}

func nothing(*world) {}

// TestModel: whatever happens, no stale write is accepted, and no two terraforms work on one stack.
func TestModel(t *testing.T) {
	steps, takes, over := model(t, func() book { return newPage() }, wanted(t, 50_000), nothing)
	t.Logf("%d steps, the head was taken %d times, %d times from an attempt that had not finished", steps, takes, over)
	if over < steps/500 {
		t.Error("too little happens to prove anything")
	}
}

// TestModelOfTheStore is the same with the journal itself.
func TestModelOfTheStore(t *testing.T) {
	h := newHouse(t)
	steps, takes, over := model(t, func() book { return newJournalBook(h) }, wanted(t, 1500), nothing)
	t.Logf("%d steps, the head was taken %d times, %d times from an attempt that had not finished", steps, takes, over)
}

// Without one of its parts the protocol does not hold, and the model says so.
func TestTheModelFailsWithout(t *testing.T) {
	for name, c := range map[string]struct {
		book func() book
		with func(*world)
		says string
	}{
		"the lease":            {func() book { return newPage() }, func(w *world) { w.noLease = true }, "two terraforms"},
		"the fence":            {func() book { p := newPage(); p.noFence = true; return p }, nothing, "stale write"},
		"the beats":            {func() book { p := newPage(); p.noBeats = true; return p }, nothing, "two terraforms"},
		"a proof":              {func() book { p := newPage(); p.noProof = true; return p }, nothing, "two terraforms"},
		"the read of the head": {func() book { p := newPage(); p.blind = true; return p }, nothing, "two terraforms"},
	} {
		t.Run(name, func(t *testing.T) {
			said := &failure{TB: t}
			long := flag.Lookup("rapid.shrinktime").Value.String()
			defer func() { _ = flag.Set("rapid.shrinktime", long) }()
			_ = flag.Set("rapid.shrinktime", "10ms") // that it fails is enough
			func() {
				defer func() { _ = recover() }() // how it ends itself at the first failure
				model(said, c.book, 200_000, c.with)
			}()
			if !strings.Contains(said.text, c.says) {
				t.Fatalf("it did not fail, or with another word: %q", said.text)
			}
		})
	}
}

// failure is a test that wants to fail.
type failure struct {
	rapid.TB
	text string
}

func (f *failure) Failed() bool                 { return f.text != "" }
func (f *failure) Helper()                      {}
func (f *failure) Log(...any)                   {}
func (f *failure) Logf(string, ...any)          {}
func (f *failure) Error(args ...any)            { f.text += fmt.Sprint(args...) }
func (f *failure) Errorf(text string, a ...any) { f.text += fmt.Sprintf(text, a...) }
func (f *failure) Fatal(args ...any)            { f.Error(args...); panic(f.text) }
func (f *failure) Fatalf(text string, a ...any) { f.Errorf(text, a...); panic(f.text) }
func (f *failure) Fail()                        { f.text += "failed" }
func (f *failure) FailNow()                     { f.Fail(); panic(f.text) }

// page is the book in memory: one head and its sites.
type page struct {
	head  journal.Head
	sites map[string]journal.Site
	epoch int64
	// Controls: a page that lets every write pass, goes by no beat, asks for no proof, or takes a head that it has not read.
	noFence, noBeats, noProof, blind bool
}

func newPage() *page {
	return &page{sites: map[string]journal.Site{}, epoch: 1, head: journal.Head{Status: journal.HeadIdle}}
}

func (p *page) look(seen *journal.Sighting) (journal.Head, string, error) {
	why := journal.Over(p.head, p.sites[p.head.Site], p.judged(seen), modelLease)
	if p.noProof && why == "" {
		why = "no proof is asked for"
	}
	return p.head, why, nil
}

func (p *page) judged(seen *journal.Sighting) *journal.Sighting {
	if seen != nil && p.noBeats {
		return &journal.Sighting{Fence: p.head.Fence, Beats: p.head.Beats, For: seen.For}
	}
	return seen
}

func (p *page) take(site, boot, attempt string, own bool, seen *journal.Sighting, expect journal.Head) (journal.Fence, error) {
	if !p.blind && (p.head.Fence != expect.Fence || p.head.Beats != expect.Beats && !p.noBeats || p.head.Status != expect.Status) {
		return journal.Fence{}, journal.ErrFenced
	}
	over := own
	if p.head.Site != site {
		_, why, _ := p.look(seen)
		over = why != ""
	}
	if p.head.Status == journal.HeadRunning && !over && !p.blind {
		return journal.Fence{}, journal.ErrRunning
	}
	p.head = journal.Head{
		Fence:  journal.Fence{Epoch: p.epoch, Number: p.head.Fence.Number + 1, Attempt: attempt},
		Status: journal.HeadRunning, Site: site, BootID: boot, Beats: p.head.Beats + 1,
	}
	return p.head.Fence, nil
}

func (p *page) check(f journal.Fence) error {
	switch {
	case p.noFence:
		return nil
	case f != p.head.Fence || f.Epoch != p.epoch:
		return journal.ErrFenced
	case p.head.Status != journal.HeadRunning:
		return errors.Join(journal.ErrFenced, journal.ErrHasResult)
	}
	return nil
}

func (p *page) adopt(f journal.Fence, boot string) (journal.Fence, error) {
	h := &p.head
	if f.Attempt != h.Fence.Attempt || h.Status != journal.HeadRunning {
		return f, errors.Join(journal.ErrFenced, p.check(f))
	}
	if h.Fence.Epoch != p.epoch {
		h.Fence.Epoch, h.Fence.Number = p.epoch, h.Fence.Number+1
	}
	h.BootID, h.Beats = boot, h.Beats+1
	return h.Fence, nil
}

func (p *page) beat(f journal.Fence) error {
	if err := p.check(f); err != nil {
		return err
	}
	if s := p.sites[p.head.Site]; s.Dead() && s.BootID == p.head.BootID {
		return journal.ErrSiteDead
	}
	p.head.Beats++
	return nil
}

func (p *page) ship(f journal.Fence) error { return p.check(f) }

func (p *page) finish(f journal.Fence) error {
	if err := p.check(f); err != nil {
		return err
	}
	p.head.Status = journal.HeadIdle
	return nil
}

func (p *page) see(site, boot string) error {
	s := p.sites[site]
	if s.Dead() && s.BootID == boot {
		return journal.ErrSiteDead
	}
	p.sites[site] = journal.Site{ID: site, BootID: boot}
	return nil
}

func (p *page) declareDead(site string) error {
	s := p.sites[site]
	s.DeadAt, s.DeadBy = time.Unix(1, 0), "ada"
	p.sites[site] = s
	return nil
}

func (p *page) raise() error {
	p.epoch++
	return nil
}

// journalBook is the journal as a book: a stack and sites of its own in a store.
type journalBook struct {
	h      *house
	id     stacks.StackID
	prefix string
	step   string
	steps  int
	serial int64
}

var books int

func newJournalBook(h *house) *journalBook {
	books++
	b := &journalBook{h: h, id: ankara, prefix: fmt.Sprintf("w%d-", books), serial: 1}
	b.id.Region = fmt.Sprintf("region-%d", books)
	h.stack(b.id)
	return b
}

func (b *journalBook) look(seen *journal.Sighting) (journal.Head, string, error) {
	head, why, err := b.h.Proof(b.h.t.Context(), b.id, seen, modelLease)
	head.Site = strings.TrimPrefix(head.Site, b.prefix)
	return head, why, err
}

func (b *journalBook) take(site, boot, attempt string, own bool, seen *journal.Sighting, expect journal.Head) (f journal.Fence, err error) {
	now, err := b.h.Head(b.h.t.Context(), b.id)
	if err != nil {
		return f, err
	}
	if now.Fence != expect.Fence || now.Beats != expect.Beats || now.Status != expect.Status {
		return f, journal.ErrFenced // what its transaction had read has changed: the store ends it
	}
	b.steps++
	b.step = b.h.step(b.id, "r-"+b.prefix, fmt.Sprintf("apply.%d", b.steps), journal.StepApply)
	return b.h.take(journal.TakeInput{
		Stack: b.id, Step: b.step, Attempt: attempt, Site: b.prefix + site, BootID: boot, OverProven: own, Seen: seen, Lease: modelLease,
	})
}

func (b *journalBook) adopt(f journal.Fence, boot string) (journal.Fence, error) {
	return b.h.Adopted(b.h.t.Context(), b.id, f, 1, boot)
}

func (b *journalBook) beat(f journal.Fence) error {
	_, err := b.h.Beat(b.h.t.Context(), b.id, f)
	return err
}

func (b *journalBook) ship(f journal.Fence) error {
	head, err := b.h.Head(b.h.t.Context(), b.id)
	if err != nil {
		return err
	}
	b.serial++
	return b.h.Ship(b.h.t.Context(), b.id, f, head.Step, journal.Batch{Events: events(head.Shipped+1, head.Shipped+1), State: snapshot(b.serial, "")})
}

func (b *journalBook) finish(f journal.Fence) error {
	head, err := b.h.Head(b.h.t.Context(), b.id)
	if err != nil {
		return err
	}
	return b.h.Finish(b.h.t.Context(), b.id, f, journal.Result{Step: head.Step, Outcome: journal.OutcomeApplied}, nil)
}

func (b *journalBook) see(site, boot string) error {
	return b.h.SeeSite(b.h.t.Context(), b.prefix+site, boot, "host")
}

func (b *journalBook) declareDead(site string) error {
	return b.h.st.Write(b.h.t.Context(), func(tx *store.Tx) error {
		_, err := b.h.DeclareDead(b.h.t.Context(), tx, b.prefix+site, "ada")
		return err
	})
}

func (b *journalBook) raise() error {
	return b.h.st.Write(b.h.t.Context(), func(tx *store.Tx) error {
		_, err := b.h.RaiseEpoch(tx, 0)
		return err
	})
}
