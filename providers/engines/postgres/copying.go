package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
)

// copyPoll is the time between two readings of a copy.
const copyPoll = 50 * time.Millisecond

// copyReading is how far the first copies of a subscription's tables are.
type copyReading struct {
	// settled counts the states that its tables have gone through.
	settled int
	// workers are those that copy, by process ID: one that failed comes back with another, and begins again.
	workers map[int32]copyWorker
}

// copyWorker is how far a worker is with one table: rows and bytes that it wrote, and the source's log that it then caught up with.
type copyWorker struct {
	table    uint32
	written  int64
	caughtUp int64
}

// tableStates are the states of a subscribed table, in their order. Source: PostgreSQL's documentation, "pg_subscription_rel".
var tableStates = map[string]int{"i": 0, "d": 1, "f": 2, "s": 3, "r": 4}

// readCopies reads how far the first copies are.
func readCopies(ctx context.Context, p pair, sub *linkSubscription) (copyReading, error) {
	out := copyReading{workers: map[int32]copyWorker{}}
	tables, err := subscribed(ctx, p)
	if err != nil {
		return out, err
	}
	for _, state := range tables {
		out.settled += tableStates[state]
	}
	rows, err := p.dst.Query(ctx, `SELECT s.pid, s.relid, coalesce(c.tuples_processed + c.bytes_processed, 0), coalesce(pg_wal_lsn_diff(s.received_lsn, '0/0'), 0)::bigint
		FROM pg_stat_subscription s LEFT JOIN pg_stat_progress_copy c ON c.pid = s.pid WHERE s.subid = $1 AND s.relid IS NOT NULL AND s.pid IS NOT NULL`, sub.oid)
	if err != nil {
		return out, fmt.Errorf("look at the copies: %w", err)
	}
	var pid int32
	var w copyWorker
	_, err = pgx.ForEachRow(rows, []any{&pid, &w.table, &w.written, &w.caughtUp}, func() error {
		out.workers[pid] = w
		return nil
	})
	return out, wrapIf(err, "look at the copies")
}

// gotOn reports whether copies moved from one reading to the next: a table went on, or a worker did that had begun before. It is pure.
func (r copyReading) gotOn(next copyReading) bool {
	if next.settled > r.settled {
		return true
	}
	for pid, before := range r.workers {
		if now, still := next.workers[pid]; still && now.table == before.table && (now.written > before.written || now.caughtUp > before.caughtUp) {
			return true
		}
	}
	return false
}

// watchCopy looks, for a bounded time, whether what is still being copied gets on; added says that this look began it.
func (l *link) watchCopy(ctx context.Context, p pair, sub *linkSubscription, added bool, status providers.LinkStatus) (providers.LinkStatus, error) {
	status.Moving = added
	first, err := readCopies(ctx, p, sub)
	if err != nil {
		return status, err
	}
	for until := time.Now().Add(l.engine.copyWait); !status.Moving && time.Now().Before(until); {
		if err := pause(ctx, copyPoll); err != nil {
			return status, fmt.Errorf("watch the copies: %w", err)
		}
		next, err := readCopies(ctx, p, sub)
		if err != nil {
			return status, err
		}
		status.Moving = first.gotOn(next)
		first = next
	}
	return status, nil
}
