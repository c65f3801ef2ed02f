package runner

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// hands are a clock that a test moves; it stands still otherwise.
type hands struct {
	mu  sync.Mutex
	now terraform.Reading
}

func newHands() *hands {
	return &hands{now: terraform.Reading{Wall: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Awake: time.Hour, Boot: 2 * time.Hour}}
}

func (h *hands) clock() terraform.Clock {
	return terraform.Clock{Read: func() terraform.Reading {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.now
	}}
}

// pass lets time go by.
func (h *hands) pass(d time.Duration) { h.move(d, d, d) }

// sleep suspends the machine.
func (h *hands) sleep(d time.Duration) { h.move(d, 0, d) }

// jump sets the wall clock.
func (h *hands) jump(d time.Duration) { h.move(d, 0, 0) }

func (h *hands) move(wall, awake, boot time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.Wall, h.now.Awake, h.now.Boot = h.now.Wall.Add(wall), h.now.Awake+awake, h.now.Boot+boot
}

const day = 24 * time.Hour

// TestHangByTheAwakeClock: neither a wall clock that jumps nor a suspend is time in which terraform says nothing.
func TestHangByTheAwakeClock(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(h *hands)
		hangs   bool
	}{
		"nothing":                 {func(*hands) {}, false},
		"set ahead a day":         {func(h *hands) { h.jump(day) }, false},
		"set back a day":          {func(h *hands) { h.jump(-day) }, false},
		"asleep for a day":        {func(h *hands) { h.sleep(day) }, false},
		"silent for too long":     {func(h *hands) { h.pass(4 * time.Hour) }, true},
		"set back, silent for it": {func(h *hands) { h.jump(-day); h.pass(5 * time.Hour) }, true},
	} {
		h := newHands()
		w := &worker{clock: h.clock(), timing: stacks.DefaultTiming(), site: terraform.Site{Root: t.TempDir()}, log: slog.New(slog.DiscardHandler)}
		r := w.newRun(attempt{Kind: journal.StepApply, Stack: stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "r"}}, journal.Step{})
		c.happens(h)
		if quiet := r.hung(r.clock.Awake()); (quiet > 0) != c.hangs {
			t.Errorf("%s: it has hung for %s", name, quiet)
		}
	}
}

// TestTheWatchOverALease lets a clock go, jump and sleep under the shim's watch over a terraform.
func TestTheWatchOverALease(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(h *hands)
		told    bool
	}{
		"set ahead a day":             {func(h *hands) { h.jump(day) }, false},
		"set back a day":              {func(h *hands) { h.jump(-day) }, false},
		"its end comes":               {func(h *hands) { h.pass(time.Hour) }, true},
		"asleep past its end":         {func(h *hands) { h.sleep(day) }, true},
		"set back, asleep past it":    {func(h *hands) { h.jump(-2 * day); h.sleep(day) }, true},
		"asleep, and not past it yet": {func(h *hands) { h.sleep(30 * time.Minute) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, s := newHands(), spool{t.TempDir()}
			now, _ := h.clock().Boot()
			d := deadline{Until: now + time.Hour, Stop: 50 * time.Millisecond, Kill: 10 * time.Millisecond} // it looks every 10 ms
			if err := s.put(deadlineFile, d, false); err != nil {
				t.Fatal(err)
			}
			tf := exec.Command("sleep", "600")
			if err := tf.Start(); err != nil {
				t.Fatal(err)
			}
			guard := guardLease(h.clock(), s, tf.Process)
			ended := make(chan struct{})
			go func() { _ = tf.Wait(); close(ended) }()
			c.happens(h)
			if !c.told {
				if _, act := leaseNow(h.clock(), s); act != leaseRuns {
					t.Errorf("the lease asks for %d", act)
				}
				guard.end()
				_ = tf.Process.Signal(syscall.SIGKILL)
				<-ended
				if s.has(cancelFile) {
					t.Error("terraform was told to stop")
				}
				return
			}
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Error("terraform goes on")
				_ = tf.Process.Kill()
				<-ended
			}
			guard.end()
			var said cancelRecord
			if ok, err := s.get(cancelFile, &said); !ok || err != nil || !said.Lease {
				t.Errorf("the record says %+v, %v", said, err)
			}
		})
	}
}

