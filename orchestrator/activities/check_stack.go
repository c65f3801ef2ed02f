package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
)

// CheckStack plans one region in a scratch copy and keeps only what the plan says: no head, no lock, no fence is taken, no placement or
// secret made, and the result counts only for the state that it was made from.
func (a *Activities) CheckStack(ctx context.Context, in RegionInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhasePlanning); late || err != nil {
		return RegionResult{}, err
	}
	w, err := a.load(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	switch w.row.Phase {
	case stacks.RegionPlanned, stacks.RegionUnchanged:
		return RegionResult{Go: true}, nil
	case stacks.RegionFailed, stacks.RegionCancelled:
		return RegionResult{}, nil
	}
	if w.run.Cancel {
		return RegionResult{}, a.setRegion(ctx, w, stacks.RegionCancelled, "cancelled before it was checked")
	}
	if err := a.preflight(ctx, w); err != nil {
		return RegionResult{}, err
	}
	module := providers.ModuleInput{Stack: w.stack, Database: w.spec, Region: w.region}
	if err := errors.Join(a.foreign(ctx, w, &module), a.values(ctx, w, &module)); err != nil {
		return RegionResult{}, err
	}
	stack, err := Draft(ctx, a.Catalog, a.Registry, module)
	if err != nil {
		return RegionResult{}, err
	}
	before, err := a.serial(ctx, w.stack)
	if err != nil {
		return RegionResult{}, err
	}
	step := journal.Step{
		ID: fmt.Sprintf("%s/%s/check.%d", w.run.ID, w.row.Region, w.row.Plans+1), Run: w.run.ID, Kind: journal.StepCheck,
		Destroy: w.row.Destroy, Stack: stack,
	}
	if step, err = a.Journal.PutStep(ctx, step); err != nil {
		return RegionResult{}, fmt.Errorf("step %s: %w", step.ID, err)
	}
	err = a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.PlanStep = stacks.RegionPlanning, step.ID
		return r
	})
	if err != nil {
		return RegionResult{}, err
	}
	res, err := a.attach(ctx, w, step)
	if err != nil {
		return RegionResult{}, err
	}
	after, err := a.serial(ctx, w.stack)
	if err != nil {
		return RegionResult{}, err
	}
	if checkAgain(res, before != after, w.row.Plans) {
		err := a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
			r.Phase, r.Plans = stacks.RegionPending, w.row.Plans+1
			return r
		})
		return RegionResult{}, errors.Join(err, fmt.Errorf("checking %s again: its state moved or trouble may pass", w.row.Region))
	}
	if checkFailed(res) {
		return RegionResult{}, a.setRegion(ctx, w, stacks.RegionFailed, failure(res))
	}
	return RegionResult{Go: true}, a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.StackDigest, r.Changes, r.StateSerial = stacks.RegionUnchanged, step.Stack.Digest, res.Changes, after
		if res.Outcome == journal.OutcomeChanges {
			r.Phase = stacks.RegionPlanned
		}
		return r
	})
}

func checkFailed(res journal.Result) bool {
	return res.Outcome != journal.OutcomeUnchanged && res.Outcome != journal.OutcomeChanges
}

// checkAgain reports whether a check that had this result, after so many others, is made again: the state moved meanwhile, the trouble may
// pass, or somebody killed it.
func checkAgain(res journal.Result, moved bool, plans int) bool {
	passes := res.Retryable || res.Outcome == journal.OutcomeInterrupted
	return (moved || checkFailed(res) && passes) && plans+1 < plansFor(res)
}

// foundDigest is the SHA-256 of what a check found in a region, "" where nothing changes: a check keeps no plan whose digest there would be.
func foundDigest(r catalog.RunRegion) string {
	if r.Phase != stacks.RegionPlanned {
		return ""
	}
	found, err := json.Marshal(r.Changes)
	if err != nil { // strings and booleans: it cannot be
		return r.StackDigest
	}
	sum := sha256.Sum256(append(found, r.StackDigest...))
	return hex.EncodeToString(sum[:])
}

// serial is that of a stack's newest state, 0 where it has none.
func (a *Activities) serial(ctx context.Context, id stacks.StackID) (int64, error) {
	head, err := a.Journal.Head(ctx, id)
	if errors.Is(err, journal.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("head of %s: %w", id, err)
	}
	return head.Serial, nil
}
