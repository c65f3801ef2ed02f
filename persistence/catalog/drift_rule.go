package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// DriftRule is what a person said of drift: a pattern that is none, or a key whose value of then was accepted.
type DriftRule struct {
	stacks.DriftRule
	Reason string
	At     time.Time
}

// driftRuleText is the sealed part of a rule: an accepted value is one of the world.
type driftRuleText struct {
	Kind   stacks.DriftKind `json:"kind,omitempty"`
	Found  string           `json:"found,omitempty"`
	Reason string           `json:"reason,omitempty"`
}

// Verbs of drift rules, as they stand in rows and in the audit.
const (
	driftIgnore = "ignore drift"
	driftAccept = "accept drift"
)

func (r DriftRule) verb() string {
	if r.Accept {
		return driftAccept
	}
	return driftIgnore
}

// PutDriftRule stores what a person said, in the place of what was said of the same pattern before; audited. ErrNotFound.
func (c *Catalog) PutDriftRule(ctx context.Context, incarnation string, r DriftRule) error {
	sealed, err := c.sealJSON(driftRuleText{Kind: r.Kind, Found: r.Found, Reason: r.Reason}, rowContext("drift_rules", incarnation, r.Pattern, r.verb()))
	if err != nil {
		return err
	}
	return c.changeDriftRule(ctx, incarnation, Audit{Actor: r.By, Verb: r.verb(), Subject: r.Pattern, Detail: r.Reason}, func(tx *store.Tx) (bool, error) {
		_, err := tx.Exec(`INSERT INTO drift_rules (incarnation, pattern, verb, actor, at, sealed) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (incarnation, pattern, verb) DO UPDATE SET actor = excluded.actor, at = excluded.at, sealed = excluded.sealed`,
			incarnation, r.Pattern, r.verb(), r.By, now().UnixMicro(), sealed)
		return true, err
	})
}

// DropDriftRule takes back all that was said of a pattern; audited. ErrNotFound where nothing was.
func (c *Catalog) DropDriftRule(ctx context.Context, incarnation, pattern, actor string) error {
	return c.changeDriftRule(ctx, incarnation, Audit{Actor: actor, Verb: "watch drift", Subject: pattern}, func(tx *store.Tx) (bool, error) {
		res, err := tx.Exec("DELETE FROM drift_rules WHERE incarnation = ? AND pattern = ?", incarnation, pattern)
		if err != nil {
			return false, err
		}
		n, err := res.RowsAffected()
		return n > 0, err
	})
}

func (c *Catalog) changeDriftRule(ctx context.Context, incarnation string, a Audit, change func(tx *store.Tx) (bool, error)) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		db, err := incarnationOf(tx, incarnation)
		if err != nil {
			return err
		}
		found, err := change(tx)
		if err != nil {
			return fmt.Errorf("drift rule %q: %w", a.Subject, err)
		}
		if !found {
			return fmt.Errorf("drift rule %q: %w", a.Subject, ErrNotFound)
		}
		a.Namespace, a.Name = db.Namespace, db.Name
		return errors.Join(record(tx, a), tx.Notify("database", db.Namespace+"/"+db.Name))
	})
}

// DriftRules lists what people said of an incarnation's drift, by pattern.
func (c *Catalog) DriftRules(ctx context.Context, incarnation string) (out []DriftRule, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT pattern, verb, actor, at, sealed FROM drift_rules WHERE incarnation = ? ORDER BY pattern, verb", incarnation)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var r DriftRule
			var verb string
			var at int64
			var sealed []byte
			if err := rows.Scan(&r.Pattern, &verb, &r.By, &at, &sealed); err != nil {
				return err
			}
			var text driftRuleText
			if err := c.unsealJSON(sealed, rowContext("drift_rules", incarnation, r.Pattern, verb), &text); err != nil {
				return err
			}
			r.Accept, r.At, r.Kind, r.Found, r.Reason = verb == driftAccept, fromMicros(at), text.Kind, text.Found, text.Reason
			out = append(out, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("drift rules of %s: %w", incarnation, err)
	}
	return out, nil
}
