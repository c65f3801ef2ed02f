package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// SettleStack takes one look at what interrupted applies of a region have left, before it is planned again: every process of theirs has
// ended, and nothing works on their objects any more. What it finds is in the region's row: the plan takes it over, or a person is asked.
// Not settled yet is a retryable error: the retry policy is the poll loop.
func (a *Activities) SettleStack(ctx context.Context, in RegionInput) (RegionResult, error) {
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
		return RegionResult{}, a.setRegion(ctx, w, stacks.RegionCancelled, "cancelled before it was planned")
	}
	last, err := a.unsettled(ctx, w.stack)
	if err != nil || last == "" {
		return RegionResult{Go: err == nil}, err
	}
	if settled(w.row, last) {
		return RegionResult{Go: len(w.row.Recovery.Questions()) == 0}, nil
	}
	if err := a.over(ctx, w); err != nil {
		return RegionResult{}, err
	}
	found, err := a.lookUp(ctx, w)
	if err != nil {
		return RegionResult{}, err
	}
	found.Step = last
	for _, o := range found.Objects {
		a.log(ctx, w.run.ID, w.row.Region, slog.LevelInfo, fmt.Sprintf("%s was interrupted (%s): %s, %s", o.Address, o.Action, o.Found, o.Evidence))
	}
	err = a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Recovery, r.Message = found, ""
		if asked := found.Questions(); len(asked) > 0 {
			r.Message = asked[0].Question
		}
		return r
	})
	return RegionResult{Go: len(found.Questions()) == 0}, err
}

// unsettled is the newest apply step of a stack where that did not end well, "" where it did or there is none.
func (a *Activities) unsettled(ctx context.Context, id stacks.StackID) (step string, err error) {
	steps, err := a.Journal.Applies(ctx, id, 1)
	if err != nil || len(steps) == 0 || endedWell(steps[0].Outcome) {
		return "", err
	}
	return steps[0].ID, nil
}

func endedWell(o journal.Outcome) bool {
	return o == journal.OutcomeApplied || o == journal.OutcomeUnchanged
}

// settled reports whether a region's row says what was found of that apply step.
func settled(row catalog.RunRegion, step string) bool {
	return row.Recovery != nil && row.Recovery.Step == step
}

// over waits until the last attempt on the stack is over, and sees to it that somebody settles it.
func (a *Activities) over(ctx context.Context, w work) error {
	head, err := a.Journal.Head(ctx, w.stack)
	if err != nil {
		return fmt.Errorf("head of %s: %w", w.stack, err)
	}
	if head.Status != journal.HeadRunning {
		return nil
	}
	if a.Clock.Past(head.BeatAt, a.Timing.BeatEvery) {
		if err := a.adopt(head); err != nil {
			return err
		}
	}
	return a.unready(ctx, w, "waits for an earlier step of this region to end: "+head.Step)
}

// unready writes down what is waited for before the plan, and asks to look again.
func (a *Activities) unready(ctx context.Context, w work, message string) error {
	if w.row.Message != message {
		if err := a.setRegion(ctx, w, stacks.RegionPending, message); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %s: %w", w.row.Region, message, errPending)
}

// lookUp finds out what has become of each object that was in flight.
func (a *Activities) lookUp(ctx context.Context, w work) (*catalog.Recovery, error) {
	attempts, err := a.attempts(ctx, w.stack)
	if err != nil {
		return nil, err
	}
	state, err := a.Journal.LatestState(ctx, w.stack)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	file, err := terraform.ReadState(state.Payload)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	out := &catalog.Recovery{Anew: slices.ContainsFunc(attempts, terraform.ApplyAttempt.Began)}
	objects := terraform.FindInFlight(attempts, file)
	if len(objects) == 0 {
		return out, nil
	}
	in, err := a.moduleInput(ctx, w)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		located, err := locate(ctx, w.provider, providers.LocateInput{ModuleInput: in, Address: o.Address, Type: o.Type})
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", o.Address, err)
		}
		if located.State == providers.FoundSettling {
			return nil, a.unready(ctx, w, "waits until "+o.Address+" is settled: "+located.Evidence)
		}
		out.Objects = append(out.Objects, Recover(o, located, w.row.Recovery.Answered(recovered(o, located))))
	}
	return out, nil
}

