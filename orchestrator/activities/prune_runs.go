package activities

import (
	"context"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
)

// Retention says what of runs that have ended is kept: everything of the newest Runs of each database and of those that ended within For. The others
// keep who asked for what, what changed, approvals and audit. State versions are kept by the same numbers.
type Retention struct {
	Runs int
	For  time.Duration
}

// DefaultRetention is what users get: more than anybody looks back, and little enough for a disk.
func DefaultRetention() Retention { return Retention{Runs: 100, For: 90 * 24 * time.Hour} }

// pruneAtOnce bounds one transaction of the pruning: writers wait for it.
const pruneAtOnce = 20

// PruneRuns removes what terraform planned and said in old runs, their logs, and old versions of states. What a run in flight, a head, a check for
// drift or the next recovery needs stays, however old it is.
func (a *Activities) PruneRuns(ctx context.Context) error {
	keep := a.Retention
	if keep == (Retention{}) {
		keep = DefaultRetention()
	}
	before := time.Now().Add(-keep.For)
	in := catalog.PruneInput{Runs: keep.Runs, Before: before, Limit: pruneAtOnce}
	for more := true; more; {
		_, next, again, err := a.Catalog.PruneRuns(ctx, in, func(tx *store.Tx, runs []string) ([]string, error) { return a.Journal.PruneRuns(ctx, tx, runs) })
		if err != nil {
			return err
		}
		in.After, more = next, again
	}
	_, err := a.Journal.PruneStates(ctx, keep.Runs, before)
	return err
}
