package catalog

import (
	"context"
	"fmt"
	"time"

	"meridian/persistence/store"
)

// PruneDrift removes ended checks that began before a moment, except the newest of each living database, and what was logged of them; also is
// called with the IDs in the same transaction (the journal's ForgetSteps). At most limit at a time; it returns how many went.
func (c *Catalog) PruneDrift(ctx context.Context, before time.Time, limit int, also func(tx *store.Tx, ids []string) error) (n int, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		ids, err := oldDrift(tx, before, limit)
		if err != nil {
			return err
		}
		n = len(ids)
		for _, id := range ids {
			for _, q := range []string{"DELETE FROM drift_parts WHERE drift_check = ?", "DELETE FROM run_log WHERE run = ?", "DELETE FROM drift_checks WHERE id = ?"} {
				if _, err := tx.Exec(q, id); err != nil {
					return fmt.Errorf("prune check %s: %w", id, err)
				}
			}
		}
		if n == 0 {
			return nil
		}
		return also(tx, ids)
	})
	return n, err
}

func oldDrift(tx *store.Tx, before time.Time, limit int) (ids []string, err error) {
	rows, err := tx.Query(`SELECT k.id FROM drift_checks k WHERE k.ended_at IS NOT NULL AND k.started_at < ? AND (
		EXISTS (SELECT 1 FROM drift_checks n WHERE n.incarnation = k.incarnation AND n.started_at > k.started_at AND n.ended_at IS NOT NULL AND n.outcome <> ?)
		OR NOT EXISTS (SELECT 1 FROM databases d WHERE d.incarnation = k.incarnation AND d.destroyed_at IS NULL)) ORDER BY k.started_at LIMIT ?`,
		before.UnixMicro(), DriftSkipped, limit)
	if err != nil {
		return nil, fmt.Errorf("old checks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