func locate(ctx context.Context, p providers.Provider, in providers.LocateInput) (providers.Located, error) {
	locator, err := providers.As[providers.Locator](p)
	if errors.Is(err, errors.ErrUnsupported) {
		return providers.Located{State: providers.FoundUnknown, Evidence: "provider " + p.Name() + " has no way to look"}, nil
	}
	if err != nil {
		return providers.Located{}, err
	}
	return locator.Locate(ctx, in)
}

// maxAttempts bounds how far back attempts are read: a run plans a region fewer times.
const maxAttempts = 100

// attempts reads what the stack's applies have left since the last one that ended well, of any run, oldest first.
func (a *Activities) attempts(ctx context.Context, id stacks.StackID) ([]terraform.ApplyAttempt, error) {
	steps, err := a.Journal.Applies(ctx, id, maxAttempts)
	if err != nil {
		return nil, err
	}
	var out []terraform.ApplyAttempt
	for _, s := range steps {
		if endedWell(s.Outcome) {
			break
		}
		attempt, err := a.attempt(ctx, s.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, attempt)
	}
	slices.Reverse(out)
	return out, nil
}

// eventsAtOnce is how many events are read at a time.
const eventsAtOnce = 1000

// attempt reads what one apply step has left.
func (a *Activities) attempt(ctx context.Context, step string) (terraform.ApplyAttempt, error) {
	var out terraform.ApplyAttempt
	res, err := a.Journal.Result(ctx, step)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return out, fmt.Errorf("result of %s: %w", step, err)
	}
	out.Step, out.StoppedAt = step, res.StoppedAt
	if out.Replaces, err = a.replaces(ctx, step); err != nil {
		return out, err
	}
	for after := int64(0); ; {
		events, err := a.Journal.Events(ctx, step, after, eventsAtOnce)
		if err != nil {
			return out, err
		}
		for _, e := range events {
			after = e.Seq
			if line, err := terraform.ParseEvent(e.Payload); err == nil { // a line that was cut by a kill is no event
				out.Events = append(out.Events, line)
			}
		}
		if len(events) < eventsAtOnce {
			return out, nil
		}
	}
}

// recovered is what is known of an object before anything is decided of it.
func recovered(o terraform.InFlight, found providers.Located) catalog.Recovered {
	return catalog.Recovered{Address: o.Address, Type: o.Type, Action: o.Action, Begun: o.Begun, Found: string(found.State), Evidence: found.Evidence}
}

// replaces lists the addresses of what the plan of an apply step replaces; none where that plan is not kept any more.
func (a *Activities) replaces(ctx context.Context, id string) (out []string, err error) {
	step, err := a.Journal.Step(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("step %s: %w", id, err)
	}
	art, err := a.Journal.Artifact(ctx, step.Artifact)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("artifact of %s: %w", id, err)
	}
	for _, c := range art.Changes {
		if c.Action == stacks.ActionReplace {
			out = append(out, c.Address)
		}
	}
	return out, nil
}

// Recover decides what becomes of an object that was in flight, from what was found of it and what a person has said. It is pure.
func Recover(o terraform.InFlight, found providers.Located, said *catalog.Answer) catalog.Recovered {
	out := recovered(o, found)
	out.Answer = said
	if o.Action != stacks.ActionCreate {
		return out // it is in the state: the plan looks at it
	}
	if o.Beside && found.State != providers.FoundAbsent && (said == nil || said.Kind != catalog.AnswerAbsent) {
		out.Question = fmt.Sprintf("an apply was interrupted while it made %s beside the object that it replaces; what there is of the new one cannot be taken over: remove it, then say that it is absent: %s",
			o.Address, found.Evidence)
		return out
	}
	if o.Beside {
		return out
	}
	present, id := found.State == providers.FoundPresent, found.ImportID
	healthy := found.Healthy
	if found.State == providers.FoundForeign || found.State == providers.FoundUnknown {
		switch {
		case said == nil && found.State == providers.FoundForeign:
			out.Question = fmt.Sprintf("an apply was interrupted while it made %s, and something that is not ours is in its place: %s", o.Address, found.Evidence)
			return out
		case said == nil:
			out.Question = fmt.Sprintf("an apply was interrupted while it made %s, and it cannot be proven whether that exists: %s", o.Address, found.Evidence)
			return out
		}
		present, id, healthy = said.Kind == catalog.AnswerAdopt, said.ID, true
	}
	switch {
	case !present:
	case !o.InState:
		out.ImportID = id
	case o.Tainted && healthy:
		out.Untaint = true
	}
	return out
}
