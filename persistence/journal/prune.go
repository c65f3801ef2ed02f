package journal

import (
	"context"
	"fmt"
	"time"

	"meridian/persistence/store"
)

// neededRun is a condition on a run: something that is there needs one of its steps. That is, of each stack that has a head, the newest step, the
// newest plan that found nothing to change, and every apply from the newest one on that ended well and destroyed nothing: by these the next recovery
// knows what was in flight, and a check for drift what the world was brought to. A head's own run is needed while it is named.
const neededRun = `(EXISTS (SELECT 1 FROM heads h WHERE h.run = ? OR h.step IN (SELECT id FROM steps WHERE run = ?))
	OR EXISTS (SELECT 1 FROM steps s JOIN heads h ON h.stack = s.stack WHERE s.run = ? AND (
		NOT EXISTS (SELECT 1 FROM steps n WHERE n.stack = s.stack AND n.created_at > s.created_at)
		OR s.kind = 'apply' AND NOT EXISTS (SELECT 1 FROM steps n JOIN results r ON r.step = n.id WHERE n.stack = s.stack AND n.created_at > s.created_at
			AND n.kind = 'apply' AND n.destroy = 0 AND r.outcome IN ('applied', 'unchanged'))
		OR s.kind = 'plan' AND EXISTS (SELECT 1 FROM results r WHERE r.step = s.id AND r.outcome = 'unchanged')
			AND NOT EXISTS (SELECT 1 FROM steps n JOIN results r ON r.step = n.id WHERE n.stack = s.stack AND n.created_at > s.created_at
			AND n.kind = 'plan' AND r.outcome = 'unchanged'))))`

// PruneRuns removes, within tx, steps, results, events and artifacts of those of these runs that nothing needs any more, and returns them.
func (j *Journal) PruneRuns(ctx context.Context, tx *store.Tx, runs []string) (gone []string, err error) {
	for _, run := range runs {
		needed, err := firstColumn(ctx, tx, "SELECT 'needed' WHERE "+neededRun, run, run, run)
		if err != nil {
			return nil, fmt.Errorf("prune run %s: %w", run, err)
		}
		if len(needed) > 0 {
			continue
		}
		for _, q := range []string{
			"DELETE FROM events WHERE step IN (SELECT id FROM steps WHERE run = ?)",
			"DELETE FROM results WHERE step IN (SELECT id FROM steps WHERE run = ?)",
			"DELETE FROM steps WHERE run = ?",
			"DELETE FROM artifacts WHERE run = ?",
		} {
			if _, err := tx.ExecContext(ctx, q, run); err != nil {
				return nil, fmt.Errorf("prune run %s: %w", run, err)
			}
		}
		gone = append(gone, run)
	}
	return gone, nil
}

// PruneStates removes versions of states that are older than a moment, but the newest keep ones of each stack, and none of a stack on which something
// works. It returns how many went.
func (j *Journal) PruneStates(ctx context.Context, keep int, before time.Time) (n int64, err error) {
	if keep < 1 {
		return 0, fmt.Errorf("prune states: %d versions are to be kept, want at least the newest", keep)
	}
	err = j.st.Write(ctx, func(tx *store.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM states WHERE at < ? AND stack IN (SELECT stack FROM heads WHERE status = ?)
			AND (SELECT count(*) FROM states n WHERE n.stack = states.stack
				AND (n.epoch, n.fence, n.serial) > (states.epoch, states.fence, states.serial)) >= ?`, micros(before), HeadIdle, keep)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune states: %w", err)
	}
	return n, nil
}
