package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// DriftOutcome is how a check for drift ended.
type DriftOutcome string

// The outcomes of a check and of its parts. Unknown: what was found counts, and something could not be looked at. Skipped: a run was at
// work, so what was seen says nothing.
const (
	DriftClean   DriftOutcome = "clean"
	DriftDrifted DriftOutcome = "drifted"
	DriftUnknown DriftOutcome = "unknown"
	DriftSkipped DriftOutcome = "skipped"
)

// Why a check was made.
const (
	DriftScheduled = "schedule"
	DriftAsked     = "asked"
	DriftAfterRun  = "after a run"
)

// DriftCheck is one look at a database for drift. It is no run: it takes no turn and has no number.
type DriftCheck struct {
	ID          string
	Incarnation string
	// Reason is DriftScheduled, DriftAsked or DriftAfterRun; Actor who asked.
	Reason, Actor string
	// Workflow is the ID of the workflow that works on it, "" until one does.
	Workflow string
	// Revision is the one that was applied last.
	Revision  int64
	StartedAt time.Time
	EndedAt   *time.Time
	Outcome   DriftOutcome
	// Found counts what is drift, without what is ignored; Print is its fingerprint (stacks.DriftPrint).
	Found int
	Print string
	// Remedy is the run that puts it back, where there is one.
	Remedy    string
	Message   string
	Drift     []stacks.DriftItem
	Unapplied []stacks.DriftItem
}

// DriftPart is what one look at one part of a database found.
type DriftPart struct {
	Part    string
	Outcome DriftOutcome
	// Serial is that of the region's state that was looked at.
	Serial    int64
	Message   string
	Drift     []stacks.DriftItem
	Unapplied []stacks.DriftItem
}

// driftText is what of a check or a part is sealed: it holds values of the world, and words of clouds and databases.
type driftText struct {
	Serial    int64              `json:"serial,omitempty"`
	Message   string             `json:"message,omitempty"`
	Drift     []stacks.DriftItem `json:"drift,omitempty"`
	Unapplied []stacks.DriftItem `json:"unapplied,omitempty"`
}

const driftColumns = `id, incarnation, reason, actor, workflow, revision, started_at, ended_at, outcome, found, print, remedy, sealed`

func (c *Catalog) scanDrift(row scanner) (DriftCheck, error) {
	var d DriftCheck
	var started int64
	var ended sql.NullInt64
	var sealed []byte
	err := row.Scan(&d.ID, &d.Incarnation, &d.Reason, &d.Actor, &d.Workflow, &d.Revision, &started, &ended, &d.Outcome, &d.Found, &d.Print, &d.Remedy, &sealed)
	if err != nil {
		return DriftCheck{}, notFound(err)
	}
	var text driftText
	if err := c.unsealJSON(sealed, rowContext("drift_checks", d.ID), &text); err != nil {
		return DriftCheck{}, err
	}
	d.StartedAt, d.EndedAt = fromMicros(started), optionalTime(ended)
	d.Message, d.Drift, d.Unapplied = text.Message, text.Drift, text.Unapplied
	return d, nil
}

// BeginDrift stores a check that begins, once: the first of an ID wins and is returned. Without an ID it gets one. ErrNotFound where the
// database is there no more.
func (c *Catalog) BeginDrift(ctx context.Context, d DriftCheck) (out DriftCheck, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		if d.ID != "" {
			if out, err = c.readDrift(tx, d.ID); !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		db, err := incarnationOf(tx, d.Incarnation)
		if err != nil {
			return err
		}
		if db.DestroyedAt != nil {
			return fmt.Errorf("database %s/%s is destroyed: %w", db.Namespace, db.Name, ErrNotFound)
		}
		fresh := d
		if fresh.ID == "" {
			fresh.ID = DriftID(d.Incarnation, newID())
		}
		fresh.Revision = db.Applied
		sealed, err := c.sealJSON(driftText{}, rowContext("drift_checks", fresh.ID))
		if err != nil {
			return err
		}
		_, err = tx.Exec("INSERT INTO drift_checks (id, incarnation, reason, actor, workflow, revision, started_at, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			fresh.ID, fresh.Incarnation, fresh.Reason, fresh.Actor, fresh.Workflow, fresh.Revision, now().UnixMicro(), sealed)
		if err != nil {
			return fmt.Errorf("begin check %s: %w", fresh.ID, err)
		}
		if fresh.Reason == DriftAsked {
			err := record(tx, Audit{Actor: d.Actor, Verb: "check drift", Subject: "check " + fresh.ID, Namespace: db.Namespace, Name: db.Name})
			if err != nil {
				return err
			}
		}
		if out, err = c.readDrift(tx, fresh.ID); err != nil {
			return err
		}
		return errors.Join(tx.Notify("check", out.ID), tx.Notify("database", db.Namespace+"/"+db.Name))
	})
	return out, err
}

// DriftID is a check's ID: it cannot be a run's.
func DriftID(incarnation, unique string) string { return incarnation + "-drift-" + unique }

func (c *Catalog) readDrift(tx *store.Tx, id string) (DriftCheck, error) {
	d, err := c.scanDrift(tx.QueryRow("SELECT "+driftColumns+" FROM drift_checks WHERE id = ?", id))
	if err != nil {
		return DriftCheck{}, fmt.Errorf("check %s: %w", id, err)
	}
	return d, nil
}

// Drift reads one check; ErrNotFound.
func (c *Catalog) Drift(ctx context.Context, id string) (d DriftCheck, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		d, err = c.readDrift(tx, id)
		return err
	})
	return d, err
}

