package catalog

import (
	"context"
	"fmt"

	"meridian/persistence/store"
)

// Quiet runs do in one transaction with the line of audit that tells of it (do returns its detail), unless a run works on the incarnation (ErrRefused, naming it):
// for what a person does to a stack past its runs. Runs that wait stay; what they planned is stale by then, and is planned again.
func (c *Catalog) Quiet(ctx context.Context, incarnation string, a Audit, do func(tx *store.Tx) (detail string, err error)) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := incarnationOf(tx, incarnation)
		if err != nil {
			return err
		}
		if d.ActiveRun != "" {
			return fmt.Errorf("run %s works on %s/%s: %w", d.ActiveRun, d.Namespace, d.Name, ErrRefused)
		}
		if a.Detail, err = do(tx); err != nil {
			return err
		}
		a.Namespace, a.Name = d.Namespace, d.Name
		return record(tx, a)
	})
}
