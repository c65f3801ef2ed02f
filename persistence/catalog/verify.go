package catalog

import (
	"context"
	"fmt"

	"meridian/persistence/store"
)

// Verify opens every sealed value of the catalog and lists those that are not what was written, or whose key is not in the ring.
func (c *Catalog) Verify(ctx context.Context) (out []store.Damage, err error) {
	for _, t := range sealedTables {
		err := c.st.EachSealed(ctx, t.table, t.key, func(key []string, sealed []byte) {
			if _, err := c.keys.Open(sealed, rowContext(t.table, key...)); err != nil {
				out = append(out, store.Damage{Table: t.table, Key: key, Err: err})
			}
		})
		if err != nil {
			return out, fmt.Errorf("verify the catalog: %w", err)
		}
	}
	return out, nil
}

// Loose is a row that belongs to no living database and to no open run.
type Loose struct {
	Table, Key, Incarnation string
}

// LooseRows lists placements, endpoints, secrets and links that belong to no living database and to no open run.
func (c *Catalog) LooseRows(ctx context.Context) (out []Loose, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		for _, t := range []struct{ table, key string }{{"placements", "stack"}, {"endpoints", "stack"}, {"secrets", "name"}, {"links", "name"}} {
			rows, err := looseOf(ctx, tx, t.table, t.key)
			if err != nil {
				return err
			}
			out = append(out, rows...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loose rows: %w", err)
	}
	return out, nil
}

func looseOf(ctx context.Context, tx *store.Tx, table, key string) (out []Loose, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+key+", incarnation FROM "+table+` t
		WHERE NOT EXISTS (SELECT 1 FROM databases d WHERE d.incarnation = t.incarnation AND d.destroyed_at IS NULL)
		AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.incarnation = t.incarnation AND r.ended_at IS NULL) ORDER BY 2, 1`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		l := Loose{Table: table}
		if err := rows.Scan(&l.Key, &l.Incarnation); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

// Working lists the incarnations, living or not, that name an active run.
func (c *Catalog) Working(ctx context.Context) (out []Database, err error) {
	out, err = collect(ctx, c.st, scanDatabase, "SELECT "+databaseColumns+" FROM databases WHERE active_run <> '' ORDER BY namespace, name")
	if err != nil {
		return nil, fmt.Errorf("databases with an active run: %w", err)
	}
	return out, nil
}
