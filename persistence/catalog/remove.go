package catalog

import (
	"context"
	"fmt"

	"meridian/persistence/store"
	"meridian/stacks"
)

// RemoveRegion forgets placement, endpoint and secrets of a region that is destroyed; also (the journal's Forget) runs in the same transaction.
// Idempotent.
func (c *Catalog) RemoveRegion(ctx context.Context, id stacks.StackID, also func(tx *store.Tx) error) error {
	prefix := "region/" + id.Region + "/"
	return c.st.Write(ctx, func(tx *store.Tx) error {
		if also != nil {
			if err := also(tx); err != nil {
				return fmt.Errorf("remove region %s: %w", id, err)
			}
		}
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{"DELETE FROM placements WHERE stack = ?", []any{id.String()}},
			{"DELETE FROM endpoints WHERE stack = ?", []any{id.String()}},
			{"DELETE FROM secrets WHERE incarnation = ? AND substr(name, 1, ?) = ?", []any{id.Incarnation, len(prefix), prefix}},
		} {
			if _, err := tx.Exec(q.sql, q.args...); err != nil {
				return fmt.Errorf("remove region %s: %w", id, err)
			}
		}
		return tx.Notify("database", id.Namespace+"/"+id.Name)
	})
}

// RemoveDatabase ends an incarnation whose regions and links are gone: its name is free; runs, approvals and audit stay, secrets go.
// It refuses (ErrRefused) while a placement or link is left. Idempotent. The destroy run stays the active one until its own end.
func (c *Catalog) RemoveDatabase(ctx context.Context, incarnation string) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := incarnationOf(tx, incarnation)
		if err != nil || d.DestroyedAt != nil {
			return err
		}
		var left int
		err = tx.QueryRow("SELECT (SELECT count(*) FROM placements WHERE incarnation = ?) + (SELECT count(*) FROM links WHERE incarnation = ?)",
			incarnation, incarnation).Scan(&left)
		if err != nil {
			return fmt.Errorf("remove database %s/%s: %w", d.Namespace, d.Name, err)
		}
		if left > 0 {
			return fmt.Errorf("remove database %s/%s: %d regions or links are left: %w", d.Namespace, d.Name, left, ErrRefused)
		}
		open, err := c.openRuns(tx, incarnation)
		if err != nil {
			return err
		}
		for _, r := range open {
			if r.ID == d.ActiveRun {
				continue
			}
			if err := c.end(tx, r, Move{To: stacks.PhaseSuperseded, Reason: "DatabaseRemoved", Message: "the database was removed"}); err != nil {
				return err
			}
		}
		for _, q := range []string{"DELETE FROM secrets WHERE incarnation = ?", "DELETE FROM endpoints WHERE incarnation = ?", "DELETE FROM dependencies WHERE incarnation = ?"} {
			if _, err := tx.Exec(q, incarnation); err != nil {
				return fmt.Errorf("remove database %s/%s: %w", d.Namespace, d.Name, err)
			}
		}
		if err := forgetPackages(tx, incarnation); err != nil {
			return err
		}
		return setDatabase(tx, d, "phase = ?, message = '', unmanaged = '[]', destroyed_at = ?", DatabaseDestroyed, now().UnixMicro())
	})
}
