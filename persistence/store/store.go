// Package store opens the one database that holds catalog and journal: SQLite (WAL, synchronous FULL, BEGIN IMMEDIATE; several
// processes at once), later PostgreSQL. It migrates it, runs transactions with its own retry where SQLite is busy, and feeds changes.
//
// It must never hold a lock across a call that is not SQL, and knows nothing of what the tables mean.
package store

import (
	"context"
	"database/sql"
)

// FileName is the store's file under the data directory.
const FileName = "meridian.db"

// Store is an open store; safe for concurrent use.
type Store struct{ db *sql.DB }

// Tx is one transaction. Its queries go through the embedded sql.Tx.
type Tx struct {
	*sql.Tx
}

// Open opens the store under dir and migrates it. It refuses a file of a newer version, an unreadable or a corrupt one with an error that says what to do.
func Open(ctx context.Context, dir string) (*Store, error) { panic("todo") }

// Close checkpoints and closes.
func (s *Store) Close() error { panic("todo") }

// Write runs f in one BEGIN IMMEDIATE transaction and commits; it retries (0.5-3 ms, jitter) while the store is busy, until ctx ends.
func (s *Store) Write(ctx context.Context, f func(tx *Tx) error) error { panic("todo") }

// Read runs f in one read transaction: a consistent view.
func (s *Store) Read(ctx context.Context, f func(tx *Tx) error) error { panic("todo") }

// Notify appends a change of a topic ("run", "database", "head") and its key to the change feed, within the transaction.
func (tx *Tx) Notify(topic, key string) error { panic("todo") }

// Change is one line of the change feed.
type Change struct {
	Seq        int64
	Topic, Key string
}

// Watch sends changes with a higher sequence than after (0: from now) until ctx ends, from any process; the channel is closed then.
func (s *Store) Watch(ctx context.Context, after int64) <-chan Change { panic("todo") }
