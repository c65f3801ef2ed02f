package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Link is the state of one replication link.
type Link struct {
	Incarnation string
	Name        string // "from-to"
	Spec        stacks.Link
	Phase       string // "pending", "copying", "verified", "failed", "removing"
	RunNumber   int64
	Lag         time.Duration
	VerifiedAt  *time.Time
	Message     string
}

// linkText is the sealed part of a link: its message may hold a database's own words.
type linkText struct {
	Spec    stacks.Link `json:"spec"`
	Message string      `json:"message,omitempty"`
}

// PutLink stores a link unless a larger run number wrote it last, or the link is gone and so is the run that would make it (ErrMoved).
func (c *Catalog) PutLink(ctx context.Context, l Link) error {
	return c.writeLink(ctx, l, func(tx *store.Tx, sealed []byte) (sql.Result, error) {
		return tx.Exec(`INSERT INTO links (incarnation, name, phase, run_number, lag_us, verified_at, sealed)
			SELECT ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM links WHERE incarnation = ? AND name = ?)
				OR NOT EXISTS (SELECT 1 FROM runs WHERE incarnation = ? AND number = ? AND ended_at IS NOT NULL)
			ON CONFLICT (incarnation, name) DO UPDATE SET phase = excluded.phase, run_number = excluded.run_number, lag_us = excluded.lag_us,
			verified_at = excluded.verified_at, sealed = excluded.sealed WHERE links.run_number <= excluded.run_number`,
			l.Incarnation, l.Name, l.Phase, l.RunNumber, l.Lag.Microseconds(), optionalMicros(l.VerifiedAt), sealed,
			l.Incarnation, l.Name, l.Incarnation, l.RunNumber)
	})
}

// UpdateLink changes a link that is there, unless a larger run number wrote it last (ErrMoved). It never makes one: ErrNotFound.
func (c *Catalog) UpdateLink(ctx context.Context, l Link) error {
	return c.writeLink(ctx, l, func(tx *store.Tx, sealed []byte) (sql.Result, error) {
		var there bool
		err := tx.QueryRow("SELECT EXISTS (SELECT 1 FROM links WHERE incarnation = ? AND name = ?)", l.Incarnation, l.Name).Scan(&there)
		if err == nil && !there {
			err = ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		return tx.Exec(`UPDATE links SET phase = ?, run_number = ?, lag_us = ?, verified_at = ?, sealed = ? WHERE incarnation = ? AND name = ? AND run_number <= ?`,
			l.Phase, l.RunNumber, l.Lag.Microseconds(), optionalMicros(l.VerifiedAt), sealed, l.Incarnation, l.Name, l.RunNumber)
	})
}

// writeLink writes a link's row and tells the feed; ErrMoved where nothing was written.
func (c *Catalog) writeLink(ctx context.Context, l Link, write func(tx *store.Tx, sealed []byte) (sql.Result, error)) error {
	sealed, err := c.sealJSON(linkText{Spec: l.Spec, Message: l.Message}, rowContext("links", l.Incarnation, l.Name))
	if err != nil {
		return err
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := incarnationOf(tx, l.Incarnation)
		if err != nil {
			return err
		}
		r, err := write(tx, sealed)
		if err != nil {
			return fmt.Errorf("link %s of %s: %w", l.Name, l.Incarnation, err)
		}
		if n, err := r.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return fmt.Errorf("link %s of %s, by run %d: %w", l.Name, l.Incarnation, l.RunNumber, ErrMoved)
		}
		return tx.Notify("database", d.Namespace+"/"+d.Name)
	})
}

const linkColumns = "incarnation, name, phase, run_number, lag_us, verified_at, sealed"

func (c *Catalog) scanLink(row scanner) (Link, error) {
	var l Link
	var lag int64
	var verified sql.NullInt64
	var sealed []byte
	if err := row.Scan(&l.Incarnation, &l.Name, &l.Phase, &l.RunNumber, &lag, &verified, &sealed); err != nil {
		return Link{}, err
	}
	var text linkText
	if err := c.unsealJSON(sealed, rowContext("links", l.Incarnation, l.Name), &text); err != nil {
		return Link{}, err
	}
	l.Spec, l.Message, l.Lag, l.VerifiedAt = text.Spec, text.Message, time.Duration(lag)*time.Microsecond, optionalTime(verified)
	return l, nil
}

// Links lists the links of an incarnation by name.
func (c *Catalog) Links(ctx context.Context, incarnation string) (out []Link, err error) {
	out, err = collect(ctx, c.st, c.scanLink, "SELECT "+linkColumns+" FROM links WHERE incarnation = ? ORDER BY name", incarnation)
	if err != nil {
		return nil, fmt.Errorf("links of %s: %w", incarnation, err)
	}
	return out, nil
}

// DeleteLink forgets a link that is gone from the world, and the secret of its name ("link/from-to").
func (c *Catalog) DeleteLink(ctx context.Context, incarnation, name string) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := incarnationOf(tx, incarnation)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM links WHERE incarnation = ? AND name = ?", incarnation, name); err != nil {
			return fmt.Errorf("forget link %s: %w", name, err)
		}
		if _, err := tx.Exec("DELETE FROM secrets WHERE incarnation = ? AND name = ?", incarnation, "link/"+name); err != nil {
			return fmt.Errorf("forget link %s: %w", name, err)
		}
		return tx.Notify("database", d.Namespace+"/"+d.Name)
	})
}