// Drifts lists up to limit checks of an incarnation, newest first; limit 0 is all.
func (c *Catalog) Drifts(ctx context.Context, incarnation string, limit int) ([]DriftCheck, error) {
	q, args := "SELECT "+driftColumns+" FROM drift_checks WHERE incarnation = ? ORDER BY started_at DESC, id DESC", []any{incarnation}
	if limit > 0 {
		q, args = q+" LIMIT ?", append(args, limit)
	}
	return c.queryDrift(ctx, q, args...)
}

// OpenDrifts lists the checks that have not ended, of every database.
func (c *Catalog) OpenDrifts(ctx context.Context) ([]DriftCheck, error) {
	return c.queryDrift(ctx, "SELECT "+driftColumns+" FROM drift_checks WHERE ended_at IS NULL ORDER BY started_at")
}

// LastDrift reads the newest check of an incarnation that saw something: one that was skipped says nothing. ErrNotFound.
func (c *Catalog) LastDrift(ctx context.Context, incarnation string) (d DriftCheck, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		d, err = c.scanDrift(tx.QueryRow("SELECT "+driftColumns+` FROM drift_checks WHERE incarnation = ? AND ended_at IS NOT NULL AND outcome <> ?
			ORDER BY started_at DESC, id DESC LIMIT 1`, incarnation, DriftSkipped))
		return err
	})
	if err != nil {
		return d, fmt.Errorf("last check of %s: %w", incarnation, err)
	}
	return d, nil
}

func (c *Catalog) queryDrift(ctx context.Context, q string, args ...any) (out []DriftCheck, err error) {
	out, err = collect(ctx, c.st, c.scanDrift, q, args...)
	if err != nil {
		return nil, fmt.Errorf("list checks: %w", err)
	}
	return out, nil
}

// SetDriftWorkflow writes down which workflow works on a check.
func (c *Catalog) SetDriftWorkflow(ctx context.Context, id, workflow string) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("UPDATE drift_checks SET workflow = ? WHERE id = ?", workflow, id); err != nil {
			return fmt.Errorf("check %s: %w", id, err)
		}
		return nil
	})
}

// PutDriftPart stores what a look at a part found, once: the first wins. ErrMoved where the check has ended.
func (c *Catalog) PutDriftPart(ctx context.Context, check string, p DriftPart) error {
	sealed, err := c.sealJSON(driftText{Serial: p.Serial, Message: p.Message, Drift: p.Drift, Unapplied: p.Unapplied}, rowContext("drift_parts", check, p.Part))
	if err != nil {
		return err
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := c.readDrift(tx, check)
		if err != nil {
			return err
		}
		if d.EndedAt != nil {
			return fmt.Errorf("check %s has ended: %w", check, ErrMoved)
		}
		_, err = tx.Exec("INSERT INTO drift_parts (drift_check, part, outcome, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (drift_check, part) DO NOTHING", check, p.Part, p.Outcome, sealed)
		if err != nil {
			return fmt.Errorf("part %s of check %s: %w", p.Part, check, err)
		}
		return nil
	})
}

// DriftParts lists what the looks of a check found, by part.
func (c *Catalog) DriftParts(ctx context.Context, check string) (out []DriftPart, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT part, outcome, sealed FROM drift_parts WHERE drift_check = ? ORDER BY part", check)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p DriftPart
			var sealed []byte
			if err := rows.Scan(&p.Part, &p.Outcome, &sealed); err != nil {
				return err
			}
			var text driftText
			if err := c.unsealJSON(sealed, rowContext("drift_parts", check, p.Part), &text); err != nil {
				return err
			}
			p.Serial, p.Message, p.Drift, p.Unapplied = text.Serial, text.Message, text.Drift, text.Unapplied
			out = append(out, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("parts of check %s: %w", check, err)
	}
	return out, nil
}

// EndDrift ends a check with what it found, once: one that has ended stays as it is. Its parts are in it from then on.
func (c *Catalog) EndDrift(ctx context.Context, d DriftCheck) error {
	sealed, err := c.sealJSON(driftText{Message: d.Message, Drift: d.Drift, Unapplied: d.Unapplied}, rowContext("drift_checks", d.ID))
	if err != nil {
		return err
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		old, err := c.readDrift(tx, d.ID)
		if err != nil || old.EndedAt != nil {
			return err
		}
		_, err = tx.Exec("UPDATE drift_checks SET ended_at = ?, outcome = ?, found = ?, print = ?, sealed = ? WHERE id = ?",
			now().UnixMicro(), d.Outcome, d.Found, d.Print, sealed, d.ID)
		if err != nil {
			return fmt.Errorf("end check %s: %w", d.ID, err)
		}
		if _, err := tx.Exec("DELETE FROM drift_parts WHERE drift_check = ?", d.ID); err != nil {
			return fmt.Errorf("end check %s: %w", d.ID, err)
		}
		db, err := incarnationOf(tx, d.Incarnation)
		if err != nil {
			return err
		}
		return tx.Notify("database", db.Namespace+"/"+db.Name)
	})
}

// NoteDrift adds a sentence to the message of a check that ended, unless it stands there.
func (c *Catalog) NoteDrift(ctx context.Context, id, note string) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := c.readDrift(tx, id)
		if err != nil || strings.Contains(d.Message, note) {
			return err
		}
		if d.Message != "" {
			note = d.Message + "; " + note
		}
		sealed, err := c.sealJSON(driftText{Message: note, Drift: d.Drift, Unapplied: d.Unapplied}, rowContext("drift_checks", id))
		if err != nil {
			return err
		}
		if _, err := tx.Exec("UPDATE drift_checks SET sealed = ? WHERE id = ?", sealed, id); err != nil {
			return fmt.Errorf("check %s: %w", id, err)
		}
		return nil
	})
}
