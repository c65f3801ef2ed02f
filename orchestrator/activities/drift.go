package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// The parts of a check, as their rows are called.
const (
	driftStackPart  = "stack/"
	driftInsidePart = "inside/"
	driftLinkPart   = "link/"
)

// driftLooks is how often a look is repeated that may have met a moment's trouble, before it counts.
const driftLooks = 3

// driftJob is what rows say about one part of a check.
type driftJob struct {
	check catalog.DriftCheck
	db    catalog.Database
	// spec is the effective spec of the revision that was applied last.
	spec stacks.Database
	// run stands for the check where a step wants a run: its ID is the check's, its number that of the newest run.
	run catalog.Run
}

// BeginDrift makes the row of a check, once, and says what there is to look at. Nothing where the database is gone, nothing was applied yet,
// or a run is at work: what it is about to change is not drift.
func (a *Activities) BeginDrift(ctx context.Context, in DriftInput) (DriftWork, error) {
	id := in.Check
	if id == "" {
		sum := sha256.Sum256([]byte(in.Execution))
		id = catalog.DriftID(in.Incarnation, hex.EncodeToString(sum[:4]))
	}
	check, err := a.Catalog.BeginDrift(ctx, catalog.DriftCheck{ID: id, Incarnation: in.Incarnation, Reason: in.Reason, Workflow: in.Workflow})
	if errors.Is(err, catalog.ErrNotFound) {
		return DriftWork{}, nil // its schedule goes with the reconciler's next look
	}
	if err != nil || check.EndedAt != nil {
		return DriftWork{}, err
	}
	if check.Workflow != in.Workflow {
		if err := a.Catalog.SetDriftWorkflow(ctx, check.ID, in.Workflow); err != nil {
			return DriftWork{}, err
		}
	}
	skip := func(why string) (DriftWork, error) {
		check.Outcome, check.Message = catalog.DriftSkipped, why
		return DriftWork{}, a.Catalog.EndDrift(ctx, check)
	}
	if check.Revision == 0 {
		return skip("nothing was applied yet")
	}
	run, err := a.Catalog.Disturbed(ctx, check.Incarnation, time.Now())
	if err != nil {
		return DriftWork{}, err
	}
	if run != "" {
		return skip("run " + run + " is at work")
	}
	j, err := a.loadDrift(ctx, check.ID)
	if err != nil {
		return DriftWork{}, err
	}
	if j.db.DestroyedAt != nil {
		return skip("the database is destroyed")
	}
	out := DriftWork{Check: check.ID}
	for _, r := range j.spec.Spec.Regions {
		out.Regions = append(out.Regions, RegionWork{Region: r.Name, Location: r.Location})
	}
	for _, l := range j.spec.Spec.Replication.Links {
		if !l.Drop {
			out.Links = append(out.Links, l.Name())
		}
	}
	return out, nil
}

// DriftLocations lists where the terraform of a check works, so that those queues are served.
func (a *Activities) DriftLocations(ctx context.Context, check string) ([]string, error) {
	j, err := a.loadDrift(ctx, check)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range j.spec.Spec.Regions {
		if !slices.Contains(out, r.Location) {
			out = append(out, r.Location)
		}
	}
	return out, nil
}

// loadDrift reads a check and what it is of.
func (a *Activities) loadDrift(ctx context.Context, id string) (driftJob, error) {
	check, err := a.Catalog.Drift(ctx, id)
	if err != nil {
		return driftJob{}, err
	}
	j := driftJob{check: check}
	if j.db, err = a.Catalog.Incarnation(ctx, check.Incarnation); err != nil {
		return j, err
	}
	rev, err := a.Catalog.Revision(ctx, check.Incarnation, max(check.Revision, 1))
	if err != nil {
		return j, err
	}
	j.spec = rev.Effective
	j.run = catalog.Run{
		ID: check.ID, Namespace: j.db.Namespace, Name: j.db.Name, Incarnation: check.Incarnation, Number: j.db.LastRun,
		Kind: stacks.RunCheck, Revision: check.Revision,
	}
	return j, nil
}

// driftDone reports whether a part of a check needs no look any more.
func (a *Activities) driftDone(ctx context.Context, j driftJob, part string) (bool, error) {
	if j.check.EndedAt != nil {
		return true, nil
	}
	parts, err := a.Catalog.DriftParts(ctx, j.check.ID)
	return slices.ContainsFunc(parts, func(p catalog.DriftPart) bool { return p.Part == part }), err
}

