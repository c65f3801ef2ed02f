package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// RuleRecover is the rule of a plan that could not put right first what an interrupted apply had left.
const RuleRecover = "state.recover"

// putRight stages what the plan puts right first: import blocks beside the stack, and a state of the next serial in which only our
// interruption had tainted what is untainted. The state is in the store, under the fence, before terraform plans on it; so no plan that is
// older fits any more. Whoever does it twice (an attempt that died here) makes one more serial.
func (w *worker) putRight(ctx context.Context, p *prepared, att *attempt) error {
	r := p.step.Recovery
	if p.step.Kind != journal.StepPlan || r.Empty() || without(theRecovery) {
		return nil
	}
	dir := w.site.WorkDir(att.Stack)
	file, err := stacks.RenderRecovery(r)
	if err != nil {
		return recoverRefusal(err)
	}
	if file.Path != "" {
		if err := writeFiles(dir, []stacks.File{file}); err != nil {
			return stageRefusal(err)
		}
	}
	state, err := w.untainted(ctx, p, dir)
	if err != nil {
		return err
	}
	err = retryStore(ctx, w.parkAfter(), func(ctx context.Context) error {
		return w.journal.Ship(ctx, att.Stack, att.Fence, att.Step, journal.Batch{State: &state})
	})
	if err != nil {
		return err
	}
	p.state, att.Serial = state, state.Serial
	w.log.Info("put right before the plan", "imports", len(r.Import), "untainted", len(r.Untaint), "state", state.Serial)
	if err := (spool{w.site.SpoolDir(att.Stack)}).put(attemptFile, *att, true); err != nil {
		return stageRefusal(err)
	}
	return nil
}

// untainted is the staged state without the taints, with a serial of its own.
func (w *worker) untainted(ctx context.Context, p *prepared, dir string) (journal.State, error) {
	file, err := terraform.ReadState(p.state.Payload)
	if err != nil {
		return journal.State{}, recoverRefusal(err)
	}
	call := launch.Call{Binary: p.binary, Dir: dir, Env: environment(dir, nil)}
	for _, address := range p.step.Recovery.Untaint {
		is := func(r terraform.StateResource) bool { return r.Address == address && r.Tainted && r.Deposed == "" }
		if !slices.ContainsFunc(file.Resources, is) {
			continue // an attempt before this one did it
		}
		if err := launch.Untaint(ctx, call, address); err != nil {
			return journal.State{}, recoverRefusal(fmt.Errorf("untaint %s: %w", address, err))
		}
	}
	path := filepath.Join(dir, terraform.StateFileName)
	data, err := os.ReadFile(path)
	if err != nil {
		return journal.State{}, recoverRefusal(err)
	}
	now, err := terraform.ReadState(data)
	if err == nil && now.Serial <= p.state.Serial {
		if data, err = terraform.RaiseSerial(data); err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		now.Serial++
	}
	if err != nil {
		return journal.State{}, recoverRefusal(err)
	}
	sum := sha256.Sum256(data)
	return journal.State{
		Serial: now.Serial, Lineage: now.Lineage, SHA256: hex.EncodeToString(sum[:]), Payload: data, At: time.Now().UTC(),
	}, nil
}

// recoverRefusal ends a plan that could not be prepared; nothing was changed but the state's taints.
func recoverRefusal(err error) *refusal {
	return refuse(RuleRecover, "What an interrupted apply left could not be put right", err.Error(), "apply again")
}

// retryStore calls f again and again while the store is away, for so long. A lost fence ends it at once.
func retryStore(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	until := time.Now().Add(limit)
	for {
		try, stop := context.WithTimeout(ctx, shipTimeout)
		err := f(try)
		stop()
		if err == nil || errors.Is(err, journal.ErrFenced) || errors.Is(err, journal.ErrNotFound) {
			return err
		}
		if time.Now().After(until) || !pause(ctx, storeRetry) {
			return fmt.Errorf("%w: %w", errParked, err)
		}
	}
}
