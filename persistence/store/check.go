package store

import (
	"context"
	"fmt"
	"strings"
)

// Damage is one stored value that is not what was written.
type Damage struct {
	Table string
	Key   []string
	Err   error
}

// String names the value and what is wrong with it.
func (d Damage) String() string {
	return fmt.Sprintf("row %s of %s: %v", strings.Join(d.Key, "/"), d.Table, d.Err)
}

// integrityLines bounds what SQLite tells of a damaged file.
const integrityLines = 20

// Check reads the whole file and says what is wrong with it; nothing where it is sound. PostgreSQL looks after its own files.
func (s *Store) Check(ctx context.Context) (out []string, err error) {
	if _, file := s.dialect.(sqliteDialect); !file {
		return nil, nil
	}
	err = s.Read(ctx, func(tx *Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", integrityLines))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			if line != "ok" {
				out = append(out, line)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", err)
	}
	return out, nil
}

// EachSealed calls f with every sealed value of a table and its row's key columns as text, a row at a time, outside of any transaction.
func (s *Store) EachSealed(ctx context.Context, table string, key []string, f func(key []string, sealed []byte)) error {
	var keys [][]any
	err := s.Read(ctx, func(tx *Tx) error {
		keys = nil
		rows, err := tx.QueryContext(ctx, "SELECT "+strings.Join(key, ", ")+" FROM "+table+" WHERE sealed IS NOT NULL ORDER BY "+strings.Join(key, ", "))
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
			keys = append(keys, values)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("list sealed rows of %s: %w", table, err)
	}
	where := " WHERE sealed IS NOT NULL AND " + strings.Join(key, " = ? AND ") + " = ?"
	for _, k := range keys {
		var sealed []byte
		err := s.Read(ctx, func(tx *Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT sealed FROM "+table+where, k...)
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			sealed = nil
			if rows.Next() {
				return rows.Scan(&sealed)
			}
			return rows.Err()
		})
		if err != nil {
			return fmt.Errorf("read a sealed row of %s: %w", table, err)
		}
		if sealed != nil { // else it is gone by now
			f(texts(k), sealed)
		}
	}
	return nil
}
