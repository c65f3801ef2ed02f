package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Approve records a yes for exactly this digest of an awaiting run; ErrStaleDigest, ErrMoved (not awaiting any more). The same yes
// twice is one, also when the run has gone on with it.
func (c *Catalog) Approve(ctx context.Context, run, digest, actor string) (r Run, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		if r, err = c.readRun(tx, run); err != nil {
			return err
		}
		if works(r.Phase) && NeedsYes(r) && digest == r.PlanDigest {
			return nil
		}
		if r.Phase != stacks.PhaseAwaiting || r.Reason == ReasonQuestion {
			return fmt.Errorf("run %s is %s and waits for no yes: %w", run, cmp.Or(r.Reason, string(r.Phase)), ErrMoved)
		}
		if digest == "" || digest != r.PlanDigest {
			return fmt.Errorf("run %s has plan %s: %w", run, r.PlanDigest, ErrStaleDigest)
		}
		res, err := tx.Exec("INSERT INTO approvals (run, digest, actor, at) VALUES (?, ?, ?, ?) ON CONFLICT (run, digest) DO UPDATE SET dropped = 0, actor = excluded.actor, at = excluded.at, carried_from = '' WHERE approvals.dropped = 1",
			run, digest, actor, now().UnixMicro())
		if err != nil {
			return fmt.Errorf("approve run %s: %w", run, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if err := errors.Join(tx.Notify("run", run), tx.Notify("database", r.Namespace+"/"+r.Name)); err != nil {
			return err
		}
		return record(tx, Audit{Actor: actor, Verb: "approve", Subject: "run " + run, Detail: "plan " + digest, Namespace: r.Namespace, Name: r.Name, RunID: run})
	})
	return r, err
}

// Cancel asks a run to stop: one that is pending or awaiting ends at once, another gets Cancel set, and also is called in the same
// transaction (the journal's RequestCancel). ErrMoved when it has ended.
func (c *Catalog) Cancel(ctx context.Context, run, actor string, also func(tx *store.Tx) error) (r Run, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		if r, err = c.readRun(tx, run); err != nil {
			return err
		}
		if r.Phase.Ended() {
			return fmt.Errorf("run %s is %s: %w", run, r.Phase, ErrMoved)
		}
		first := !r.Cancel
		if _, err := tx.Exec("UPDATE runs SET cancel = 1 WHERE id = ?", run); err != nil {
			return fmt.Errorf("cancel run %s: %w", run, err)
		}
		if r.Phase == stacks.PhasePending || r.Phase == stacks.PhaseAwaiting {
			if err := c.end(tx, r, Move{To: stacks.PhaseCancelled, Reason: "Cancelled", Message: "cancelled by " + actor}); err != nil {
				return err
			}
		} else if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		if err := errors.Join(tx.Notify("run", run), tx.Notify("database", r.Namespace+"/"+r.Name)); err != nil {
			return err
		}
		if first {
			if err := record(tx, Audit{Actor: actor, Verb: "cancel", Subject: "run " + run, Namespace: r.Namespace, Name: r.Name, RunID: run}); err != nil {
				return err
			}
		}
		r, err = c.readRun(tx, run)
		return err
	})
	return r, err
}

// NextRun returns the run that the database's funnel must work on now, taking active_run by compare-and-set, or "" when there is
// none: the active run unless it has ended or awaits a yes that is not there, else the oldest that may go. Checks are not its
// business. The active run of an incarnation that is destroyed already comes first: only its own end is missing.
func (c *Catalog) NextRun(ctx context.Context, namespace, name string) (next string, err error) {
	// Most calls find nothing to change: they need no write lock.
	var same bool
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		next, same, err = c.nextRun(tx, namespace, name, false)
		return err
	})
	if err != nil || same {
		return next, err
	}
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		next, _, err = c.nextRun(tx, namespace, name, true)
		return err
	})
	return next, err
}

