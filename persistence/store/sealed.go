package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// SealedColumn is the name of every column that holds what the keyring sealed. The store does not know what is in it, only where it is.
const SealedColumn = "sealed"

// SealedTables lists the tables that have a column of sealed values, by name.
func (s *Store) SealedTables(ctx context.Context) (out []string, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		out, err = sealedTables(tx)
		return err
	})
	return out, err
}

// Sealed reports whether any sealed data exists.
func (s *Store) Sealed(ctx context.Context) (found bool, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		found = false
		tables, err := sealedTables(tx)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if err := tx.QueryRow("SELECT EXISTS (SELECT 1 FROM " + t + " WHERE sealed IS NOT NULL)").Scan(&found); err != nil || found {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for sealed data: %w", err)
	}
	return found, nil
}

// SealedPrefixes lists the distinct first n bytes of all sealed values; it reads every row.
func (s *Store) SealedPrefixes(ctx context.Context, n int) (out [][]byte, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		out = nil
		tables, err := sealedTables(tx)
		if err != nil || len(tables) == 0 {
			return err
		}
		parts := make([]string, len(tables))
		args := make([]any, len(tables))
		for i, t := range tables {
			parts[i] = "SELECT substr(sealed, 1, ?) AS p FROM " + t + " WHERE sealed IS NOT NULL"
			args[i] = n
		}
		rows, err := tx.Query(strings.Join(parts, " UNION ")+" ORDER BY 1", args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p []byte
			if err := rows.Scan(&p); err != nil {
				return err
			}
			out = append(out, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list the keys in use: %w", err)
	}
	return out, nil
}

// SealedCount says how many sealed values of a table begin alike.
type SealedCount struct {
	Table  string
	Prefix []byte
	Rows   int64
}

// SealedCounts counts the sealed values of each table by their first n bytes, by table; it reads every row.
func (s *Store) SealedCounts(ctx context.Context, n int) (out []SealedCount, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		out = nil
		tables, err := sealedTables(tx)
		if err != nil {
			return err
		}
		for _, t := range tables {
			counts, err := sealedCounts(tx, t, n)
			if err != nil {
				return err
			}
			out = append(out, counts...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count what each key has sealed: %w", err)
	}
	return out, nil
}

func sealedCounts(tx *Tx, table string, n int) (out []SealedCount, err error) {
	rows, err := tx.Query("SELECT substr(sealed, 1, ?) AS p, count(*) FROM "+table+" WHERE sealed IS NOT NULL GROUP BY 1 ORDER BY 1", n)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		c := SealedCount{Table: table}
		if err := rows.Scan(&c.Prefix, &c.Rows); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// rewriteBatch is how many rows are rewritten in one transaction: an artifact may have megabytes.
const rewriteBatch = 16

// RewriteSealed replaces every sealed value of a table that does not start with prefix by what f makes of it; f gets the row's key
// columns as text. It works in batches, outside of which nothing is locked, skips a row that another writer changed meanwhile
// (that one is new already), and can be ended and started again at any row.
func (s *Store) RewriteSealed(ctx context.Context, table string, key []string, prefix []byte, f func(key []string, sealed []byte) ([]byte, error)) error {
	keys, err := s.sealedKeys(ctx, table, key, prefix)
	if err != nil {
		return fmt.Errorf("list sealed rows of %s: %w", table, err)
	}
	where := " WHERE " + strings.Join(key, " = ? AND ") + " = ?"
	for len(keys) > 0 {
		batch := keys[:min(rewriteBatch, len(keys))]
		keys = keys[len(batch):]
		type change struct {
			key      []any
			old, new []byte
		}
		var changes []change
		for _, k := range batch {
			var old []byte
			err := s.Read(ctx, func(tx *Tx) error {
				rows, err := tx.Query("SELECT sealed FROM "+table+where, k...)
				if err != nil {
					return err
				}
				defer func() { _ = rows.Close() }()
				if rows.Next() {
					return rows.Scan(&old)
				}
				return rows.Err()
			})
			if err != nil {
				return fmt.Errorf("read a sealed row of %s: %w", table, err)
			}
			if old == nil || bytes.HasPrefix(old, prefix) {
				continue
			}
			fresh, err := f(texts(k), old)
			if err != nil {
				return fmt.Errorf("row %s of %s: %w", strings.Join(texts(k), "/"), table, err)
			}
			changes = append(changes, change{k, old, fresh})
		}
		err := s.Write(ctx, func(tx *Tx) error {
			for _, c := range changes {
				args := append([]any{c.new}, c.key...)
				if _, err := tx.Exec("UPDATE "+table+" SET sealed = ?"+where+" AND sealed = ?", append(args, c.old)...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("rewrite sealed rows of %s: %w", table, err)
		}
	}
	return nil
}

func (s *Store) sealedKeys(ctx context.Context, table string, key []string, prefix []byte) (out [][]any, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		out = nil
		rows, err := tx.Query("SELECT "+strings.Join(key, ", ")+" FROM "+table+" WHERE sealed IS NOT NULL AND substr(sealed, 1, ?) <> ?", len(prefix), prefix)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			values := make([]any, len(key))
			targets := make([]any, len(key))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				return err
			}
			out = append(out, values)
		}
		return rows.Err()
	})
	return out, err
}

// sealedTables lists the tables with a sealed column.
func sealedTables(tx *Tx) ([]string, error) {
	rows, err := tx.Query(tx.sealedTables(), SealedColumn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
}

func texts(key []any) []string {
	out := make([]string, len(key))
	for i, k := range key {
		out[i] = fmt.Sprint(k)
	}
	return out
}
