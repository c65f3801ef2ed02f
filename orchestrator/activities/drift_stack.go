package activities

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
)

// driftPlans is how often one plan of a check is made before what it says of itself counts.
const driftPlans = 3

// DriftStack looks at a region with terraform's eyes, in scratch copies: what was applied last is planned against the world, and beside it a
// newer revision where there is one. No head, lock or fence is taken, and a result of a state that moved meanwhile is dropped.
func (a *Activities) DriftStack(ctx context.Context, in DriftPartInput) error {
	j, err := a.loadDrift(ctx, in.Check)
	if err != nil {
		return err
	}
	part := catalog.DriftPart{Part: driftStackPart + in.Part}
	if done, err := a.driftDone(ctx, j, part.Part); err != nil || done {
		return err
	}
	id := stackID(j.run, in.Part)
	if part.Serial, err = a.serial(ctx, id); err != nil {
		return err
	}
	pair, err := a.driftPair(ctx, j, id)
	if errors.Is(err, journal.ErrNotFound) {
		part.Outcome, part.Message = catalog.DriftUnknown, "it was never applied"
		return a.putDrift(ctx, j, part)
	}
	if err != nil {
		return err
	}
	found, why, err := a.planDrift(ctx, j, in.Part, pair)
	if err != nil {
		return err
	}
	after, err := a.serial(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case after != part.Serial:
		part.Outcome, part.Message = catalog.DriftSkipped, "its state moved while it was looked at"
	case why != "":
		part.Outcome, part.Message = catalog.DriftUnknown, why
	default:
		part.Drift, part.Unapplied = stacks.FindDrift(found)
	}
	return a.putDrift(ctx, j, part)
}

// driftPair are the stacks that a region is planned with: what was applied last, and what a newer revision asks for, if that is another.
type driftPair struct {
	applied journal.LastStack
	next    *stacks.Stack
}

// driftPair finds the stacks to plan with. Where this Meridian renders what was applied with other plugins than then (it was upgraded), the
// old stack cannot be planned any more: the new rendering is, and only what the refresh finds counts as drift.
func (a *Activities) driftPair(ctx context.Context, j driftJob, id stacks.StackID) (driftPair, error) {
	last, err := a.Journal.LastStackOf(ctx, id)
	if err != nil {
		return driftPair{}, err
	}
	newest, err := a.Catalog.Revision(ctx, j.check.Incarnation, 0)
	if err != nil {
		return driftPair{}, err
	}
	pair := driftPair{applied: last}
	region, ok := newest.Effective.Region(id.Region)
	if !ok { // the newest revision removes it
		return pair, nil
	}
	in := providers.ModuleInput{Stack: id, Database: newest.Effective, Region: region}
	provider, err := a.Registry.Provider(region.Provider)
	if err != nil {
		return pair, err
	}
	w := work{provider: provider, run: catalog.Run{Incarnation: j.check.Incarnation}, revision: newest.Number, region: region}
	if err := errors.Join(a.foreign(ctx, w, &in), a.values(ctx, w, &in)); err != nil {
		return pair, err
	}
	next, err := Draft(ctx, a.Catalog, a.Registry, in)
	if err != nil {
		return pair, err
	}
	switch {
	case next.Digest == last.Stack.Digest:
	case !reflect.DeepEqual(next.Providers, last.Stack.Providers):
		pair.applied = journal.LastStack{Stack: next}
	default:
		pair.next = &next
	}
	return pair, nil
}

// planDrift makes the plans; why says that one could not be made.
func (a *Activities) planDrift(ctx context.Context, j driftJob, region string, pair driftPair) (found stacks.DriftInput, why string, err error) {
	found = stacks.DriftInput{Region: region, Settled: pair.applied.Settled, Growths: a.growths(j.spec, region)}
	res, err := a.planOf(ctx, j, region, "check", pair.applied.Stack)
	if err != nil || res.Outcome != journal.OutcomeUnchanged && res.Outcome != journal.OutcomeChanges {
		return found, failure(res), err
	}
	found.Plan, found.Moved = res.Changes, res.Moved
	if pair.next == nil {
		return found, "", nil
	}
	if res, err = a.planOf(ctx, j, region, "next", *pair.next); err != nil {
		return found, "", err
	}
	if res.Outcome == journal.OutcomeUnchanged || res.Outcome == journal.OutcomeChanges { // else the newer revision cannot be planned: that is no drift
		found.Next, found.HasNext = res.Changes, true
	}
	return found, "", nil
}

// planOf makes one plan of a check, again where it met trouble that may pass. Which try it is stands in the rows.
func (a *Activities) planOf(ctx context.Context, j driftJob, region, word string, stack stacks.Stack) (journal.Result, error) {
	w := work{run: j.run, row: catalog.RunRegion{Region: region}, stack: stack.ID}
	for n := 1; ; n++ {
		step, err := a.Journal.PutStep(ctx, journal.Step{
			ID: fmt.Sprintf("%s/%s/%s.%d", j.check.ID, region, word, n), Run: j.check.ID, Kind: journal.StepCheck, Stack: stack,
		})
		if err != nil {
			return journal.Result{}, fmt.Errorf("step of check %s: %w", j.check.ID, err)
		}
		res, err := a.attach(ctx, w, step)
		if err != nil {
			return res, err
		}
		if !res.Retryable && res.Outcome != journal.OutcomeInterrupted || n == driftPlans {
			return res, nil
		}
	}
}
