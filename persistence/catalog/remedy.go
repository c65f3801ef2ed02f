package catalog

import (
	"context"
	"fmt"
	"slices"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// RemedyInput asks for a run that puts drift back.
type RemedyInput struct {
	Check string
	// Yes covers what is not dangerous, as with a submission.
	Yes   bool
	Actor string
}

// SubmitRemedy stores an apply run of the revision that was applied last, for the drift of a check, and returns it; one for the same check
// that is still open is returned instead. ErrRefused, saying why, while another run is open (its end changes what there is to put back),
// before anything was applied, and where the apply of a newer revision stopped in the middle: putting back the old one would undo half of it.
func (c *Catalog) SubmitRemedy(ctx context.Context, in RemedyInput) (run Run, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		check, err := c.readDrift(tx, in.Check)
		if err != nil {
			return err
		}
		if check.Remedy != "" {
			if run, err = c.readRun(tx, check.Remedy); err != nil || !run.Phase.Ended() {
				return err
			}
			return fmt.Errorf("run %s was for check %s and is %s, check again: %w", run.ID, check.ID, run.Phase, ErrRefused)
		}
		d, err := incarnationOf(tx, check.Incarnation)
		if err != nil {
			return err
		}
		if err := c.mayRemedy(tx, d, check); err != nil {
			return err
		}
		open, err := c.openRuns(tx, d.Incarnation)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return fmt.Errorf("run %s of %s/%s is open: %w", open[0].ID, d.Namespace, d.Name, ErrRefused)
		}
		if run, err = c.newRun(tx, d, Run{Kind: stacks.RunApply, Revision: d.Applied, Yes: in.Yes, Actor: in.Actor, Remedy: check.ID}); err != nil {
			return err
		}
		if _, err := tx.Exec("UPDATE drift_checks SET remedy = ? WHERE id = ?", run.ID, check.ID); err != nil {
			return fmt.Errorf("remedy of check %s: %w", check.ID, err)
		}
		if err := tx.Notify("database", d.Namespace+"/"+d.Name); err != nil {
			return err
		}
		return record(tx, Audit{Actor: in.Actor, Verb: "remediate", Subject: "run " + run.ID, Detail: "check " + check.ID, Namespace: d.Namespace, Name: d.Name, RunID: run.ID})
	})
	return run, err
}

func (c *Catalog) mayRemedy(tx *store.Tx, d Database, check DriftCheck) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%s/%s: %s: %w", d.Namespace, d.Name, fmt.Sprintf(format, args...), ErrRefused)
	}
	if err := mayApply(tx); err != nil {
		return err
	}
	switch {
	case d.DestroyedAt != nil:
		return refuse("it is destroyed")
	case check.EndedAt == nil:
		return refuse("check %s has not ended", check.ID)
	case check.Revision != d.Applied || d.Applied == 0:
		return refuse("revision %d was applied since check %s", d.Applied, check.ID)
	case d.Phase != DatabaseDegraded: // what ended last ended well
		return nil
	}
	newer, err := c.queryRuns(tx, "SELECT "+runColumns+" FROM runs WHERE incarnation = ? AND kind = ? AND revision > ? AND ended_at IS NOT NULL ORDER BY number DESC",
		d.Incarnation, stacks.RunApply, d.Applied)
	if err != nil {
		return err
	}
	for _, r := range newer {
		if halfway(r) {
			return refuse("the apply of revision %d stopped in the middle", r.Revision)
		}
	}
	return nil
}

// halfway reports whether a run that did not end well had begun to apply.
func halfway(r Run) bool {
	return slices.ContainsFunc(r.Regions, func(x RunRegion) bool {
		return x.Plans > 0 || x.ApplyStep != "" || x.Phase == stacks.RegionWaiting || x.Phase == stacks.RegionReady || x.Phase == stacks.RegionRemoved
	})
}

// RemediesOf lists the remedies that were begun for an incarnation since a moment, newest first: their checks, with fingerprints.
func (c *Catalog) RemediesOf(ctx context.Context, incarnation string, since time.Time) ([]DriftCheck, error) {
	return c.queryDrift(ctx, "SELECT "+driftColumns+" FROM drift_checks WHERE incarnation = ? AND remedy <> '' AND started_at >= ? ORDER BY started_at DESC, id DESC",
		incarnation, since.UnixMicro())
}

// Disturbed names a run of an incarnation that worked at some time since a moment, or works now; "" where none did: what was seen meanwhile
// may be its doing.
func (c *Catalog) Disturbed(ctx context.Context, incarnation string, since time.Time) (run string, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		run = ""
		runs, err := c.queryRuns(tx, "SELECT "+runColumns+" FROM runs WHERE incarnation = ? AND kind <> ? AND (ended_at IS NULL OR ended_at >= ?) ORDER BY number",
			incarnation, stacks.RunCheck, since.UnixMicro())
		if err != nil {
			return err
		}
		for _, r := range runs {
			if works(r.Phase) || r.EndedAt != nil && touched(r) {
				run = r.ID
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("runs of %s: %w", incarnation, err)
	}
	return run, nil
}

// touched reports whether a run that ended came so far that it may have changed the world.
func touched(r Run) bool {
	if r.Phase == stacks.PhaseDone {
		return true
	}
	for _, x := range r.Regions {
		switch x.Phase {
		case stacks.RegionPending, stacks.RegionPlanning, stacks.RegionPlanned, stacks.RegionUnchanged:
		default:
			return true
		}
	}
	return false
}

// DueAgain lists the databases whose newest check found drift and that an apply was done for since: what the check says is old.
func (c *Catalog) DueAgain(ctx context.Context) (out []string, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(`SELECT d.incarnation FROM drift_checks k JOIN databases d ON d.incarnation = k.incarnation
			WHERE d.destroyed_at IS NULL AND k.found > 0 AND k.ended_at IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM drift_checks n WHERE n.incarnation = k.incarnation AND n.started_at > k.started_at AND n.outcome <> ?)
			AND EXISTS (SELECT 1 FROM runs r WHERE r.incarnation = k.incarnation AND r.kind = ? AND r.phase = ? AND r.ended_at > k.started_at)
			AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.incarnation = k.incarnation AND r.kind <> ? AND r.ended_at IS NULL)
			ORDER BY d.incarnation`, DriftSkipped, stacks.RunApply, stacks.PhaseDone, stacks.RunCheck)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var incarnation string
			if err := rows.Scan(&incarnation); err != nil {
				return err
			}
			out = append(out, incarnation)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("databases to check again: %w", err)
	}
	return out, nil
}
