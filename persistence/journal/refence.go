package journal

import (
	"fmt"

	"meridian/persistence/store"
)

// Refence, within tx, raises the store's epoch and gives every head a fence that nobody holds, idle: for a store that was put back. No attempt
// from before, wherever it still lives, can write any more. The caller has proven that none lives on this site.
func (j *Journal) Refence(tx *store.Tx) (epoch int64, err error) {
	if epoch, err = currentEpoch(tx); err != nil {
		return 0, err
	}
	epoch++
	if _, err := tx.Exec("UPDATE meta SET value = ? WHERE key = 'epoch'", fmt.Sprint(epoch)); err != nil {
		return 0, fmt.Errorf("raise the epoch: %w", err)
	}
	_, err = tx.Exec(`UPDATE heads SET epoch = ?, fence = fence + 1, attempt = 'restored', status = ?, step = '', run = '', desired = '', shipped = 0, step_base = 0`,
		epoch, HeadIdle)
	if err != nil {
		return 0, fmt.Errorf("fence the heads: %w", err)
	}
	return epoch, nil
}
