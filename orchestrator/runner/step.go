package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// stepOptions are the arguments of the verb step.
type stepOptions struct {
	step    string
	attempt string
	// adopt only settles what the stack's last attempt left; it never starts terraform.
	adopt bool
}

// runStep runs one step, or finds that there is nothing to do, and returns the exit code.
func (w *worker) runStep(ctx context.Context, o stepOptions) int {
	err := w.runStepOnce(ctx, o)
	switch {
	case err == nil:
		return terraform.ExitDone
	case errors.Is(err, errBusy):
		w.log.Info("nothing to do", "reason", err.Error())
		return terraform.ExitDone
	case errors.Is(err, errLeaving):
		w.log.Info("not started", "reason", err.Error())
		return terraform.ExitParked
	case errors.Is(err, errParked):
		w.log.Error("parked", "error", err)
		return terraform.ExitParked
	}
	w.log.Error("step could not be run", "error", err)
	return terraform.ExitError
}

func (w *worker) runStepOnce(ctx context.Context, o stepOptions) error {
	step, err := w.journal.Step(ctx, o.step)
	if err != nil {
		return fmt.Errorf("step %s: %w", o.step, err)
	}
	if step.Kind == journal.StepCheck {
		return w.runCheck(ctx, step, o)
	}
	id := step.Stack.ID
	if done, err := w.hasResult(ctx, step.ID); err != nil || (done && !spool{w.site.SpoolDir(id)}.has(attemptFile)) {
		return err
	}
	runnerLock, err := w.takeRunnerLock(ctx, id)
	if err != nil {
		return err
	}
	defer runnerLock.close()
	stackLock, foreign, err := w.settle(ctx, id)
	if r := new(refusal); errors.As(err, &r) && !o.adopt {
		return w.finishRefused(ctx, step, o.attempt, r, true)
	}
	if err != nil {
		return err
	}
	defer func() { stackLock.close() }()
	if done, err := w.hasResult(ctx, step.ID); err != nil || done || o.adopt {
		if err == nil && w.emptied && stackLock != nil {
			w.forgetLocks(id)
		}
		return err
	}
	if err := w.takeOver(ctx, id); err != nil {
		return err
	}
	if done, err := w.hasResult(ctx, step.ID); err != nil || done {
		return err
	}
	if stackLock == nil {
		r := &refusal{outcome: journal.OutcomeFailed, diag: heldDiagnostic(stacks.SeverityError, foreign)}
		return w.finishRefused(ctx, step, o.attempt, r, false)
	}
	held := stackLock
	stackLock = nil // launch lets go of it
	return w.launch(ctx, step, o.attempt, held)
}

