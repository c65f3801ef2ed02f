package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// readBackLimit is how long a commit whose answer was lost is asked about: a server that restarts is back by then, or nobody knows.
const readBackLimit = 30 * time.Second

// commit has three outcomes: won; lost, and tried again; or unknown, when the connection broke after COMMIT was sent. Then the server
// is asked, on another connection, what became of the transaction (pg_xact_status).
//
// A failover to a server that has lost commits answers for another transaction or for none: such a server is an older store, and
// whoever puts it in place raises the epoch.
func (d *postgresDialect) commit(ctx context.Context, s *Store, tx *Tx) error {
	if !tx.wrote {
		return tx.tx.Commit()
	}
	var xid string
	if err := tx.tx.QueryRowContext(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
		return err
	}
	err := tx.tx.Commit()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return err
	case sqlState(err) != "" && !isAway(err): // the server refused it, and said so
		return err
	}
	stands, asked := d.readBack(ctx, s, xid)
	switch {
	case asked != nil:
		return fmt.Errorf("%w: %w", ErrUnknown, errors.Join(err, asked))
	case stands:
		return nil
	}
	return &lostCommit{err}
}

// lostCommit is a commit that is known not to stand.
type lostCommit struct{ err error }

func (e *lostCommit) Error() string {
	return "the connection was lost before the commit: " + e.err.Error()
}

// readBack asks what became of a transaction. It goes on after the end of ctx for a while: an answer is worth more than the time.
func (d *postgresDialect) readBack(ctx context.Context, s *Store, xid string) (stands bool, err error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), readBackLimit)
	defer stop()
	for {
		var status *string
		err = s.reads.QueryRowContext(ctx, "SELECT pg_xact_status($1::text::xid8)", xid).Scan(&status)
		switch {
		case err == nil && status == nil:
			return false, errors.New("the server no longer knows the transaction")
		case err == nil && *status == "committed":
			return true, nil
		case err == nil && *status == "aborted":
			return false, nil
		case err != nil && !isAway(err):
			return false, err
		}
		t := time.NewTimer(awayRetry) // it is away, or still at work on the commit
		select {
		case <-ctx.Done():
			t.Stop()
			return false, errors.Join(ctx.Err(), err)
		case <-t.C:
		}
	}
}
