package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks"
)

// How often one region is planned in one run before a person has to look. Transient failures and stale plans together are few; whatever
// kills terraform (a machine that is short of memory, an operator) may go on for long, and costs no more than another plan.
const (
	maxPlans         = 6
	maxPlansIfKilled = 30
)

// plansFor is how many plans a region may have that had this result.
func plansFor(res journal.Result) int {
	if res.Outcome == journal.OutcomeInterrupted {
		return maxPlansIfKilled
	}
	return maxPlans
}

// Step reads where a run stands and, where the phase that the workflow worked through is done, moves it on by compare-and-set,
// forward only. Whoever calls it twice gets the same answer: what is done is in the rows.
func (a *Activities) Step(ctx context.Context, in StepInput) (StepResult, error) {
	run, spec, err := a.runSpec(ctx, in.Run)
	if err != nil {
		return StepResult{}, err
	}
	if run.Phase == stacks.PhasePending || (in.Done != "" && run.Phase == in.Done) || run.Phase == stacks.PhaseAwaiting {
		run, err = a.advance(ctx, run, spec)
		if errors.Is(err, catalog.ErrMoved) { // somebody else moved it: theirs counts
			run, err = a.Catalog.Run(ctx, in.Run)
		}
		if err != nil {
			return StepResult{}, err
		}
	}
	return a.todo(ctx, run, spec)
}

// advance makes the one move that the rows allow now.
func (a *Activities) advance(ctx context.Context, run catalog.Run, spec stacks.Database) (catalog.Run, error) {
	links, err := a.links(ctx, run, spec)
	if err != nil {
		return run, err
	}
	switch run.Phase {
	case stacks.PhasePending:
		regions, err := a.regionsOf(ctx, run, spec)
		if err != nil {
			return run, err
		}
		if _, err := a.Catalog.SetRegions(ctx, run.ID, regions); err != nil {
			return run, err
		}
		return a.move(ctx, run, catalog.Move{To: stacks.PhasePlanning})
	case stacks.PhasePlanning:
		return a.afterPlanning(ctx, run, spec, links)
	case stacks.PhaseAwaiting:
		yes, err := a.Catalog.Approved(ctx, run.ID)
		if err != nil || !yes {
			return run, err
		}
		return a.move(ctx, run, catalog.Move{To: afterYes(links)})
	case stacks.PhaseUnlinking:
		return a.afterUnlinking(ctx, run, links)
	case stacks.PhaseApplying:
		return a.afterApplying(ctx, run, links)
	case stacks.PhaseLinking:
		return a.finish(ctx, run, links)
	}
	return run, nil
}

func afterYes(l linkWork) stacks.Phase {
	if len(l.remove) > 0 {
		return stacks.PhaseUnlinking
	}
	return stacks.PhaseApplying
}

// afterPlanning joins the regions' plans into one digest and finds out whether a yes is needed that is not there. A run that came back
// from applying leaves alone what is settled: regions that are ready or gone, and those that failed, which do not stop the others.
func (a *Activities) afterPlanning(ctx context.Context, run catalog.Run, spec stacks.Database, links linkWork) (catalog.Run, error) {
	again := run.Reason == catalog.ReasonReplan
	if run.Cancel {
		m := catalog.Move{To: stacks.PhaseCancelled, Reason: "Cancelled", Message: "cancelled while planning; nothing was changed"}
		if again {
			m.Message = "cancelled; " + a.story(run)
		}
		return a.stop(ctx, run, m)
	}
	var digests []stacks.RegionDigest
	todo, failed := 0, false
	for _, r := range run.Regions {
		switch r.Phase {
		case stacks.RegionPlanned, stacks.RegionUnchanged:
			todo++
		case stacks.RegionReady, stacks.RegionRemoved:
		case stacks.RegionFailed, stacks.RegionCancelled:
			failed = true
		default: // its plan is yet to come
			if len(r.Recovery.Questions()) == 0 {
				return run, nil
			}
			continue
		}
		digest := r.Digest()
		if run.Kind == stacks.RunCheck {
			digest = foundDigest(r)
		}
		digests = append(digests, stacks.RegionDigest{Region: r.Region, Digest: digest})
	}
	switch {
	case again && todo == 0 && len(run.Questions()) == 0:
		return a.fail(ctx, run, "RegionFailed", a.story(run))
	case failed && !again:
		return a.stop(ctx, run, catalog.Move{To: stacks.PhaseFailed, Reason: "PlanFailed", Message: a.story(run) + "; nothing was changed"})
	}
	if asked := run.Questions(); len(asked) > 0 {
		return a.move(ctx, run, catalog.Move{To: stacks.PhaseAwaiting, Reason: catalog.ReasonQuestion, Message: asked[0].Question})
	}
	var err error
	if run.Drops, err = a.drops(ctx, run, spec); err != nil {
		return run, err
	}
	takes, err := a.takeovers(ctx, run)
	if err != nil {
		return run, err
	}
	m := catalog.Move{To: stacks.PhaseAwaiting, PlanDigest: stacks.RunDigest(digests), NeedsApproval: needsApproval(run, takes), Drops: run.Drops}
	if run.Kind == stacks.RunCheck {
		m.To, m.NeedsApproval = stacks.PhaseDone, ""
		return a.stop(ctx, run, m)
	}
	asks, err := a.remedyAsks(ctx, run)
	if err != nil {
		return run, err
	}
	if len(asks) > 0 {
		if m.NeedsApproval != "" {
			asks = append(asks, m.NeedsApproval)
		}
		m.NeedsApproval = strings.Join(asks, "; ")
	}
	if refused := beyondRemedy(run); len(refused) > 0 {
		return a.stop(ctx, run, catalog.Move{To: stacks.PhaseFailed, Reason: "RemedyRefused", Message: refused[0].Summary + "; nothing was changed", Diagnostics: refused})
	}
	if refused := notAllowed(run, spec); len(refused) > 0 {
		m := catalog.Move{To: stacks.PhaseFailed, Reason: "ReplaceRefused", Message: refused[0].Summary + "; nothing was changed", Diagnostics: refused}
		if again {
			m.Message = refused[0].Summary + "; " + a.story(run)
		}
		return a.stop(ctx, run, m)
	}
	if refused := notTaken(run, takes); len(refused) > 0 {
		m := catalog.Move{To: stacks.PhaseFailed, Reason: "ImportRefused", Message: refused[0].Summary + "; nothing was changed", Diagnostics: refused}
		return a.stop(ctx, run, m)
	}
	if refused := shrunk(run, func(region string) []stacks.Growth { return a.growths(spec, region) }); len(refused) > 0 {
		m := catalog.Move{To: stacks.PhaseFailed, Reason: "ShrinkRefused", Message: refused[0].Summary + "; nothing was changed", Diagnostics: refused}
		if again {
			m.Message = refused[0].Summary + "; " + a.story(run)
		}
		return a.stop(ctx, run, m)
	}
	run, err = a.move(ctx, run, m)
	if err != nil {
		return run, err
	}
	return a.advance(ctx, run, spec)
}

