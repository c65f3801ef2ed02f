package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// veil hides what is secret in what terraform says, before it leaves the work directory: a provider's error, or a program that a module starts, may
// tell it. What there is to hide is read when something is said that could tell.
type veil struct {
	known terraform.Secrets
	// states and plan are what was not read yet.
	states [][]byte
	plan   []byte
	serial int64 // of the newest state that was read
}

// veilOf is the veil of a step: its stack's secrets, the state that it starts from, and the plan that it applies.
func (w *worker) veilOf(ctx context.Context, step journal.Step, state journal.State, artifact *journal.Artifact) (*veil, error) {
	v := &veil{states: [][]byte{state.Payload}}
	for _, secret := range step.Stack.Secrets {
		value, err := w.catalog.Secret(ctx, step.Stack.ID.Incarnation, secret)
		if errors.Is(err, catalog.ErrNotFound) {
			continue // it is yet to be made, or the database is destroyed
		}
		if err != nil {
			return nil, fmt.Errorf("secrets of %s: %w", step.ID, err)
		}
		v.known.Add(value)
	}
	if artifact != nil {
		for _, f := range artifact.Files {
			if f.Path == terraform.PlanFile {
				v.plan = f.Content
			}
		}
	}
	return v, nil
}

// recallVeil is the veil of an attempt that another runner began.
func (w *worker) recallVeil(ctx context.Context, step journal.Step) (*veil, error) {
	state, err := w.journal.LatestState(ctx, step.Stack.ID)
	if err != nil && !errors.Is(err, journal.ErrNotFound) && !errors.Is(err, journal.ErrChecksum) {
		return nil, err
	}
	if step.Kind != journal.StepApply {
		return w.veilOf(ctx, step, state, nil)
	}
	artifact, err := w.journal.Artifact(ctx, step.Artifact)
	if err != nil {
		w.log.Warn("what is sensitive in the plan cannot be told", "error", err)
		return w.veilOf(ctx, step, state, nil)
	}
	return w.veilOf(ctx, step, state, &artifact)
}

// hide returns a line without what is secret; newest is the newest state there is.
func (v *veil) hide(line []byte, newest *journal.State) []byte {
	if v == nil || !terraform.Telling(line) {
		return line
	}
	if newest != nil && newest.Serial > v.serial {
		v.states, v.serial = append(v.states, newest.Payload), newest.Serial
	}
	for _, state := range v.states {
		_ = v.known.AddState(state) // one that cannot be read marks nothing
	}
	if v.plan != nil {
		_ = v.known.AddPlan(v.plan) // one of a format that is not known marks nothing
	}
	v.states, v.plan = nil, nil
	return v.known.Hide(line)
}

// hidden are events as they leave the work directory. Before one that could tell, the state is looked at: what terraform has just made may be in it.
func (r *run) hidden(events []journal.Event) []journal.Event {
	out := make([]journal.Event, len(events))
	looked := false
	for i, e := range events {
		if !looked && r.att.Kind == journal.StepApply && !without(theSnapshots) && terraform.Telling(e.Payload) {
			looked = true
			r.snapshotFile(filepath.Join(r.site.WorkDir(r.att.Stack), terraform.StateFileName))
		}
		e.Payload = r.veil.hide(e.Payload, r.newestState())
		out[i] = e
	}
	return out
}
