package runner

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// errBusy means that another runner works on the stack.
var errBusy = errors.New("another runner works on this stack")

// takeRunnerLock takes the right to run the stack. A stopped holder is ended: its terraform goes on, and is adopted.
func (w *worker) takeRunnerLock(ctx context.Context, id stacks.StackID) (*lock, error) {
	path := w.site.RunnerLock(id)
	ctx, stop := context.WithTimeout(ctx, appearLimit)
	defer stop()
	for {
		l, err := tryLock(path)
		if l != nil || err != nil {
			return l, err
		}
		// A lock that nobody holds any more is free at the next try, so an empty list is no answer yet.
		for _, h := range holders(path) {
			if h.State != 'T' {
				return nil, fmt.Errorf("%w: pid %d", errBusy, h.PID)
			}
			w.log.Warn("end a stopped runner", "pid", h.PID)
			if err := h.signal(syscall.SIGKILL); err != nil {
				w.log.Warn("end a stopped runner", "pid", h.PID, "error", err)
			}
		}
		if !pause(ctx, reapPoll) {
			return nil, errBusy
		}
	}
}

// settle brings the stack's last attempt on this site to its end: it adopts what runs, ships what is left and finishes its step.
// Then it holds the stack's lock, or names who holds it. The caller holds the runner's lock.
func (w *worker) settle(ctx context.Context, id stacks.StackID) (*lock, []procStat, error) {
	sp := spool{w.site.SpoolDir(id)}
	att, begun, err := sp.attempt()
	if errors.Is(err, errDamaged) {
		return w.settleDamaged(ctx, id, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if !begun {
		return w.settleNothing(ctx, id)
	}
	step, current, err := w.current(ctx, att)
	if err != nil {
		return nil, nil, err
	}
	r := w.newRun(att, step)
	defer r.tail.close()
	if !current {
		return r.discard(ctx)
	}
	if err := r.recall(); err != nil {
		return nil, nil, err
	}
	sent, err := w.clock.Boot()
	if err != nil {
		return nil, nil, err
	}
	w.log.Info("adopt", "attempt", att.ID, "adopted_step", att.Step, "fence", att.Fence.Number)
	fence, err := w.journal.Adopted(ctx, att.Stack, att.Fence, w.me.PID, w.boot)
	if err != nil {
		return nil, nil, err
	}
	if fence != att.Fence { // the store's epoch was raised
		r.att.Fence = fence
		if err := sp.put(attemptFile, r.att, true); err != nil {
			return nil, nil, err
		}
	}
	if err := r.renewed(sent); err != nil {
		return nil, nil, err
	}
	if r.veil, err = w.recallVeil(ctx, step); err != nil {
		return nil, nil, err
	}
	launched, err := r.follow(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !launched {
		return r.discard(ctx)
	}
	return r.conclude(ctx)
}

// settleDamaged is settle where nobody can say any more which attempt was begun. Once the lock proves that nothing of it lives, the step is
// refused: what the spool holds is for a person to look at, and stays.
func (w *worker) settleDamaged(ctx context.Context, id stacks.StackID, damage error) (*lock, []procStat, error) {
	l, foreign, err := w.settleNothing(ctx, id)
	if l == nil || err != nil {
		return l, foreign, errors.Join(err, damage)
	}
	defer l.close()
	file, err := terraform.ReadState(terraform.EmptyState(id))
	if err != nil {
		return nil, nil, errors.Join(err, damage)
	}
	r := w.newRun(attempt{Stack: id, Lineage: file.Lineage}, journal.Step{})
	if err = r.recallState(); err == nil {
		err = r.shelve()
	}
	if err != nil {
		return nil, nil, errors.Join(err, damage)
	}
	return nil, nil, refuse(RuleSpoolDamaged, "What an earlier attempt wrote down is damaged", damage.Error(), w.keepElsewhere(w.site.SpoolDir(id))+", then apply again")
}

// settleNothing is settle where no attempt was written down: the lock must be free, or something foreign holds it.
func (w *worker) settleNothing(ctx context.Context, id stacks.StackID) (*lock, []procStat, error) {
	ctx, stop := context.WithTimeout(ctx, heldLimit)
	defer stop()
	l, err := waitLock(ctx, w.site.StackLock(id), reapPoll)
	if l != nil || err != nil {
		return l, nil, err
	}
	return nil, holders(w.site.StackLock(id)), nil
}

// current reports whether an attempt still has the head and its step no result: only then there is something to ship.
func (w *worker) current(ctx context.Context, att attempt) (journal.Step, bool, error) {
	head, err := w.journal.Head(ctx, att.Stack)
	if errors.Is(err, journal.ErrNotFound) {
		return journal.Step{}, false, nil
	}
	if err != nil {
		return journal.Step{}, false, err
	}
	step, err := w.journal.Step(ctx, att.Step)
	if errors.Is(err, journal.ErrNotFound) {
		return step, false, nil
	}
	return step, err == nil && head.Fence.Attempt == att.ID && head.Site == w.siteID && head.Status == journal.HeadRunning, err
}

// discard drops an attempt that has nothing to ship: terraform was never started, or its step is finished and only the cleaning was
// left, or another attempt has the head. Nothing of it may run any more: while something holds the stack's lock, all stays as it is, and
// whoever comes next drops it. So does what this store never heard of, until a person has looked.
func (r *run) discard(ctx context.Context) (*lock, []procStat, error) {
	if r.family.lives() {
		r.log.Warn("wait for a terraform whose attempt no longer has the head", "attempt", r.att.ID)
		if _, err := r.await(ctx); err != nil {
			return nil, nil, err
		}
	}
	l, err := r.family.settleLock(ctx, pluginGrace, heldLimit)
	if err != nil {
		return nil, nil, err
	}
	if l == nil {
		foreign := holders(r.family.lock)
		r.log.Warn("an attempt with nothing to ship is kept: its stack's lock is held", "attempt", r.att.ID, "held_by", name(foreign))
		return nil, foreign, nil
	}
	unknown, err := r.unknown(ctx, r.att)
	if unknown && err == nil {
		err = r.recall()
	}
	if unknown && err == nil {
		err = r.shelve()
	}
	if err != nil {
		l.close()
		return nil, nil, err
	}
	if unknown {
		l.close()
		return nil, nil, refuse(RuleSpoolUnknown, "An earlier apply was never shipped to this store",
			"step "+r.att.Step+" has no result there: the store was put back older, or is another one",
			r.keepElsewhere(r.spool.dir)+", see what is left in the world with meridian fsck and meridian orphans list, then apply again")
	}
	if err := r.clean(r.att.Stack); err != nil {
		l.close()
		return nil, nil, err
	}
	r.log.Info("dropped an attempt with nothing to ship", "attempt", r.att.ID)
	return l, nil, nil
}

// unknown reports whether an attempt that does not have the head may have changed the world without this store's knowing: its terraform was
// started to apply, and its step has no result. Whoever overtakes an attempt gives its step one.
func (w *worker) unknown(ctx context.Context, att attempt) (bool, error) {
	if att.Kind != journal.StepApply || !(spool{w.site.SpoolDir(att.Stack)}).has(shimFile) {
		return false, nil
	}
	done, err := w.hasResult(ctx, att.Step)
	return !done, err
}
