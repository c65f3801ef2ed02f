package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"meridian/persistence/store"
	"meridian/stacks"
)

// readOnlyKey is the row of meta that says why nothing may be applied.
const readOnlyKey = "readonly"

// ErrReadOnly means that the store was put back from a backup and nothing is applied until somebody has looked.
var ErrReadOnly = errors.New("the store is read-only")

// ReasonRestored is the reason of a run that was open in a store that was put back.
const ReasonRestored = "StoreRestored"

// ReadOnly says why nothing may be applied, or "" where it may.
func (c *Catalog) ReadOnly(ctx context.Context) (why string, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		why, err = readOnly(tx)
		return err
	})
	return why, err
}

func readOnly(tx *store.Tx) (why string, err error) {
	err = tx.QueryRow("SELECT value FROM meta WHERE key = ?", readOnlyKey).Scan(&why)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("whether the store is read-only: %w", err)
	}
	return why, nil
}

// MarkRestored makes a store that was put back read-only and ends the runs that were open in it: what became of them in the world is not
// known. also (the journal's Refence) runs in the same transaction.
func (c *Catalog) MarkRestored(ctx context.Context, why string, also func(tx *store.Tx) error) error {
	if why == "" {
		return errors.New("mark the store restored: no reason")
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		open, err := c.queryRuns(tx, "SELECT "+runColumns+" FROM runs WHERE ended_at IS NULL ORDER BY created_at")
		if err != nil {
			return err
		}
		for _, r := range open {
			m := Move{To: stacks.PhaseFailed, Reason: ReasonRestored, Message: "the store was put back to a backup in which this run was not done; apply again once meridian fsck agrees"}
			if err := c.end(tx, r, m); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("UPDATE databases SET active_run = ''"); err != nil {
			return fmt.Errorf("free the databases: %w", err)
		}
		if _, err := tx.Exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", readOnlyKey, why); err != nil {
			return fmt.Errorf("make the store read-only: %w", err)
		}
		return also(tx)
	})
}

// EndReadOnly lets runs apply again; the audit says who decided that, and by what.
func (c *Catalog) EndReadOnly(ctx context.Context, a Audit) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("DELETE FROM meta WHERE key = ?", readOnlyKey); err != nil {
			return fmt.Errorf("end the store's being read-only: %w", err)
		}
		return record(tx, a)
	})
}

// mayApply refuses (ErrReadOnly, ErrRefused) where the store is read-only.
func mayApply(tx *store.Tx) error {
	why, err := readOnly(tx)
	if err != nil {
		return err
	}
	if why != "" {
		return fmt.Errorf("%w (%s): %w", ErrReadOnly, why, ErrRefused)
	}
	return nil
}