// stop ends a run that changed nothing.
func (a *Activities) stop(ctx context.Context, run catalog.Run, m catalog.Move) (catalog.Run, error) {
	if m.To == stacks.PhaseFailed && m.Diagnostics == nil {
		m.Diagnostics = a.diagnostics(ctx, run)
	}
	return a.move(ctx, run, m)
}

// needsApproval names what a yes given in advance does not cover.
func needsApproval(run catalog.Run, takes map[string]stacks.Takeover) string {
	out := takesOver(run, takes)
	for _, r := range run.Regions {
		if r.Phase != stacks.RegionPlanned {
			continue // what it changed is done, or will not be
		}
		for _, c := range r.AllChanges() {
			if c.Dangerous() {
				out = append(out, fmt.Sprintf("%s %s in %s", danger(c.Action), c.Address, r.Region))
			}
		}
	}
	for _, c := range run.Drops {
		if c.Dangerous() {
			out = append(out, "drops "+c.Address)
		}
	}
	if run.Kind == stacks.RunDestroy && len(out) == 0 {
		out = append(out, fmt.Sprintf("removes %s/%s", run.Namespace, run.Name))
	}
	return strings.Join(out, "; ")
}

// afterUnlinking goes on to apply once the links that had to go are gone: what is still there could not be removed.
func (a *Activities) afterUnlinking(ctx context.Context, run catalog.Run, links linkWork) (catalog.Run, error) {
	switch {
	case run.Cancel:
		return a.move(ctx, run, catalog.Move{To: stacks.PhaseCancelled, Reason: "Cancelled", Message: "cancelled while removing links; no region was changed"})
	case len(links.remove) > 0:
		var left []string
		for _, l := range links.remove {
			left = append(left, fmt.Sprintf("link %s could not be removed (%s)", l.Name(), cmp.Or(links.rows[l.Name()].Message, unknownError(run.ID))))
		}
		return a.fail(ctx, run, "LinkFailed", strings.Join(left, ", ")+"; no region was changed")
	}
	return a.move(ctx, run, catalog.Move{To: stacks.PhaseApplying})
}

// afterApplying goes on to the links, back to planning where a plan went stale, or to the end.
func (a *Activities) afterApplying(ctx context.Context, run catalog.Run, links linkWork) (catalog.Run, error) {
	failed := false
	var again []catalog.RunRegion // plans that went stale, and applies that met transient trouble
	for _, r := range run.Regions {
		switch r.Phase {
		case stacks.RegionReady, stacks.RegionRemoved, stacks.RegionCancelled:
		case stacks.RegionFailed:
			failed = true
		case stacks.RegionPending:
			again = append(again, r)
		default: // still at work, after all
			return run, nil
		}
	}
	switch {
	case run.Cancel:
		return a.move(ctx, run, catalog.Move{To: stacks.PhaseCancelled, Reason: "Cancelled", Message: "cancelled; " + a.story(run)})
	case len(again) > 0:
		for _, r := range again {
			res, err := a.Journal.Result(ctx, r.ApplyStep)
			if err != nil && !errors.Is(err, journal.ErrNotFound) {
				return run, fmt.Errorf("result of %s: %w", r.ApplyStep, err)
			}
			if r.Plans >= plansFor(res) {
				return a.fail(ctx, run, "RegionFailed", fmt.Sprintf("%s was planned %d times and could not be applied: %s", r.Region, r.Plans, r.Message))
			}
		}
		return a.Catalog.Replan(ctx, run.ID, again[0].Region, again[0].Message)
	case run.Kind == stacks.RunApply && len(links.ensure) > 0:
		return a.move(ctx, run, catalog.Move{To: stacks.PhaseLinking})
	case failed:
		return a.fail(ctx, run, "RegionFailed", a.story(run))
	}
	return a.finish(ctx, run, links)
}

