package journal

import (
	"context"
	"errors"
	"fmt"

	"meridian/persistence/store"
)

// Verify opens every sealed value of the journal and lists those that are not what was written, or whose key is not in the ring. States and
// artifacts are held against the checksums that were stored with them.
func (j *Journal) Verify(ctx context.Context) (out []store.Damage, err error) {
	for _, t := range sealedTables {
		err := j.st.EachSealed(ctx, t.table, t.key, func(key []string, sealed []byte) {
			parts := make([]any, len(key))
			for i, k := range key {
				parts[i] = k
			}
			plain, err := j.unseal(sealed, rowContext(t.table, parts...))
			switch {
			case err != nil:
			case t.table == "states":
				err = j.verifyState(ctx, key, plain)
			case t.table == "artifacts":
				_, err = j.Artifact(ctx, key[0])
			}
			if errors.Is(err, ErrNotFound) { // pruned meanwhile
				err = nil
			}
			if err != nil {
				out = append(out, store.Damage{Table: t.table, Key: key, Err: err})
			}
		})
		if err != nil {
			return out, fmt.Errorf("verify the journal: %w", err)
		}
	}
	return out, nil
}

// verifyState holds a state against its row and its head.
func (j *Journal) verifyState(ctx context.Context, key []string, plain []byte) error {
	var digest, lineage, head string
	err := j.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT s.sha256, s.lineage, coalesce(h.lineage, '') FROM states s LEFT JOIN heads h ON h.stack = s.stack
			WHERE s.stack = ? AND CAST(s.epoch AS TEXT) = ? AND CAST(s.fence AS TEXT) = ? AND CAST(s.serial AS TEXT) = ?`, key[0], key[1], key[2], key[3]).Scan(&digest, &lineage, &head)
	})
	if err != nil {
		return notFound(err)
	}
	serial, written, err := readSerial(plain)
	switch {
	case err != nil:
		return err
	case sum(plain) != digest:
		return ErrChecksum
	case fmt.Sprint(serial) != key[3] || written != lineage:
		return fmt.Errorf("its payload is of serial %d and lineage %q, its row of %s and %q", serial, written, key[3], lineage)
	case head == "":
		return errors.New("no head has its stack")
	case head != lineage:
		return fmt.Errorf("its lineage is %q, its stack's %q", lineage, head)
	}
	return nil
}

// LooseRows lists, as sentences, what belongs to nothing: results and events without their step, an apply whose plan is not there, a head
// whose newest state is not the one that it names.
func (j *Journal) LooseRows(ctx context.Context) (out []string, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		for _, q := range []struct{ text, query string }{
			{"result of step %s has no step", "SELECT step FROM results WHERE step NOT IN (SELECT id FROM steps) ORDER BY 1"},
			{"events of step %s have no step", "SELECT DISTINCT step FROM events WHERE step NOT IN (SELECT id FROM steps) ORDER BY 1"},
			{"the plan of step %s, which has no result, is not there",
				"SELECT id FROM steps WHERE kind = 'apply' AND id NOT IN (SELECT step FROM results) AND artifact NOT IN (SELECT id FROM artifacts) ORDER BY 1"},
			{"the newest state of %s is not the one that its head names", `SELECT h.stack FROM heads h WHERE h.serial <> coalesce((SELECT s.serial FROM states s WHERE s.stack = h.stack
				ORDER BY s.epoch DESC, s.fence DESC, s.serial DESC LIMIT 1), -1) ORDER BY 1`},
		} {
			keys, err := firstColumn(ctx, tx, q.query)
			if err != nil {
				return err
			}
			for _, key := range keys {
				out = append(out, fmt.Sprintf(q.text, key))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loose rows: %w", err)
	}
	return out, nil
}

// firstColumn lists what a query of one column finds.
func firstColumn(ctx context.Context, tx *store.Tx, query string, args ...any) (out []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	return out, rows.Err()
}
