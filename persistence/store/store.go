// Package store opens the one database that holds catalog and journal: SQLite (WAL, synchronous FULL, BEGIN IMMEDIATE; several
// processes at once), later PostgreSQL. It migrates it, runs transactions with its own retry where SQLite is busy, and feeds changes.
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

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// FileName is the store's file under the data directory.
const FileName = "meridian.db"

// Errors of the store. Callers compare with errors.Is.
var (
	// ErrNewer means that the file was written by a newer Meridian.
	ErrNewer = errors.New("the store was written by a newer meridian")
	// ErrCorrupt means that the file is not a store, or is damaged.
	ErrCorrupt = errors.New("the store is damaged or is no store")
	// ErrUnreadable means that the file or its directory cannot be read or written.
	ErrUnreadable = errors.New("the store cannot be read or written")
)

// Store is an open store; safe for concurrent use.
type Store struct {
	path string
	// db is the one connection that writes: writers of this process queue here, and only other processes make it busy.
	db *sql.DB
	// reads is the pool of connections that cannot write.
	reads *sql.DB
	feed  feed

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// Tx is one transaction. Its queries go through the embedded sql.Tx.
type Tx struct {
	*sql.Tx
	notified bool
}

// Close ends every Watch and closes the store; the last process to close it leaves no write-ahead log behind.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.feed.wait()
		s.closeErr = errors.Join(s.reads.Close(), s.db.Close())
	})
	return s.closeErr
}

// Write runs f in one BEGIN IMMEDIATE transaction and commits; it retries (0.5-3 ms, jitter) while the store is busy, until ctx ends.
// f may run more than once, so it must leave nothing outside the transaction that a second run would not overwrite. A Write inside
// f waits for itself: use tx.
func (s *Store) Write(ctx context.Context, f func(tx *Tx) error) error {
	return retryBusy(ctx, func() error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		defer func() { _ = tx.Rollback() }()
		t := &Tx{Tx: tx}
		if err := f(t); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if t.notified {
			s.feed.nudge()
		}
		return nil
	})
}

// Read runs f in one read transaction: a consistent view. Like Write it may run f more than once.
func (s *Store) Read(ctx context.Context, f func(tx *Tx) error) error {
	return retryBusy(ctx, func() error {
		tx, err := s.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		defer func() { _ = tx.Rollback() }()
		return f(&Tx{Tx: tx})
	})
}

// retryBusy runs f until it is not refused because the store is busy. SQLite's own ladder of sleeps has a long tail (up to 100 ms);
// short sleeps with jitter keep it below 25 ms with sixteen writers.
func retryBusy(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !isBusy(err) {
			return err
		}
		t := time.NewTimer(500*time.Microsecond + rand.N(2500*time.Microsecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("the store is busy: %w", ctx.Err())
		case <-t.C:
		}
	}
}

// code is SQLite's primary result code in err, or 0.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// isBusy reports whether another connection was in the way; SQLITE_PROTOCOL is a lost race for the lock of the write-ahead log.
func isBusy(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// IsConflict reports whether err is a broken unique or primary key.
func IsConflict(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}