// finish ends a run whose work is done, as done or as failed.
func (a *Activities) finish(ctx context.Context, run catalog.Run, links linkWork) (catalog.Run, error) {
	for _, r := range run.Regions {
		if r.Phase == stacks.RegionFailed {
			return a.fail(ctx, run, "RegionFailed", a.story(run))
		}
	}
	if m, failed := unproven(run, links); failed && run.Phase == stacks.PhaseLinking {
		if run.Cancel {
			return a.move(ctx, run, catalog.Move{To: stacks.PhaseCancelled, Reason: "Cancelled", Message: "cancelled; " + m})
		}
		return a.fail(ctx, run, "LinkFailed", m)
	}
	if run.Kind == stacks.RunDestroy {
		if err := a.Catalog.RemoveDatabase(ctx, run.Incarnation); err != nil {
			return run, fmt.Errorf("removing %s/%s: %w", run.Namespace, run.Name, err)
		}
	}
	return a.move(ctx, run, catalog.Move{To: stacks.PhaseDone, Message: a.story(run)})
}

func (a *Activities) move(ctx context.Context, run catalog.Run, m catalog.Move) (catalog.Run, error) {
	m.From = run.Phase
	moved, err := a.Catalog.MoveRun(ctx, run.ID, m)
	if err == nil {
		a.Logger.Info("run moved", "run", run.ID, "from", m.From, "to", m.To, "reason", m.Reason)
	}
	return moved, err
}

// fail ends a run with the diagnostics of its regions, sorted by region.
func (a *Activities) fail(ctx context.Context, run catalog.Run, reason, message string) (catalog.Run, error) {
	return a.move(ctx, run, catalog.Move{To: stacks.PhaseFailed, Reason: reason, Message: message, Diagnostics: a.diagnostics(ctx, run)})
}

// diagnostics collects what terraform said of the regions that failed.
func (a *Activities) diagnostics(ctx context.Context, run catalog.Run) []stacks.Diagnostic {
	var out []stacks.Diagnostic
	for _, r := range run.Regions {
		if r.Phase != stacks.RegionFailed {
			continue
		}
		found := false
		for _, step := range []string{r.ApplyStep, r.PlanStep} {
			if step == "" {
				continue
			}
			res, err := a.Journal.Result(ctx, step)
			if err != nil || res.Outcome != journal.OutcomeFailed {
				continue
			}
			for _, d := range res.Diagnostics {
				d.Field = "region " + r.Region
				out = append(out, d)
				found = true
			}
			break
		}
		if !found {
			out = append(out, stacks.Diagnostic{Severity: stacks.SeverityError, Summary: r.Message, Field: "region " + r.Region})
		}
	}
	return out
}

// story says what stands and what does not, region by region.
func (a *Activities) story(run catalog.Run) string {
	parts := make([]string, 0, len(run.Regions))
	for _, r := range run.Regions {
		s := fmt.Sprintf("%s is %s", r.Region, r.Phase)
		if r.Message != "" && r.Phase != stacks.RegionReady {
			s += " (" + r.Message + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// regionsOf lists what a run works on: the spec's regions, and those that have a stack or a placement and are in the spec no more.
func (a *Activities) regionsOf(ctx context.Context, run catalog.Run, spec stacks.Database) ([]catalog.RunRegion, error) {
	heads, err := a.Journal.Heads(ctx, run.Incarnation)
	if err != nil {
		return nil, fmt.Errorf("heads of %s: %w", run.Incarnation, err)
	}
	placed, err := a.Catalog.Placed(ctx, run.Incarnation)
	if err != nil {
		return nil, err
	}
	var out []catalog.RunRegion
	have := map[string]bool{}
	add := func(region string, destroy bool) {
		if !have[region] {
			have[region] = true
			out = append(out, catalog.RunRegion{Region: region, Phase: stacks.RegionPending, Destroy: destroy})
		}
	}
	if run.Kind != stacks.RunDestroy {
		for _, r := range spec.Spec.Regions {
			add(r.Name, false)
		}
	}
	if run.Remedy != "" { // it destroys nothing: a region that a newer revision made is none of its business
		heads, placed = nil, nil
	}
	for _, h := range heads {
		add(h.Stack.Region, true)
	}
	for _, id := range placed {
		add(id.Region, true)
	}
	slices.SortFunc(out, func(x, y catalog.RunRegion) int { return strings.Compare(x.Region, y.Region) })
	return out, nil
}
