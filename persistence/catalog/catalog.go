// Package catalog keeps what users asked for and what became of it: databases, revisions, runs, approvals, placements, secrets,
// outputs, links and the audit. Its rows are the truth; workflows only move them, forward, by compare-and-set.
//
// It must never decide how something is done, and never hand out a secret but through Secret.
package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/keyring"
	"meridian/persistence/store"
)

// Errors of the catalog. Callers compare with errors.Is.
var (
	ErrNotFound = errors.New("not in the catalog")
	// ErrMoved means that a compare-and-set lost: the row is no longer what the caller saw. Read it again.
	ErrMoved = errors.New("the row has moved")
	// ErrStaleDigest means that an approval names a digest that is not the run's.
	ErrStaleDigest = errors.New("the plan has changed since")
	// ErrRefused means that the gate is closed: not the active run, not applying, no yes for exactly this plan, or a cancel.
	ErrRefused = errors.New("not allowed to apply")
	// ErrDestroying means that the database is being destroyed, so nothing new may be asked of it.
	ErrDestroying = errors.New("the database is being destroyed")
)

// Catalog is the catalog on a store.
type Catalog struct {
	st   *store.Store
	keys *keyring.Keyring
}

// New returns the catalog on st, sealing secrets with keys.
func New(st *store.Store, keys *keyring.Keyring) *Catalog { return &Catalog{st: st, keys: keys} }

// Store is the store below, for a transaction that sees catalog and journal at once.
func (c *Catalog) Store() *store.Store { return c.st }

// Keys is the ring that seals the rows: whoever rotates it, or asks what it holds. It hands out no key.
func (c *Catalog) Keys() *keyring.Keyring { return c.keys }

// canary is what the installation's row holds sealed: a ring that cannot open it is not this installation's.
const canary = "meridian"

// Installation returns this installation's ID, made on first use: 8 letters and digits. It fails where the keyring cannot open what
// this installation sealed, so a start asks for it before anything else.
func (c *Catalog) Installation(ctx context.Context) (string, error) {
	row := rowContext("meta", "installation")
	read := func(tx *store.Tx) (id string, sealed []byte, err error) {
		err = tx.QueryRow("SELECT value, sealed FROM meta WHERE key = 'installation'").Scan(&id, &sealed)
		return id, sealed, err
	}
	var id string
	var sealed []byte
	err := c.st.Read(ctx, func(tx *store.Tx) (err error) {
		id, sealed, err = read(tx)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		var fresh []byte
		if fresh, err = c.keys.Seal([]byte(canary), row); err != nil {
			return "", fmt.Errorf("installation: %w", err)
		}
		err = c.st.Write(ctx, func(tx *store.Tx) (err error) {
			if _, err := tx.Exec("INSERT INTO meta (key, value, sealed) VALUES ('installation', ?, ?) ON CONFLICT DO NOTHING", newID(), fresh); err != nil {
				return err
			}
			id, sealed, err = read(tx)
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("installation: %w", err)
	}
	if _, err := c.keys.Open(sealed, row); err != nil {
		return "", fmt.Errorf("installation: %w", err)
	}
	return id, nil
}

// sealedTables are the catalog's tables with sealed values, and their keys.
var sealedTables = []struct {
	table string
	key   []string
}{
	{"meta", []string{"key"}},
	{"runs", []string{"id"}},
	{"run_regions", []string{"run", "region"}},
	{"secrets", []string{"incarnation", "name"}},
	{"endpoints", []string{"stack"}},
	{"links", []string{"incarnation", "name"}},
	{"run_log", []string{"run", "seq"}},
	{"drift_checks", []string{"id"}},
	{"drift_parts", []string{"drift_check", "part"}},
	{"drift_rules", []string{"incarnation", "pattern", "verb"}},
	{"packages", []string{"digest"}},
}

// Reseal seals everything again that the newest key did not seal. It can be ended and started again at any time.
func (c *Catalog) Reseal(ctx context.Context) error {
	for _, t := range sealedTables {
		err := c.st.RewriteSealed(ctx, t.table, t.key, c.keys.Prefix(), func(key []string, sealed []byte) ([]byte, error) {
			row := rowContext(t.table, key...)
			plain, err := c.keys.Open(sealed, row)
			if err != nil {
				return nil, err
			}
			return c.keys.Seal(plain, row)
		})
		if err != nil {
			return fmt.Errorf("reseal the catalog: %w", err)
		}
	}
	return nil
}

// newID makes an ID of 8 characters, a-z and 2-7, the first a letter: 2^39 of them, fit for every name that clouds and databases take.
func newID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	out := make([]byte, len(raw))
	for i, b := range raw {
		out[i] = letters[b%32]
	}
	for out[0] > 'z' || out[0] < 'a' {
		_, _ = rand.Read(raw[:1])
		out[0] = letters[raw[0]%32]
	}
	return string(out)
}

// rowContext is what a sealed value is bound to: its table and its row's key.
func rowContext(table string, key ...string) string {
	for _, k := range key {
		table += "/" + k
	}
	return table
}

func (c *Catalog) sealJSON(v any, row string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", row, err)
	}
	return c.keys.Seal(plain, row)
}

func (c *Catalog) unsealJSON(sealed []byte, row string, v any) error {
	if sealed == nil {
		return nil
	}
	plain, err := c.keys.Open(sealed, row)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("decode %s: %w", row, err)
	}
	return nil
}

// scanner is a row of a query, or the only one.
type scanner interface{ Scan(dest ...any) error }

// collect reads all rows of a query.
func collect[T any](ctx context.Context, st *store.Store, scan func(scanner) (T, error), q string, args ...any) (out []T, err error) {
	err = st.Read(ctx, func(tx *store.Tx) error {
		out = nil // it may be repeated
		rows, err := tx.Query(q, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return rows.Err()
	})
	return out, err
}

// notFound turns a missing row into ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// now is the time as rows keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func fromMicros(v int64) time.Time { return time.UnixMicro(v).UTC() }

func optionalTime(v sql.NullInt64) *time.Time {
	if !v.Valid {
		return nil
	}
	t := fromMicros(v.Int64)
	return &t
}

func optionalMicros(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}