// putDrift stores what a look found. A check that has ended meanwhile needs it no more.
func (a *Activities) putDrift(ctx context.Context, j driftJob, p catalog.DriftPart) error {
	if p.Outcome == "" {
		p.Outcome = catalog.DriftClean
		if len(p.Drift) > 0 {
			p.Outcome = catalog.DriftDrifted
		}
	}
	err := a.Catalog.PutDriftPart(ctx, j.check.ID, p)
	if errors.Is(err, catalog.ErrMoved) {
		return nil
	}
	return err
}

// mayPass reports whether a look that met trouble should be repeated: it may have been a moment's.
func mayPass(ctx context.Context) bool {
	return activity.IsActivity(ctx) && activity.GetInfo(ctx).Attempt < driftLooks
}

// EndDrift joins what the looks of a check found, and starts a remedy where the spec asks for one. A check during which a run was at work
// says nothing: what moved may be the run's doing.
func (a *Activities) EndDrift(ctx context.Context, in DriftPartInput) error {
	j, err := a.loadDrift(ctx, in.Check)
	if err != nil {
		return err
	}
	newest, err := a.Catalog.Revision(ctx, j.check.Incarnation, 0)
	if err != nil {
		return err
	}
	if j.check.EndedAt == nil {
		ended, err := a.joinDrift(ctx, j, newest.Effective.Spec.Drift)
		if err != nil {
			return err
		}
		if err := a.Catalog.EndDrift(ctx, ended); err != nil {
			return err
		}
		a.Logger.Info("checked for drift", "check", ended.ID, "outcome", ended.Outcome, "found", ended.Found)
		if j.check, err = a.Catalog.Drift(ctx, in.Check); err != nil {
			return err
		}
	}
	return a.remediate(ctx, j.check, newest.Effective.Spec.Drift)
}

// joinDrift is the end of a check by what its parts say.
func (a *Activities) joinDrift(ctx context.Context, j driftJob, wish stacks.Drift) (catalog.DriftCheck, error) {
	check := j.check
	run, err := a.Catalog.Disturbed(ctx, check.Incarnation, check.StartedAt)
	if err != nil {
		return check, err
	}
	if run != "" {
		check.Outcome, check.Message = catalog.DriftSkipped, "run "+run+" was at work meanwhile; check again"
		return check, nil
	}
	parts, err := a.Catalog.DriftParts(ctx, check.ID)
	if err != nil {
		return check, err
	}
	var unknown, notes []string
	for _, want := range driftParts(j.spec) {
		i := slices.IndexFunc(parts, func(p catalog.DriftPart) bool { return p.Part == want })
		if i < 0 {
			_, name, _ := strings.Cut(want, "/")
			unknown = append(unknown, fmt.Sprintf("%s could not be looked at (%s)", want, a.lastError(ctx, check.ID, name)))
			continue
		}
		p := parts[i]
		if p.Outcome == catalog.DriftUnknown || p.Outcome == catalog.DriftSkipped {
			unknown = append(unknown, p.Part+": "+p.Message)
		} else if p.Message != "" {
			notes = append(notes, p.Part+": "+p.Message)
		}
		check.Drift, check.Unapplied = append(check.Drift, p.Drift...), append(check.Unapplied, p.Unapplied...)
	}
	rules, err := a.driftRules(ctx, check.Incarnation)
	if err != nil {
		return check, err
	}
	check.Drift, check.Found = stacks.JudgeDrift(check.Drift, wish.Ignore, rules)
	check.Print, check.Message = stacks.DriftPrint(check.Drift), strings.Join(append(unknown, notes...), "; ")
	switch {
	case check.Found > 0:
		check.Outcome = catalog.DriftDrifted
	case len(unknown) > 0:
		check.Outcome = catalog.DriftUnknown
	default:
		check.Outcome = catalog.DriftClean
	}
	return check, nil
}

// driftParts lists what a check of a database looks at.
func driftParts(spec stacks.Database) []string {
	var out []string
	for _, r := range spec.Spec.Regions {
		out = append(out, driftStackPart+r.Name, driftInsidePart+r.Name)
	}
	for _, l := range spec.Spec.Replication.Links {
		if !l.Drop {
			out = append(out, driftLinkPart+l.Name())
		}
	}
	return out
}

func (a *Activities) driftRules(ctx context.Context, incarnation string) ([]stacks.DriftRule, error) {
	rows, err := a.Catalog.DriftRules(ctx, incarnation)
	if err != nil {
		return nil, err
	}
	out := make([]stacks.DriftRule, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.DriftRule)
	}
	return out, nil
}
