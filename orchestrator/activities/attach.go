package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// attach starts a runner for the step, unless its result is there, and watches the journal until it is. It can be left and taken up
// again from anywhere: the runner goes on without it, and starting a runner twice is harmless.
func (a *Activities) attach(ctx context.Context, w work, step journal.Step) (journal.Result, error) {
	var runner *process
	var ended <-chan struct{} // of a runner of ours that was not seen to end
	killed := 0
	poll := time.NewTimer(a.Timing.AttachPoll)
	defer poll.Stop()
	for {
		res, err := a.Journal.Result(ctx, step.ID)
		if err == nil {
			a.settle(ctx, runner)
			return res, nil
		}
		if !errors.Is(err, journal.ErrNotFound) {
			return journal.Result{}, fmt.Errorf("result of %s: %w", step.ID, err)
		}
		if a.needsRunner(runner, killed) {
			if runner != nil && runner.exit() < 0 {
				killed++
			} else if runner != nil {
				a.sayBusy(ctx, w, step)
			}
			if runner, err = a.spawn(w, step); err != nil {
				return journal.Result{}, err
			}
			ended = runner.done
		} else if runner.ended() && runner.exit() == terraform.ExitError {
			return journal.Result{}, fmt.Errorf("the runner of %s could not work: %s (see %s)", step.ID, runner.complaint(), runner.log)
		}
		activity.RecordHeartbeat(ctx)
		every := a.Timing.AttachPoll
		if ended != nil { // its end tells: looking at the store meanwhile is for the case that it hangs
			every = a.Timing.Heartbeat / 4
		}
		poll.Reset(every)
		select {
		case <-poll.C:
		case <-ended:
			ended = nil
		case <-a.leave(ctx):
			return journal.Result{}, errDetached
		case <-ctx.Done():
			return journal.Result{}, ctx.Err()
		}
	}
}

// leave is closed when an attached step has to let go because the worker stops. A worker that drains ends its context instead, once the
// time for that is over.
func (a *Activities) leave(ctx context.Context) <-chan struct{} {
	if a.Drain > 0 {
		return nil
	}
	return activity.GetWorkerStopChannel(ctx)
}

// sayBusy writes into the run's log for what its step waits: terraform of an earlier run that was ended goes on to its end.
func (a *Activities) sayBusy(ctx context.Context, w work, step journal.Step) {
	head, err := a.Journal.Head(ctx, w.stack)
	if err == nil && head.Status == journal.HeadRunning && head.Step != step.ID {
		a.log(ctx, w.run.ID, w.row.Region, slog.LevelInfo, "waits for an earlier step of this region to end: "+head.Step)
	}
}

// killsAtOnce is how many killed runners are followed by another at once: whatever kills more of them will not stop for the next.
const killsAtOnce = 3

// needsRunner says when to start a (further) runner: at first, at once after one was killed, and a beat after one found another at work
// or parked, in case that the other dies. Where one after another is killed (no memory, a broken binary), a beat is between them too.
func (a *Activities) needsRunner(p *process, killed int) bool {
	if p == nil {
		return true
	}
	if !p.ended() || p.exit() == terraform.ExitError {
		return false
	}
	return p.exit() < 0 && killed < killsAtOnce || time.Since(p.started) >= a.Timing.BeatEvery
}

// settle gives a runner of ours whose result is there a moment to clean its work directory, so that "done" means that nothing is left.
func (a *Activities) settle(ctx context.Context, p *process) {
	if p == nil {
		return
	}
	select {
	case <-p.done:
	case <-time.After(a.Timing.BeatEvery):
	case <-a.leave(ctx):
	case <-ctx.Done():
	}
}
