package catalog

import (
	"context"
	"fmt"

	"meridian/persistence/store"
)

// Discard forgets what a check made for a database that does not exist: placements and secrets of a provisional incarnation. Where the
// incarnation is a database it does nothing.
func (c *Catalog) Discard(ctx context.Context, incarnation string) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		for _, q := range []string{
			"DELETE FROM placements WHERE incarnation = ?1 AND NOT EXISTS (SELECT 1 FROM databases WHERE incarnation = ?1)",
			"DELETE FROM secrets WHERE incarnation = ?1 AND NOT EXISTS (SELECT 1 FROM databases WHERE incarnation = ?1)",
		} {
			if _, err := tx.Exec(q, incarnation); err != nil {
				return fmt.Errorf("discard %s: %w", incarnation, err)
			}
		}
		return nil
	})
}
