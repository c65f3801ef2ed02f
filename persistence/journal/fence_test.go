package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"meridian/persistence/journal"
	"meridian/persistence/store"
)

func TestTakeFenceRefuses(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	h.stack(istanbul)
	one, two := h.step(ankara, "r-1", "plan.1", journal.StepPlan), h.step(ankara, "r-1", "apply.1", journal.StepApply)
	base := journal.TakeInput{Stack: ankara, Step: one, Attempt: "a1"}
	for name, c := range map[string]struct {
		change func(*journal.TakeInput)
		want   error
	}{
		"an unknown stack":        {func(in *journal.TakeInput) { in.Stack.Region = "izmir" }, journal.ErrNotFound},
		"an unknown step":         {func(in *journal.TakeInput) { in.Step = "nothing" }, journal.ErrNotFound},
		"a step of another stack": {func(in *journal.TakeInput) { in.Stack = istanbul }, nil},
		"no attempt":              {func(in *journal.TakeInput) { in.Attempt = "" }, nil},
	} {
		in := base
		c.change(&in)
		if _, err := h.take(in); err == nil || (c.want != nil && !errors.Is(err, c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := h.mustTake(ankara, one, "a1")
	for _, step := range []string{one, two} {
		if _, err := h.take(journal.TakeInput{Stack: ankara, Step: step, Attempt: "a2"}); !errors.Is(err, journal.ErrRunning) {
			t.Errorf("a running head was taken for %s: %v", step, err)
		}
	}
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: one, Outcome: journal.OutcomeUnchanged}, nil))
	if _, err := h.take(base); !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("a step with a result was taken: %v", err)
	}
	in := base
	in.OverProven = true
	if _, err := h.take(in); !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("proof that the attempt is over opens a finished step: %v", err)
	}
	if next := h.mustTake(ankara, two, "a2"); next.Number != 2 {
		t.Errorf("fence %+v", next)
	}
}

// A fence that is not the head's lets nothing pass.
func TestAnOldFenceWritesNothing(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	old := h.mustTake(ankara, step, "a1")
	h.must(h.Ship(ctx, ankara, old, step, journal.Batch{Events: events(1, 3), State: snapshot(2, "")}))
	fresh, err := h.take(journal.TakeInput{Stack: ankara, Step: step, Attempt: "a2", Site: "here", OverProven: true})
	h.must(err)
	forged := fresh
	forged.Attempt = "a3"
	for name, f := range map[string]journal.Fence{"old": old, "of another attempt": forged, "none": {}, "of another epoch": {Epoch: 2, Number: fresh.Number, Attempt: fresh.Attempt}} {
		if err := h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(4, 9), State: snapshot(9, "")}); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence shipped: %v", name, err)
		}
		if _, err := h.Beat(ctx, ankara, f); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence beat: %v", name, err)
		}
		if err := h.Finish(ctx, ankara, f, journal.Result{Step: step}, nil); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence finished: %v", name, err)
		}
		if _, err := h.Adopted(ctx, ankara, f, 7, "boot"); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence adopted: %v", name, err)
		}
	}
	if head := h.head(ankara); head.Serial != 2 || head.Fence != fresh || head.Shipped != 0 {
		t.Fatalf("head %+v", head)
	}
	if got := seqs(h.allEvents(step)); !slices.Equal(got, upTo(3)) {
		t.Fatalf("events %v", got)
	}
	// What the second attempt ships goes on counting; its own sequence starts at 1.
	h.must(h.Ship(ctx, ankara, fresh, step, journal.Batch{Events: events(1, 2), State: snapshot(3, "")}))
	all := h.allEvents(step)
	if !slices.Equal(seqs(all), upTo(5)) || all[2].Fence != old || all[3].Fence != fresh || string(all[3].Payload) != `{"line":1}` {
		t.Fatalf("events %+v", all)
	}
	h.must(h.Finish(ctx, ankara, fresh, journal.Result{Step: step, Outcome: journal.OutcomeApplied}, nil))
	if err := h.Finish(ctx, ankara, fresh, journal.Result{Step: step, Outcome: journal.OutcomeFailed}, nil); !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("finished twice: %v", err)
	}
	err = h.Ship(ctx, ankara, fresh, step, journal.Batch{Events: events(3, 3)})
	if !errors.Is(err, journal.ErrFenced) || !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("shipped after the end: %v", err)
	}
	if r, err := h.Result(ctx, step); err != nil || r.Outcome != journal.OutcomeApplied {
		t.Errorf("result %+v, %v", r, err)
	}
}

func TestCancelReachesOnlyTheRunThatRuns(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	cancel := func(run string) {
		t.Helper()
		h.must(h.st.Write(ctx, func(tx *store.Tx) error { return h.RequestCancel(ctx, tx, ankara, run) }))
	}
	cancel("r-1") // nothing runs yet
	f := h.mustTake(ankara, step, "a1")
	cancel("r-2")
	if d, err := h.Beat(ctx, ankara, f); err != nil || d != "" {
		t.Fatalf("desired %q, %v", d, err)
	}
	cancel("r-1")
	if d, err := h.Beat(ctx, ankara, f); err != nil || d != "cancel" {
		t.Fatalf("desired %q, %v", d, err)
	}
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step, Outcome: journal.OutcomeCancelled}, nil))
	if head := h.head(ankara); head.Desired != "" {
		t.Fatalf("head %+v", head)
	}
}

func TestAttemptsRaceForOneFence(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	results := make(chan error, 12)
	for i := range 12 {
		j := h.Journal
		if i%2 == 1 {
			j = journal.New(h.openStore(), h.keys)
		}
		go func() {
			results <- j.Store().Write(context.Background(), func(tx *store.Tx) error {
				_, err := j.TakeFence(context.Background(), tx, journal.TakeInput{Stack: ankara, Step: step, Attempt: fmt.Sprint("a", i)})
				return err
			})
		}()
	}
	won := 0
	for range 12 {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, journal.ErrRunning) {
			t.Errorf("a loser was told %v", err)
		}
	}
	if won != 1 || h.head(ankara).Fence.Number != 1 {
		t.Fatalf("%d attempts took the fence; head %+v", won, h.head(ankara))
	}
}
