package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// ErrNotEmpty means that a store that should be copied into holds something else.
var ErrNotEmpty = errors.New("the target holds rows of its own")

// Copied says what a copy of one table is: its rows, and a digest of all of them in order of their key.
type Copied struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"`
}

// feedTable is the feed of changes: notices of what is in the other tables. It stays behind.
const feedTable = "changes"

// Copy copies every row of one store into another of the other kind, in one transaction: all or nothing. Before it commits, each
// table is read back and compared by count and digest. The source is only read. A target that holds the same already is left as
// it is; one that holds anything else is ErrNotEmpty. Nobody else may work on either.
func Copy(ctx context.Context, from, to *Store) (out []Copied, err error) {
	file := from
	if from.Shared() == to.Shared() {
		return nil, errors.New("want one store in SQLite and one in PostgreSQL; copies within one kind are made by its own tools")
	}
	if from.Shared() {
		file = to
	}
	tables, err := file.shapes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	err = from.Read(ctx, func(source *Tx) error {
		return to.Write(ctx, func(target *Tx) error {
			out = nil
			same, err := alreadyCopied(source, target, tables)
			if err != nil || same != nil {
				out = same
				return err
			}
			for _, t := range tables {
				c, err := t.copy(source, target)
				if err != nil {
					return fmt.Errorf("copy %s: %w", t.name, err)
				}
				out = append(out, c)
			}
			return nil
		})
	})
	return out, err
}

// alreadyCopied is what the target holds, where that is the same as the source; nil where it is empty.
func alreadyCopied(source, target *Tx, tables []shape) ([]Copied, error) {
	var there []Copied
	for _, t := range tables {
		c, err := t.digest(target)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", t.name, err)
		}
		there = append(there, c)
	}
	if !slices.ContainsFunc(there, func(c Copied) bool { return c.Rows > 0 && c.Table != "meta" }) {
		return nil, nil
	}
	for i, t := range tables {
		c, err := t.digest(source)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", t.name, err)
		}
		if c != there[i] {
			return nil, fmt.Errorf("%w: %s has %d rows", ErrNotEmpty, t.name, there[i].Rows)
		}
	}
	return there, nil
}

// shape is a table: its columns and its key.
type shape struct {
	name    string
	columns []string
	key     []string
	// counted is the column whose values PostgreSQL gives out by itself, "" without one.
	counted string
}

// shapes lists the tables of a file in the order in which they were made: what refers to a table comes after it.
func (s *Store) shapes(ctx context.Context) (out []shape, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, `SELECT m.name, c.name, c.pk, m.sql LIKE '%AUTOINCREMENT%' FROM sqlite_schema m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT IN ('goose_db_version', '`+feedTable+`') ORDER BY m.rowid, c.cid`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		keys := map[string]map[int]string{}
		for rows.Next() {
			var table, column string
			var place int
			var counts bool
			if err := rows.Scan(&table, &column, &place, &counts); err != nil {
				return err
			}
			if len(out) == 0 || out[len(out)-1].name != table {
				out = append(out, shape{name: table})
				keys[table] = map[int]string{}
			}
			t := &out[len(out)-1]
			t.columns = append(t.columns, column)
			if place > 0 {
				keys[table][place] = column
			}
			if place > 0 && counts {
				t.counted = column
			}
		}
		for i := range out {
			for n := 1; n <= len(keys[out[i].name]); n++ {
				out[i].key = append(out[i].key, keys[out[i].name][n])
			}
		}
		return rows.Err()
	})
	return out, err
}

// query reads the table in order of its key.
func (t shape) query() string {
	order := t.key
	if len(order) == 0 {
		order = t.columns
	}
	return "SELECT " + strings.Join(t.columns, ", ") + " FROM " + t.name + " ORDER BY " + strings.Join(order, ", ")
}

// each calls f with the values of each row.
func (t shape) each(tx *Tx, f func(values []any) error) error {
	rows, err := tx.Query(t.query())
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	values, targets := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t shape) digest(tx *Tx) (Copied, error) {
	sum := newRowSum()
	err := t.each(tx, sum.add)
	return sum.of(t.name), err
}

// copy copies the rows and compares what arrived.
func (t shape) copy(source, target *Tx) (Copied, error) {
	if _, err := target.Exec("DELETE FROM " + t.name); err != nil { // a new store has rows of its own in meta
		return Copied{}, err
	}
	insert := "INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
	sum := newRowSum()
	err := t.each(source, func(values []any) error {
		if err := sum.add(values); err != nil {
			return err
		}
		_, err := target.Exec(insert, values...)
		return err
	})
	if err != nil {
		return Copied{}, err
	}
	arrived, err := t.digest(target)
	if err != nil {
		return Copied{}, err
	}
	if sent := sum.of(t.name); sent != arrived {
		return Copied{}, fmt.Errorf("%d rows were sent and %d arrived, or they differ: nothing was kept", sent.Rows, arrived.Rows)
	}
	if _, shared := target.dialect.(*postgresDialect); shared && t.counted != "" {
		var next sql.NullInt64 // the next number is past those that were copied
		err = target.QueryRow(fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%s', '%s'), (SELECT max(%s) FROM %s))", t.name, t.counted, t.counted, t.name)).Scan(&next)
	}
	return arrived, err
}

// rowSum digests rows whose values both stores give back as the same types.
type rowSum struct {
	sum  hash.Hash
	rows int64
}

func newRowSum() *rowSum { return &rowSum{sum: sha256.New()} }

func (s *rowSum) add(values []any) error {
	s.rows++
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			fmt.Fprint(s.sum, "n;")
		case int64:
			fmt.Fprintf(s.sum, "i%d;", v)
		case string:
			fmt.Fprintf(s.sum, "t%d:%s;", len(v), v)
		case []byte:
			fmt.Fprintf(s.sum, "b%d:%s;", len(v), v)
		default:
			return fmt.Errorf("a value is %T, which no table of ours holds", v)
		}
	}
	return nil
}

func (s *rowSum) of(table string) Copied {
	return Copied{Table: table, Rows: s.rows, Digest: hex.EncodeToString(s.sum.Sum(nil))}
}
