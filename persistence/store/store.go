// Package store opens the one database that holds catalog and journal: SQLite (WAL, synchronous FULL, BEGIN IMMEDIATE; several
// processes at once) in the data directory, or PostgreSQL (SERIALIZABLE) past one machine. It migrates it, runs transactions with its
// own retry where the store is busy or away, and feeds changes. The SQL of the tables is one text, in the words that both understand.
//
// It must never hold a lock across a call that is not SQL, and knows nothing of what the tables mean.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// FileName is the store's file under the data directory.
const FileName = "meridian.db"

// Errors of the store. Callers compare with errors.Is.
var (
	// ErrNewer means that the store was written by a newer Meridian.
	ErrNewer = errors.New("the store was written by a newer meridian")
	// ErrCorrupt means that the file is not a store, or is damaged.
	ErrCorrupt = errors.New("the store is damaged or is no store")
	// ErrUnreadable means that the file or its directory cannot be read or written.
	ErrUnreadable = errors.New("the store cannot be read or written")
	// ErrAway means that the database server could not be reached for longer than the store waits by itself.
	ErrAway = errors.New("the store cannot be reached")
	// ErrUnknown means that the connection was lost during a commit and that nobody could say in time whether it stands.
	ErrUnknown = errors.New("the store was lost during a commit: whether it stands is not known")
)

// Store is an open store; safe for concurrent use.
type Store struct {
	dialect
	path string // of the file, or the server's address
	// db writes. With SQLite it is one connection: writers of this process queue here, and only other processes make it busy.
	db *sql.DB
	// reads is the pool of connections that cannot write.
	reads *sql.DB
	feed  feed

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// dialect is what differs between the two stores.
type dialect interface {
	read() *sql.TxOptions
	write() *sql.TxOptions
	// within is the context of a transaction's queries.
	within(ctx context.Context) context.Context
	// rebind writes the placeholders of a query as the store wants them.
	rebind(query string) string
	// arg makes an argument fit the store's types.
	arg(v any) (any, error)
	// trouble says what an error of a transaction means for another try.
	trouble(err error) trouble
	// commit commits, and finds out what became of a commit whose answer was lost.
	commit(ctx context.Context, s *Store, tx *Tx) error
	// sealedTables is a query for the names of the tables that have a column of the name that is its one argument.
	sealedTables() string
	// hasVersions is a query that counts the tables of versions: 0 in a new store.
	hasVersions() string
	// newCursor is a place in the change feed.
	newCursor() cursor
	// listen nudges the feed's watchers when others have committed, until the store closes or nobody watches.
	listen(f *feed)
}

// trouble is what an error of a transaction means for another try.
type trouble int

const (
	troubleFinal    trouble = iota // the caller's: another try gives the same
	troubleBusy                    // another transaction was in the way: try until the context ends
	troubleConflict                // a broken key: perhaps only a race, which another look decides
	troubleAway                    // the server is away: try for a while
)

// Open opens the store and migrates it: in a directory (SQLite), or at a URL "postgres://...". It refuses one of a newer version, an
// unreadable or a corrupt one with an error that says what to do.
func Open(ctx context.Context, where string) (*Store, error) {
	if isURL(where) {
		return openPostgres(ctx, where)
	}
	return openSQLite(ctx, where)
}

// Shared reports whether processes of other machines may use the store too.
func (s *Store) Shared() bool {
	_, ok := s.dialect.(*postgresDialect)
	return ok
}

// Close ends every Watch and closes the store; the last process to close a file leaves no write-ahead log behind.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.feed.wait()
		s.closeErr = errors.Join(s.reads.Close(), s.db.Close())
	})
	return s.closeErr
}

// Write runs f in one transaction that behaves as if no other ran at the same time, and commits; it tries again while the store is
// busy, until ctx ends, and for a while where the server is away. f may run more than once, so it must leave nothing outside the
// transaction that a second run would not overwrite. A Write inside f waits for itself: use tx.
func (s *Store) Write(ctx context.Context, f func(tx *Tx) error) error {
	return s.retry(ctx, func() error {
		tx, err := s.db.BeginTx(ctx, s.write())
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		defer func() { _ = tx.Rollback() }()
		t := &Tx{tx: tx, dialect: s.dialect, ctx: s.within(ctx)}
		if err := f(t); err != nil {
			return err
		}
		if err := s.commit(ctx, s, t); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if t.notified {
			s.feed.committed()
		}
		return nil
	})
}

// Read runs f in one read transaction: a consistent view. Like Write it may run f more than once.
func (s *Store) Read(ctx context.Context, f func(tx *Tx) error) error {
	return s.retry(ctx, func() error {
		tx, err := s.reads.BeginTx(ctx, s.read())
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		defer func() { _ = tx.Rollback() }()
		return f(&Tx{tx: tx, dialect: s.dialect, ctx: s.within(ctx)})
	})
}

const (
	// patience is how long a transaction waits for a server that is away (a restart, a failover) before its caller hears of it.
	patience = 10 * time.Second
	// awayRetry is the pause between looks at a server that is away.
	awayRetry = 100 * time.Millisecond
	// conflictTries is how often a broken key is looked at: a transaction that lost a race for it sees the winner's row then.
	conflictTries = 3
)

// retry runs f until it is not refused because the store is busy. SQLite's own ladder of sleeps has a long tail (up to 100 ms);
// short sleeps with jitter keep it below 25 ms with sixteen writers.
func (s *Store) retry(ctx context.Context, f func() error) error {
	away := time.Time{}
	for conflicts := 1; ; {
		err := f()
		if err == nil {
			return nil
		}
		wait := 500*time.Microsecond + rand.N(2500*time.Microsecond)
		switch s.trouble(err) {
		case troubleFinal:
			return err
		case troubleConflict:
			if conflicts++; conflicts > conflictTries {
				return err
			}
		case troubleAway:
			if away.IsZero() {
				away = time.Now()
			}
			if time.Since(away) > patience {
				return fmt.Errorf("%w: %w", ErrAway, err)
			}
			wait = awayRetry
		case troubleBusy:
			away = time.Time{}
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			if !away.IsZero() {
				return fmt.Errorf("%w: %w: %w", ErrAway, ctx.Err(), err)
			}
			return fmt.Errorf("the store is busy: %w", ctx.Err())
		case <-t.C:
		}
	}
}

// IsConflict reports whether err is a broken unique or primary key.
func IsConflict(err error) bool { return isSQLiteConflict(err) || isPostgresConflict(err) }
