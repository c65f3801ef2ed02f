package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
)

// takeOver ends the attempt of another site that has the stack's head, once that attempt is proven over: its step gets the result that
// terraform was interrupted, and what comes next finds a free head. Without proof it waits for one. What the other site had not shipped
// is there alone; whoever plans next looks at the world. The caller holds the runner's lock of this site.
func (w *worker) takeOver(ctx context.Context, id stacks.StackID) error {
	look := w.timing.BeatEvery
	var seen journal.Sighting
	var since time.Duration
	for waited := false; ; {
		now, err := w.clock.Boot()
		if err != nil {
			return err
		}
		var s *journal.Sighting
		if seen.Fence.Attempt != "" {
			seen.For = now - since
			s = &seen
		}
		head, why, err := w.journal.Proof(ctx, id, s, w.leaseLength())
		switch {
		case errors.Is(err, journal.ErrNotFound):
			return nil
		case err != nil:
			w.log.Warn("watch another site's attempt", "error", err)
			seen = journal.Sighting{} // a time without looks proves nothing
		case head.Status != journal.HeadRunning || head.Site == w.siteID:
			return nil
		case why != "":
			err := w.endForeign(ctx, head, s, why)
			if !errors.Is(err, journal.ErrRunning) && !errors.Is(err, journal.ErrFenced) {
				return err
			}
			// There was another beat, or another taker: look again.
		case w.leaseLength() == 0:
			return fmt.Errorf("%w: attempt %s of site %s, last seen %s ago; if nothing of it runs any more: meridian site declare-dead %s",
				journal.ErrRunning, head.Fence.Attempt, head.Site, w.clock.Wall().Sub(head.BeatAt).Round(time.Second), head.Site)
		case head.Fence != seen.Fence || head.Beats != seen.Beats:
			if since, err = w.clock.Boot(); err != nil { // after the look: the beat that it saw was not later
				return err
			}
			seen = journal.Sighting{Fence: head.Fence, Beats: head.Beats}
		}
		if err == nil && !waited {
			waited = true
			w.log.Info("wait for another site's attempt", "site", head.Site, "other_attempt", head.Fence.Attempt, "other_step", head.Step, "seen", head.BeatAt,
				"lease", w.leaseLength().String())
		}
		if !pause(ctx, look) {
			return ctx.Err()
		}
	}
}

// endForeign takes the fence of another site's attempt for its own step, and finishes the step as interrupted.
func (w *worker) endForeign(ctx context.Context, head journal.Head, seen *journal.Sighting, why string) error {
	step, err := w.journal.Step(ctx, head.Step)
	if err != nil {
		return err
	}
	in := w.takeInput(step, "takeover-"+uuid.NewString(), "", "")
	in.Seen, in.Lease = seen, w.leaseLength()
	var fence journal.Fence
	err = w.store.Write(ctx, func(tx *store.Tx) (err error) {
		fence, err = w.journal.TakeFence(ctx, tx, in)
		return err
	})
	if err != nil {
		return err
	}
	w.log.Warn("took a stack over from another site", "site", head.Site, "other_attempt", head.Fence.Attempt, "other_step", head.Step, "because", why)
	r := refuse(RuleInterrupted, "terraform was interrupted",
		fmt.Sprintf("site %s, where it ran, was taken over: %s", head.Site, why), "the newest state that was shipped is kept; plan again")
	r.outcome = journal.OutcomeInterrupted
	return w.finishWith(ctx, step, fence, r)
}
