// Package journal keeps what terraform did: heads and their fences, steps and results, event streams, state versions and artifacts.
// Everything in it that a stack could have written is sealed by the keyring.
//
// It must never let a write pass whose fence is not the head's, and it decides nothing about runs: that is the catalog's.
package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/keyring"
	"meridian/persistence/store"
)

// Errors of the fence. Callers compare with errors.Is.
var (
	// ErrFenced means that another attempt owns the head: whoever gets it must stop writing.
	ErrFenced = errors.New("another attempt owns this stack")
	// ErrHasResult means that the step is finished: read its result.
	ErrHasResult = errors.New("the step has a result")
	// ErrRunning means that the head's last attempt is not known to be over: adopt it first.
	ErrRunning = errors.New("an attempt is still running")
	// ErrStale means that the state moved since the artifact was made.
	ErrStale = errors.New("the plan is stale")
	// ErrNotFound means that there is no such row.
	ErrNotFound = errors.New("not in the journal")
)

// Journal is the journal on a store.
type Journal struct {
	st   *store.Store
	keys *keyring.Keyring
}

// New returns the journal on st, sealing with keys.
func New(st *store.Store, keys *keyring.Keyring) *Journal { return &Journal{st: st, keys: keys} }

// Store is the store below, for a transaction that sees catalog and journal at once.
func (j *Journal) Store() *store.Store { return j.st }

// sealedTables are the journal's tables with sealed values, and their keys.
var sealedTables = []struct {
	table string
	key   []string
}{
	{"steps", []string{"id"}},
	{"results", []string{"step"}},
	{"events", []string{"stack", "epoch", "fence", "first_seq"}},
	{"states", []string{"stack", "epoch", "fence", "serial"}},
	{"artifacts", []string{"id"}},
}

// Reseal seals everything again that the newest key did not seal. It can be ended and started again at any time.
func (j *Journal) Reseal(ctx context.Context) error {
	for _, t := range sealedTables {
		err := j.st.RewriteSealed(ctx, t.table, t.key, j.keys.Prefix(), func(key []string, sealed []byte) ([]byte, error) {
			parts := make([]any, len(key))
			for i, k := range key {
				parts[i] = k
			}
			row := rowContext(t.table, parts...)
			plain, err := j.keys.Open(sealed, row)
			if err != nil {
				return nil, err
			}
			return j.keys.Seal(plain, row)
		})
		if err != nil {
			return fmt.Errorf("reseal the journal: %w", err)
		}
	}
	return nil
}

// rowContext is what a sealed value is bound to: its table and its row's key.
func rowContext(table string, key ...any) string {
	s := table
	for _, k := range key {
		s += "/" + fmt.Sprint(k)
	}
	return s
}

// notFound turns a missing row into ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}
