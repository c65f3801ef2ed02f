package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Tx is one transaction. Queries are written with ? for each argument, in SQL that both stores understand.
type Tx struct {
	tx *sql.Tx
	dialect
	ctx      context.Context // of queries that name none
	notified bool
	wrote    bool
}

// Exec runs a statement.
func (tx *Tx) Exec(query string, args ...any) (sql.Result, error) {
	return tx.ExecContext(tx.ctx, query, args...)
}

// ExecContext runs a statement until ctx ends.
func (tx *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	fit, err := tx.fit(args)
	if err != nil {
		return nil, err
	}
	tx.wrote = true
	return tx.tx.ExecContext(ctx, tx.rebind(query), fit...)
}

// Query runs a query. Its rows are closed before the next query of the transaction: PostgreSQL answers one at a time.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return tx.QueryContext(tx.ctx, query, args...)
}

// QueryContext runs a query until ctx ends.
func (tx *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	fit, err := tx.fit(args)
	if err != nil {
		return nil, err
	}
	return tx.tx.QueryContext(ctx, tx.rebind(query), fit...)
}

// QueryRow runs a query for one row.
func (tx *Tx) QueryRow(query string, args ...any) Row {
	return tx.QueryRowContext(tx.ctx, query, args...)
}

// QueryRowContext runs a query for one row until ctx ends.
func (tx *Tx) QueryRowContext(ctx context.Context, query string, args ...any) Row {
	fit, err := tx.fit(args)
	if err != nil {
		return Row{err: err}
	}
	return Row{row: tx.tx.QueryRowContext(ctx, tx.rebind(query), fit...)}
}

// Row is the answer of QueryRow.
type Row struct {
	row *sql.Row
	err error
}

// Scan reads the row's columns; sql.ErrNoRows where there is none.
func (r Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.row.Scan(dest...)
}

// fit makes the arguments fit the store.
func (tx *Tx) fit(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		var err error
		if out[i], err = tx.arg(a); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return out, nil
}

// Notify appends a change of a topic ("run", "check", "database", "head", "step") and its key to the change feed, within the transaction.
func (tx *Tx) Notify(topic, key string) error {
	var seq int64
	err := tx.QueryRow("INSERT INTO changes (topic, key, at) VALUES (?, ?, ?) RETURNING seq", topic, key, time.Now().UnixMicro()).Scan(&seq)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	tx.notified, tx.wrote = true, true
	if seq%pruneEvery != 0 {
		return nil
	}
	if _, err := tx.Exec("DELETE FROM changes WHERE seq <= ?", seq-keepChanges); err != nil {
		return fmt.Errorf("prune the change feed: %w", err)
	}
	return nil
}
