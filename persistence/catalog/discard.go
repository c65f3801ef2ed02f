package catalog

import (
	"context"
	"fmt"

	"meridian/persistence/store"
)

// Discard forgets what a check made for a database that does not exist: placements and secrets of a provisional incarnation; also (the
// journal's Forget) runs in the same transaction. Where the incarnation is a database it does nothing.
func (c *Catalog) Discard(ctx context.Context, incarnation string, also func(tx *store.Tx) error) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		var known int
		if err := tx.QueryRow("SELECT count(*) FROM databases WHERE incarnation = ?", incarnation).Scan(&known); err != nil || known > 0 {
			return err
		}
		for _, q := range []string{"DELETE FROM placements WHERE incarnation = ?", "DELETE FROM secrets WHERE incarnation = ?"} {
			if _, err := tx.Exec(q, incarnation); err != nil {
				return fmt.Errorf("discard %s: %w", incarnation, err)
			}
		}
		return also(tx)
	})
}
