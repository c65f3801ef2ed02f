package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"meridian/persistence/store"
)

// PruneInput says which runs are old enough.
type PruneInput struct {
	// Runs is how many of each database's newest runs keep everything, Before when the others must have ended.
	Runs   int
	Before time.Time
	// After is where the look before this one has stopped: the zero value begins anew.
	After PruneCursor
	// Limit bounds one look.
	Limit int
}

// PruneCursor is a place in the list of runs that have ended.
type PruneCursor struct {
	EndedAt time.Time
	Run     string
}

// PruneRuns removes the log of runs that are old enough and that nobody works on, a look at a time, where also (the journal's PruneRuns), which is
// called in the same transaction, removed the rest and returned them. The runs themselves, with what they changed, stay, as do their approvals and
// the audit. It returns how many went, and where to go on; more is false at the end of the list.
func (c *Catalog) PruneRuns(ctx context.Context, in PruneInput, also func(tx *store.Tx, runs []string) (gone []string, err error)) (n int, next PruneCursor, more bool, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		runs, last, err := oldRuns(tx, in)
		if err != nil {
			return err
		}
		n, next, more = 0, last, len(runs) == in.Limit
		if len(runs) == 0 {
			return nil
		}
		gone, err := also(tx, runs)
		if err != nil {
			return err
		}
		n = len(gone)
		at := now().UnixMicro()
		for _, id := range gone {
			if _, err := tx.Exec("DELETE FROM run_log WHERE run = ?", id); err != nil {
				return fmt.Errorf("prune the log of run %s: %w", id, err)
			}
			if _, err := tx.Exec("UPDATE runs SET pruned_at = ? WHERE id = ?", at, id); err != nil {
				return fmt.Errorf("prune run %s: %w", id, err)
			}
		}
		return nil
	})
	return n, next, more, err
}

// oldRuns lists runs that are old enough, in the order in which they ended.
func oldRuns(tx *store.Tx, in PruneInput) (ids []string, last PruneCursor, err error) {
	after := int64(0)
	if !in.After.EndedAt.IsZero() {
		after = in.After.EndedAt.UnixMicro()
	}
	rows, err := tx.Query(`SELECT r.id, r.ended_at FROM runs r WHERE r.pruned_at IS NULL AND r.ended_at IS NOT NULL AND r.ended_at < ?
		AND (r.ended_at > ? OR r.ended_at = ? AND r.id > ?)
		AND EXISTS (SELECT 1 FROM runs n WHERE n.incarnation = r.incarnation AND n.number >= r.number + ?)
		AND NOT EXISTS (SELECT 1 FROM databases d WHERE d.active_run = r.id)
		ORDER BY r.ended_at, r.id LIMIT ?`, in.Before.UnixMicro(), after, after, in.After.Run, in.Runs, in.Limit)
	if err != nil {
		return nil, last, fmt.Errorf("old runs: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var ended int64
		if err := rows.Scan(&last.Run, &ended); err != nil {
			return nil, last, err
		}
		last.EndedAt = fromMicros(ended)
		ids = append(ids, last.Run)
	}
	return ids, last, rows.Err()
}

// PrunedAt is when the log of a run was removed, nil where it was not.
func (c *Catalog) PrunedAt(ctx context.Context, run string) (at *time.Time, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		var pruned sql.NullInt64
		err := tx.QueryRow("SELECT pruned_at FROM runs WHERE id = ?", run).Scan(&pruned)
		at = optionalTime(pruned)
		return notFound(err)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", run, err)
	}
	return at, nil
}