// hasResult reports whether the step is finished.
func (w *worker) hasResult(ctx context.Context, step string) (bool, error) {
	_, err := w.journal.Result(ctx, step)
	if errors.Is(err, journal.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// launch takes the fence, stages, starts terraform and journals it to its end. It lets go of the stack's lock in any case.
func (w *worker) launch(ctx context.Context, step journal.Step, attemptID string, stackLock *lock) error {
	defer func() { stackLock.close() }()
	p, err := w.prepare(ctx, step)
	if r := new(refusal); errors.As(err, &r) {
		return w.finishRefused(ctx, step, attemptID, r, true)
	}
	if err != nil {
		return err
	}
	veil, err := w.veilOf(ctx, step, p.state, p.artifact)
	if err != nil {
		return err
	}
	slot, err := w.takeTokens(ctx, step.Kind, step.Stack.Memory)
	if err != nil {
		return err
	}
	defer slot.close()
	if _, _, leaving := w.leaving(); leaving {
		return errLeaving
	}
	sent, err := w.clock.Boot()
	if err != nil {
		return err
	}
	fence, err := w.takeFence(ctx, p, attemptID)
	if r := new(refusal); errors.As(err, &r) {
		return w.finishRefused(ctx, step, attemptID, r, true)
	}
	if errors.Is(err, journal.ErrHasResult) {
		return nil
	}
	if err != nil {
		return err
	}
	w.log.Info("took the fence", "fence", fence.Number, "state", p.state.Serial)
	att := attemptOf(w, p, attemptID, fence)
	if r := w.begin(p, &att); r != nil {
		return w.giveUp(ctx, att, r)
	}
	if err := w.putRight(ctx, p, &att); err != nil {
		if r := new(refusal); errors.As(err, &r) {
			return w.giveUp(ctx, att, r)
		}
		return err
	}
	r := w.newRun(att, step)
	defer r.tail.close()
	r.veil = veil
	if err := r.renewed(sent); err != nil {
		return w.giveUp(ctx, att, stageRefusal(err))
	}
	if err := r.start(p, stackLock); err != nil {
		return w.giveUp(ctx, att, notStarted(err.Error()))
	}
	p.secrets = nil
	stackLock.close() // the shim holds it now; that it is free will prove that nothing lives
	stackLock = nil
	launched, err := r.follow(ctx)
	if err != nil {
		return err
	}
	if !launched {
		return w.giveUp(ctx, att, notStarted("its shim ended before it"))
	}
	stackLock, _, err = r.conclude(ctx)
	if err == nil && w.emptied && stackLock != nil {
		w.forgetLocks(att.Stack)
	}
	return err
}

// notStarted ends a step whose terraform never ran: the same may be tried again.
func notStarted(detail string) *refusal {
	r := refuse(RuleStart, "terraform could not be started", detail, "try again")
	r.retryable = true
	return r
}

// begin writes the attempt down and stages it; what goes wrong here ends the step.
func (w *worker) begin(p *prepared, att *attempt) *refusal {
	att.StartedAt = time.Now().UTC()
	err := spool{w.site.SpoolDir(att.Stack)}.begin(*att)
	if err == nil {
		err = stage(w.site.WorkDir(att.Stack), p)
	}
	if err == nil {
		return nil
	}
	return stageRefusal(err)
}

// stageRefusal is what ends a step whose work directory could not be made.
func stageRefusal(err error) *refusal {
	if r := new(refusal); errors.As(err, &r) {
		return r
	}
	return refuse(RuleStage, "The work directory could not be made", err.Error(),
		"see that the data directory can be written and has space, then try again")
}

// takeFence takes the next fence; an apply must pass the catalog's gate in the same transaction.
func (w *worker) takeFence(ctx context.Context, p *prepared, attemptID string) (journal.Fence, error) {
	step := p.step
	fence, err := w.fence(ctx, w.takeInput(step, attemptID, p.binary.Version, p.template.Hash), true, func(tx *store.Tx) error {
		if step.Kind != journal.StepApply {
			return nil
		}
		return w.catalog.GateApply(ctx, tx, step.Run, step.Stack.ID.Region, p.artifact.Digest, p.state.Serial)
	})
	if errors.Is(err, catalog.ErrRefused) || errors.Is(err, catalog.ErrNotFound) {
		return fence, w.gateRefusal(ctx, step, err)
	}
	return fence, err
}

// fence takes the next fence behind a gate. A head that still says running is taken only if it ran on this site and settled says that
// the caller holds both of its locks and has settled its spool: that proves the attempt over.
func (w *worker) fence(ctx context.Context, in journal.TakeInput, settled bool, gate func(tx *store.Tx) error) (fence journal.Fence, err error) {
	for {
		err = w.store.Write(ctx, func(tx *store.Tx) (err error) {
			if err := gate(tx); err != nil {
				return err
			}
			fence, err = w.journal.TakeFence(ctx, tx, in)
			return err
		})
		if !errors.Is(err, journal.ErrRunning) || in.OverProven {
			return fence, err
		}
		head, err := w.journal.Head(ctx, in.Stack)
		if err != nil {
			return fence, err
		}
		if head.Site != w.siteID || !settled {
			return fence, fmt.Errorf("%w: attempt %s of site %s, last seen %s ago", journal.ErrRunning, head.Fence.Attempt, head.Site,
				w.clock.Wall().Sub(head.BeatAt).Round(time.Second))
		}
		in.OverProven = true
	}
}

func (w *worker) takeInput(step journal.Step, attemptID, version, template string) journal.TakeInput {
	return journal.TakeInput{
		Stack: step.Stack.ID, Step: step.ID, Attempt: attemptID, Site: w.siteID, RunnerPID: w.me.PID, BootID: w.boot,
		Terraform: version, Template: template,
	}
}

// gateRefusal is the result of an apply that may not be: cancelled where the run is, else failed.
func (w *worker) gateRefusal(ctx context.Context, step journal.Step, cause error) *refusal {
	r := refuse(RuleGate, "Meridian refused to apply", cause.Error(), "nothing was changed; see `meridian run watch` for what the run waits for")
	if run, err := w.catalog.Run(ctx, step.Run); err == nil && run.Cancel {
		r.outcome = journal.OutcomeCancelled
	}
	return r
}

// finishRefused gives a step the result of a refusal: it takes the fence, past the gate because nothing will be applied, and finishes.
func (w *worker) finishRefused(ctx context.Context, step journal.Step, attemptID string, r *refusal, settled bool) error {
	// A stack must be born to have a head; one whose newest state is damaged has one.
	if _, err := w.newestState(ctx, step.Stack.ID); err != nil && !errors.Is(err, journal.ErrChecksum) {
		return err
	}
	fence, err := w.fence(ctx, w.takeInput(step, attemptID, "", ""), settled, func(*store.Tx) error { return nil })
	if errors.Is(err, journal.ErrHasResult) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.finishWith(ctx, step, fence, r)
}

// giveUp ends a step that has the fence and whose terraform was never started.
func (w *worker) giveUp(ctx context.Context, att attempt, r *refusal) error {
	step, err := w.journal.Step(ctx, att.Step)
	if err != nil {
		return err
	}
	if err := w.finishWith(ctx, step, att.Fence, r); err != nil {
		return err
	}
	return w.clean(att.Stack)
}

func (w *worker) finishWith(ctx context.Context, step journal.Step, fence journal.Fence, r *refusal) error {
	now := time.Now().UTC()
	head, err := w.journal.Head(ctx, step.Stack.ID)
	if err != nil {
		return err
	}
	w.log.Info("step refused", "rule", r.diag.Rule, "summary", r.diag.Summary)
	res := journal.Result{
		Step: step.ID, Outcome: r.outcome, ExitCode: -1, Serial: head.Serial, Retryable: r.retryable, StartedAt: now, FinishedAt: now,
	}
	res.Diagnostics = append(res.Diagnostics, r.diag)
	return w.journal.Finish(ctx, step.Stack.ID, fence, res, nil)
}
