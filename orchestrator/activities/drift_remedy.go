package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// What keeps remedies that nobody asked for from fighting whoever makes the drift: the same drift is put back at once, after 10 minutes, and
// after 30 more; then a person has to look. The bound on all of them together is for drift that looks a bit different each time.
const (
	remedyMemory  = 24 * time.Hour
	remedyBackoff = 10 * time.Minute
	sameRemedies  = 3
	allRemedies   = 12
)

// actorDrift is who asks for a remedy that the spec asks for.
const actorDrift = "spec.drift"

// remediate starts a remedy of a check that ended, where the spec asks for it and nothing speaks against it; why not is in the check's message.
func (a *Activities) remediate(ctx context.Context, check catalog.DriftCheck, wish stacks.Drift) error {
	if wish.Action != stacks.DriftRemediate || check.Reason == catalog.DriftAsked || check.Outcome != catalog.DriftDrifted || check.Remedy != "" {
		return nil
	}
	history, err := a.Catalog.RemediesOf(ctx, check.Incarnation, time.Now().Add(-remedyMemory))
	if err != nil {
		return err
	}
	if why := noRemedy(check, history, time.Now()); why != "" {
		return a.Catalog.NoteDrift(ctx, check.ID, "not put back by itself: "+why)
	}
	run, err := a.Catalog.SubmitRemedy(ctx, catalog.RemedyInput{Check: check.ID, Yes: true, Actor: actorDrift})
	if errors.Is(err, catalog.ErrRefused) {
		return a.Catalog.NoteDrift(ctx, check.ID, "not put back by itself: "+err.Error())
	}
	if err == nil {
		a.Logger.Info("drift is put back", "check", check.ID, "run", run.ID)
	}
	return err
}

// noRemedy says why drift is not put back without a person, "" where it is. It is pure.
func noRemedy(check catalog.DriftCheck, history []catalog.DriftCheck, now time.Time) string {
	for _, i := range check.Drift {
		if i.Ignored == "" && (i.Replaces || i.Kind == stacks.DriftExtra) {
			return i.Key() + " could only be put back by destroying something"
		}
		if i.Ignored == "" && i.Grown {
			return i.Key() + " cannot be lowered: write what it is into the spec, or accept it"
		}
	}
	same := slices.DeleteFunc(slices.Clone(history), func(h catalog.DriftCheck) bool { return h.Print != check.Print })
	if len(same) >= sameRemedies {
		return fmt.Sprintf("the same drift was put back %d times within a day and came back", len(same))
	}
	if len(same) > 0 {
		wait := remedyBackoff
		for range len(same) - 1 {
			wait *= 3
		}
		if past := now.Sub(same[0].StartedAt); past < wait {
			return fmt.Sprintf("the same drift was put back %s ago; again after %s", past.Round(time.Second), wait)
		}
	}
	if len(history) >= allRemedies {
		return fmt.Sprintf("drift was put back %d times within a day", len(history))
	}
	return ""
}

// beyondRemedy is what a remedy's plan does that no remedy may: it destroys, replaces or forgets nothing. It is pure.
func beyondRemedy(run catalog.Run) []stacks.Diagnostic {
	var out []stacks.Diagnostic
	if run.Remedy == "" {
		return nil
	}
	for _, r := range run.Regions {
		if r.Phase != stacks.RegionPlanned {
			continue
		}
		for _, c := range r.Changes {
			switch c.Action {
			case stacks.ActionDelete, stacks.ActionReplace, stacks.ActionForget:
				if strings.HasPrefix(c.Address, "output.") {
					continue
				}
				out = append(out, stacks.Diagnostic{
					Severity: stacks.SeverityError, Rule: "drift.destroys", Field: "region " + r.Region, Address: c.Address,
					Summary: fmt.Sprintf("putting the drift back %s %s in %s, which a remediation never does", danger(c.Action), c.Address, r.Region),
					Next:    "look at it with meridian plan, and apply the spec itself if that is what you want",
				})
			}
		}
	}
	return out
}

// remedyAsks names what of a remedy only a person may say yes to: data that is gone is not brought back by making its place anew, and what
// somebody said to ignore is not undone in passing.
func (a *Activities) remedyAsks(ctx context.Context, run catalog.Run) ([]string, error) {
	if run.Remedy == "" {
		return nil, nil
	}
	check, err := a.Catalog.Drift(ctx, run.Remedy)
	if err != nil {
		return nil, err
	}
	newest, err := a.Catalog.Revision(ctx, run.Incarnation, 0)
	if err != nil {
		return nil, err
	}
	rules, err := a.driftRules(ctx, run.Incarnation)
	if err != nil {
		return nil, err
	}
	return asksOf(run, check, newest.Effective.Spec.Drift.Ignore, rules), nil
}

// asksOf is remedyAsks on values. It is pure.
func asksOf(run catalog.Run, check catalog.DriftCheck, ignore []string, rules []stacks.DriftRule) []string {
	var out []string
	add := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, r := range run.Regions {
		if r.Phase != stacks.RegionPlanned {
			continue
		}
		for _, c := range r.Changes {
			if c.DataBearing && c.Action == stacks.ActionCreate {
				add("makes %s in %s anew, empty: its data is gone", c.Address, r.Region)
			}
		}
		items, _ := stacks.FindDrift(stacks.DriftInput{Region: r.Region, Settled: true, Plan: r.Changes})
		judged, _ := stacks.JudgeDrift(items, ignore, rules)
		for _, i := range judged {
			switch {
			case i.Accepted:
				add("undoes what %s accepted: %s", i.Ignored, i.Key())
			case i.Ignored != "":
				add("undoes what %s says to ignore: %s", i.Ignored, i.Key())
			}
		}
	}
	for _, i := range check.Drift {
		if i.Kind == stacks.DriftMissing && i.DataBearing && i.Ignored == "" {
			add("makes %s in %s anew, empty: its data is gone", i.Subject, i.Region)
		}
	}
	return out
}