// nextRun chooses; same reports that the rows say so already. With take it writes the choice.
func (c *Catalog) nextRun(tx *store.Tx, namespace, name string, take bool) (next string, same bool, err error) {
	rows, err := tx.Query("SELECT "+databaseColumns+" FROM databases WHERE namespace = ? AND name = ? AND (destroyed_at IS NULL OR active_run <> '') ORDER BY created_at", namespace, name)
	if err != nil {
		return "", false, fmt.Errorf("next run of %s/%s: %w", namespace, name, err)
	}
	defer func() { _ = rows.Close() }()
	var incarnations []Database
	for rows.Next() {
		d, err := scanDatabase(rows)
		if err != nil {
			return "", false, err
		}
		incarnations = append(incarnations, d)
	}
	if err := rows.Err(); err != nil {
		return "", false, err
	}
	same = true
	for _, d := range incarnations {
		open, err := c.openRuns(tx, d.Incarnation)
		if err != nil {
			return "", false, err
		}
		kept := slices.DeleteFunc(slices.Clone(open), func(r Run) bool { return overtaken(r, open) })
		if len(kept) < len(open) {
			same = false
			for _, r := range open {
				if take && overtaken(r, open) {
					if err := c.end(tx, r, Move{To: stacks.PhaseSuperseded, Reason: "Superseded", Message: "a newer run took its place"}); err != nil {
						return "", false, err
					}
				}
			}
			if take {
				if d, err = incarnationOf(tx, d.Incarnation); err != nil {
					return "", false, err
				}
			}
		}
		kept, held, err := c.hold(tx, kept, take)
		if err != nil {
			return "", false, err
		}
		same = same && held
		if !held && take {
			if d, err = incarnationOf(tx, d.Incarnation); err != nil {
				return "", false, err
			}
		}
		if next, err = choose(tx, d, kept); err != nil {
			return "", false, err
		}
		if next != d.ActiveRun {
			same = false
			if take {
				if err := setDatabase(tx, d, "active_run = ?", next); err != nil {
					return "", false, err
				}
			}
		}
		if next != "" {
			break
		}
	}
	return next, same, nil
}

// overtaken reports whether a run that waits has a newer one behind it, which was submitted while it was still planning: an old
// plan that somebody approves late must not undo a newer one.
func overtaken(r Run, open []Run) bool {
	waits := r.Phase == stacks.PhasePending || r.Phase == stacks.PhaseAwaiting
	return waits && slices.ContainsFunc(open, func(o Run) bool { return o.Number > r.Number })
}

// choose picks among an incarnation's open runs, oldest first: one that works comes before all, then the active one, then the oldest that may go.
func choose(tx *store.Tx, d Database, open []Run) (string, error) {
	if i := slices.IndexFunc(open, func(r Run) bool { return works(r.Phase) }); i >= 0 {
		return open[i].ID, nil
	}
	next := ""
	for _, r := range open {
		if r.Phase == stacks.PhaseAwaiting {
			ok, err := covered(tx, r)
			if err != nil {
				return "", err
			}
			if !ok {
				continue
			}
		}
		if r.ID == d.ActiveRun {
			return r.ID, nil
		}
		if next == "" {
			next = r.ID
		}
	}
	return next, nil
}

// GateApply, within the transaction that takes the fence, answers whether this artifact may be applied now: its run is the active
// one, its phase is applying, a yes covers its digest (an approval of the run's digest, or Yes where nothing is dangerous), the state serial is the
// artifact's, no cancel; else ErrRefused with the reason.
func (c *Catalog) GateApply(ctx context.Context, tx *store.Tx, run, region, artifactDigest string, serial int64) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("region %s of run %s: %s: %w", region, run, fmt.Sprintf(format, args...), ErrRefused)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := c.readRun(tx, run)
	if errors.Is(err, ErrNotFound) {
		return refuse("there is no such run")
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(r.Regions, func(x RunRegion) bool { return x.Region == region })
	switch {
	case r.Kind == stacks.RunCheck:
		return refuse("a check applies nothing")
	case r.Cancel:
		return refuse("it was cancelled")
	case r.Phase != stacks.PhaseApplying:
		return refuse("it is %s", r.Phase)
	case i < 0:
		return refuse("it has no such region")
	case artifactDigest == "" || r.Regions[i].ArtifactDigest != artifactDigest:
		return refuse("its plan is %q, not %q", r.Regions[i].ArtifactDigest, artifactDigest)
	case r.Regions[i].StateSerial != serial:
		return refuse("its plan is of state %d, the state is %d", r.Regions[i].StateSerial, serial)
	}
	d, err := incarnationOf(tx, r.Incarnation)
	if err != nil {
		return err
	}
	return mayWork(tx, r, d)
}
