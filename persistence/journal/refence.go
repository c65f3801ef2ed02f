package journal

import (
	"context"
	"fmt"

	"meridian/persistence/store"
)

// Refence, within tx, raises the store's epoch above its own and another (that of the store whose place it takes, or 0), and gives every
// head a fence that nobody holds, idle: for a store that was put back. No attempt from before, wherever it still lives, can write any more.
// The caller has proven that none lives on this site.
func (j *Journal) Refence(tx *store.Tx, above int64) (epoch int64, err error) {
	if epoch, err = j.RaiseEpoch(tx, above); err != nil {
		return 0, err
	}
	_, err = tx.Exec(`UPDATE heads SET epoch = ?, fence = fence + 1, attempt = 'restored', status = ?, step = '', run = '', desired = '', shipped = 0, step_base = 0`,
		epoch, HeadIdle)
	if err != nil {
		return 0, fmt.Errorf("fence the heads: %w", err)
	}
	return epoch, nil
}

// Epoch is the store's epoch: whoever puts an older copy of the store back raises it.
func (j *Journal) Epoch(ctx context.Context) (epoch int64, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		epoch, err = currentEpoch(tx)
		return err
	})
	return epoch, err
}
