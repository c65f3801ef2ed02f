package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// Limits of the end of an attempt.
const (
	// pluginGrace lets plugins end by themselves after a terraform that ended by itself.
	pluginGrace = 100 * time.Millisecond
	// heldLimit is how long a stack's lock may stay held by something that is not of terraform's group before it is named.
	heldLimit = time.Second
	// finishTimeout bounds one try to finish: an artifact of many MiB takes longer than a shipment.
	finishTimeout = 10 * time.Second
	// storeRetry is the pause between tries to reach a store that is away.
	storeRetry = 200 * time.Millisecond
)

// errParked means that the store could not be reached, and everything is in the spool.
var errParked = errors.New("the store is away: everything is in the spool")

// conclude ends an attempt whose shim and terraform have ended: it ends what they left, takes a last look at the state, ships the
// rest, finishes the step and cleans. It returns the stack's lock, or nil and the holders where something foreign holds it.
func (r *run) conclude(ctx context.Context) (*lock, []procStat, error) {
	exit, known := r.exit()
	grace := pluginGrace
	if !known || exit.Signal != "" {
		grace = 0
	}
	stackLock, err := r.family.settleLock(ctx, grace, heldLimit)
	if err != nil {
		return nil, nil, err
	}
	var foreign []procStat
	if stackLock == nil {
		foreign = holders(r.family.lock)
		r.log.Warn("the stack's lock outlives terraform", "held_by", name(foreign))
	}
	if r.att.Kind == journal.StepApply && (known && exit.Signal == "" || !without(theSnapshots)) {
		r.lastLook()
	}
	result, artifact := r.outcome(ctx, exit, known)
	if stackLock == nil {
		result.Diagnostics = append(result.Diagnostics, heldDiagnostic(stacks.SeverityWarning, foreign))
	}
	if err := r.finish(ctx, result, artifact); err != nil {
		stackLock.close()
		return nil, nil, err
	}
	if err := r.clean(r.att.Stack); err != nil {
		r.log.Error("clean", "error", err)
	}
	if r.att.Runner != ownProgram(r.site) { // it was begun by another version, which nothing may need any more
		if err := r.pruneRunners(); err != nil {
			r.log.Warn("remove runners that nothing uses", "error", err)
		}
	}
	r.worker.emptied = r.att.Kind == journal.StepApply && result.Outcome == journal.OutcomeApplied && r.emptied()
	r.log.Info("step finished", "finished", r.att.Step, "outcome", result.Outcome, "exit", result.ExitCode, "serial", result.Serial)
	return stackLock, foreign, nil
}

// exit is how terraform ended; known is false where nobody could write it down.
func (r *run) exit() (exitRecord, bool) {
	var e exitRecord
	ok, err := r.spool.get(exitFile, &e)
	return e, ok && err == nil
}

// lastLook takes the newest of what the attempt left: the state, or errored.tfstate where terraform could not write it.
func (r *run) lastLook() {
	dir := r.site.WorkDir(r.att.Stack)
	for _, name := range []string{terraform.StateFileName, terraform.ErroredState} {
		if r.snapshotFile(filepath.Join(dir, name)) {
			r.log.Warn("terraform left half a state; the newest whole one is kept", "file", name)
		}
	}
}

// emptied reports whether the newest state holds nothing.
func (r *run) emptied() bool {
	st := r.newestState()
	if st == nil {
		return false
	}
	file, err := terraform.ReadState(st.Payload)
	return err == nil && len(file.Resources) == 0
}

// finish ships the rest and stores the result, again and again while the store is away; a step that has a result already is fine.
func (r *run) finish(ctx context.Context, result journal.Result, artifact *journal.Artifact) error {
	until := time.Now().Add(r.parkAfter())
	for {
		err := r.tryFinish(ctx, min(finishTimeout, max(time.Until(until), shipTimeout)), result, artifact)
		switch {
		case err == nil, errors.Is(err, journal.ErrHasResult):
			return nil
		case errors.Is(err, journal.ErrFenced), errors.Is(err, journal.ErrNotFound):
			return err
		case time.Now().After(until):
			return fmt.Errorf("%w: %w", errParked, err)
		}
		r.log.Warn("finish the step later", "error", err)
		if !pause(ctx, storeRetry) {
			return fmt.Errorf("%w: %w", errParked, ctx.Err())
		}
	}
}

func (r *run) tryFinish(ctx context.Context, limit time.Duration, result journal.Result, artifact *journal.Artifact) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	if err := r.ship(ctx, true); err != nil {
		return err
	}
	return r.journal.Finish(ctx, r.att.Stack, r.att.Fence, result, artifact)
}

// heldDiagnostic names who holds a stack's lock and asks about them.
func heldDiagnostic(severity stacks.Severity, procs []procStat) stacks.Diagnostic {
	return stacks.Diagnostic{
		Severity: severity, Rule: RuleStackHeld,
		Summary: "A process that an earlier step started still holds the stack",
		Detail:  "held by " + name(procs) + "; it was started by this stack's terraform and has outlived it",
		Next:    "end it if it is not wanted, or start it so that it closes the files that it inherits; then apply again",
	}
}
