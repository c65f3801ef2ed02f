package catalog

import (
	"context"
	"fmt"
	"math"
	"time"

	"meridian/persistence/store"
)

// Audit is one line of who did what.
type Audit struct {
	At                     time.Time
	Actor, Verb, Subject   string
	Detail                 string
	Namespace, Name, RunID string
}

// RecordAudit appends a line, for what the catalog does not see happen (a password that was revealed). It must hold no secret.
func (c *Catalog) RecordAudit(ctx context.Context, a Audit) error {
	return c.st.Write(ctx, func(tx *store.Tx) error { return record(tx, a) })
}

// RecordAuditIn is RecordAudit within tx.
func (c *Catalog) RecordAuditIn(tx *store.Tx, a Audit) error { return record(tx, a) }

func record(tx *store.Tx, a Audit) error {
	_, err := tx.Exec("INSERT INTO audit (at, actor, verb, subject, detail, namespace, name, run) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		now().UnixMicro(), a.Actor, a.Verb, a.Subject, a.Detail, a.Namespace, a.Name, a.RunID)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Audits lists the audit of a database, newest first, of all its incarnations; limit 0 is all.
func (c *Catalog) Audits(ctx context.Context, namespace, name string, limit int) (out []Audit, err error) {
	if limit <= 0 {
		limit = math.MaxInt32
	}
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT at, actor, verb, subject, detail, namespace, name, run FROM audit WHERE namespace = ? AND name = ? ORDER BY seq DESC LIMIT ?", namespace, name, limit)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var a Audit
			var at int64
			if err := rows.Scan(&at, &a.Actor, &a.Verb, &a.Subject, &a.Detail, &a.Namespace, &a.Name, &a.RunID); err != nil {
				return err
			}
			a.At = fromMicros(at)
			out = append(out, a)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("audit of %s/%s: %w", namespace, name, err)
	}
	return out, nil
}
