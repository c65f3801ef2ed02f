package activities

import (
	"context"
	"time"

	"meridian/persistence/store"
)

// keepDrift is how long what a check found is kept; the newest of each database stays. pruneDrift bounds one transaction of the pruning.
const (
	keepDrift  = 14 * 24 * time.Hour
	pruneDrift = 200
)

// PruneDrift forgets checks for drift that are old, with their steps and their log.
func (a *Activities) PruneDrift(ctx context.Context) error {
	for {
		n, err := a.Catalog.PruneDrift(ctx, time.Now().Add(-keepDrift), pruneDrift, func(tx *store.Tx, ids []string) error {
			return a.Journal.ForgetSteps(tx, ids)
		})
		if err != nil || n < pruneDrift {
			return err
		}
	}
}