// sleeper is a runner that has a stack in a store that sites share, its lease counted by a clock that the test moves.
func sleeper(t *testing.T) (*run, *hands) {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	keys, err := keyring.Open(keyring.Source{Dir: dir}, true)
	fatal(t, err)
	st, err := store.Open(ctx, dir)
	fatal(t, err)
	t.Cleanup(func() { _ = st.Close() })
	h := newHands()
	w := &worker{
		site: terraform.Site{Root: dir}, timing: stacks.DefaultTiming(), log: slog.New(slog.DiscardHandler), clock: h.clock(), told: &departure{},
		store: st, keys: keys, journal: journal.New(st, keys), siteID: "here", boot: "b",
	}
	w.timing.ShipEvery, w.timing.BeatEvery = time.Millisecond, 0
	id := stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "r"}
	empty := terraform.EmptyState(id)
	file, err := terraform.ReadState(empty)
	fatal(t, err)
	fatal(t, w.journal.EnsureStack(ctx, id, empty, file.Lineage))
	step := journal.Step{ID: "run/r/apply.1", Run: "run", Kind: journal.StepApply, Stack: stacks.Stack{ID: id}}
	_, err = w.journal.PutStep(ctx, step)
	fatal(t, err)
	r := w.newRun(attempt{ID: "mine", Step: step.ID, Kind: step.Kind, Stack: id, Lineage: file.Lineage, Serial: file.Serial, Fence: taken(t, w, step, "here", "mine", nil)}, step)
	fatal(t, mkdir(r.spool.dir))
	fatal(t, mkdir(filepath.Dir(w.site.StackLock(id))))
	return r, h
}

func taken(t *testing.T, w *worker, step journal.Step, site, attempt string, seen *journal.Sighting) (f journal.Fence) {
	t.Helper()
	fatal(t, w.store.Write(t.Context(), func(tx *store.Tx) (err error) {
		f, err = w.journal.TakeFence(t.Context(), tx, journal.TakeInput{Stack: step.Stack.ID, Step: step.ID, Attempt: attempt, Site: site, Seen: seen, Lease: w.timing.Lease})
		return err
	}))
	return f
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestASleeperCommitsNothing: a machine sleeps past its lease, another site takes the stack over meanwhile. Nothing that the sleeper knows gets into
// the store once it wakes, neither what terraform said, nor a state, nor a result, nor a sign of life.
func TestASleeperCommitsNothing(t *testing.T) {
	r, h := sleeper(t)
	ctx := t.Context()
	head, err := r.journal.Head(ctx, r.att.Stack)
	fatal(t, err)
	h.sleep(r.timing.Lease * 11 / 10)
	other := taken(t, r.worker, r.step, "there", "theirs", &journal.Sighting{Fence: head.Fence, Beats: head.Beats, For: r.timing.Lease * 11 / 10})
	st, err := terraform.RaiseSerial(terraform.EmptyState(r.att.Stack))
	fatal(t, err)
	if !r.keep(st) {
		t.Fatal("the state is no newer one")
	}
	r.pending = []journal.Event{{Seq: 1, At: h.clock().Wall(), Payload: []byte(`{"type":"apply_complete"}`)}}
	limited, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := r.shipLoop(limited); err == nil {
		t.Error("the runner goes on")
	}
	if err := r.finish(limited, journal.Result{Step: r.att.Step, Outcome: journal.OutcomeApplied}, nil); err == nil {
		t.Error("it finished its step")
	}
	events, err := r.journal.Events(ctx, r.att.Step, 0, 10)
	fatal(t, err)
	state, err := r.journal.LatestState(ctx, r.att.Stack)
	fatal(t, err)
	now, err := r.journal.Head(ctx, r.att.Stack)
	fatal(t, err)
	if _, err := r.journal.Result(ctx, r.att.Step); err == nil || len(events) != 0 || state.Serial != 1 || now.Fence != other || now.Site != "there" {
		t.Errorf("result %v, %d events, state %d, head %+v", err, len(events), state.Serial, now)
	}
}

// TestARenewalThatSlept: a machine falls asleep after it sent a beat and wakes past the end of its lease. The answer renews nothing: the lease is
// counted from before the beat was sent, by a clock that goes on, so terraform is ended at once.
func TestARenewalThatSlept(t *testing.T) {
	r, h := sleeper(t)
	sent, err := r.clock.Boot()
	fatal(t, err)
	h.sleep(r.timing.Lease + time.Second)
	fatal(t, r.spool.put(deadlineFile, r.leaseFrom(sent, r.timing.Lease), false))
	if _, act := leaseNow(r.clock, r.spool); act != leaseKill {
		t.Errorf("the lease asks for %d, want a kill", act)
	}
	h.jump(-day)
	if _, act := leaseNow(r.clock, r.spool); act != leaseKill {
		t.Errorf("with the wall clock set back: %d, want a kill", act)
	}
}

// TestTheGraceOfAStop: terraform was told to stop; a wall clock that is set ahead does not shorten its time, one that is set back does not prolong it.
func TestTheGraceOfAStop(t *testing.T) {
	r, h := sleeper(t)
	boot, _ := r.clock.Boot()
	r.cancelled = &cancelRecord{At: r.clock.Wall(), Boot: boot}
	h.jump(day)
	if r.cancel(cancelRecord{}); r.killed {
		t.Error("it was killed at once: the clock was set ahead")
	}
	h.jump(-2 * day)
	h.pass(r.timing.StopGrace + time.Second)
	if r.cancel(cancelRecord{}); !r.killed {
		t.Error("its time is over, and it lives: the clock was set back")
	}
}
