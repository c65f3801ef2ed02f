package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// eventRow is one event inside a batch's sealed value; Seq counts through the fence.
type eventRow struct {
	Seq     int64  `json:"s"`
	At      int64  `json:"t"`
	Payload []byte `json:"p"`
}

// errShipped means that another call shipped events between the look and the write: look again.
var errShipped = errors.New("the sequence moved")

// Ship appends events (a sequence that is already there is skipped) and keeps the snapshot if it is newer; ErrFenced.
// Sequences start at 1 and are shipped in order. One call is one commit and at most two rows.
func (j *Journal) Ship(ctx context.Context, id stacks.StackID, f Fence, step string, b Batch) error {
	if b.State != nil {
		if err := checkState(*b.State); err != nil {
			return fmt.Errorf("ship %s: %w", step, err)
		}
	}
	for {
		h, err := j.Head(ctx, id)
		if err != nil {
			return err
		}
		row, err := j.sealEvents(id, f, h.Shipped, b.Events)
		if err != nil {
			return err
		}
		err = j.st.Write(ctx, func(tx *store.Tx) error { return j.ship(tx, id, f, step, h.Shipped, row, b.State) })
		if !errors.Is(err, errShipped) {
			return err
		}
	}
}

// batchRow is a batch of events as it is stored.
type batchRow struct {
	first, last int64
	sealed      []byte
}

// sealEvents packs the events above shipped into one row, outside of any transaction; nil where there are none.
func (j *Journal) sealEvents(id stacks.StackID, f Fence, shipped int64, events []Event) (*batchRow, error) {
	rows := make([]eventRow, 0, len(events))
	for _, e := range events {
		if e.Seq > shipped {
			rows = append(rows, eventRow{Seq: e.Seq, At: micros(e.At), Payload: e.Payload})
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(rows, func(a, b eventRow) int { return cmp.Compare(a.Seq, b.Seq) })
	rows = slices.CompactFunc(rows, func(a, b eventRow) bool { return a.Seq == b.Seq })
	row := &batchRow{first: rows[0].Seq, last: rows[len(rows)-1].Seq}
	var err error
	row.sealed, err = j.sealJSON(rows, rowContext("events", id, f.Epoch, f.Number, row.first))
	return row, err
}

func (j *Journal) ship(tx *store.Tx, id stacks.StackID, f Fence, step string, shipped int64, row *batchRow, s *State) error {
	h, err := checkFence(tx, id, f)
	if err != nil {
		return err
	}
	if h.Step != step {
		return fmt.Errorf("ship %s: the fence works on %s: %w", step, h.Step, ErrFenced)
	}
	if h.Shipped != shipped {
		return errShipped
	}
	changed := false
	if row != nil {
		changed = true
		_, err := tx.Exec(`INSERT INTO events (stack, epoch, fence, first_seq, last_seq, attempt, step, step_last, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			id.String(), f.Epoch, f.Number, row.first, row.last, f.Attempt, step, h.stepBase+row.last, row.sealed)
		if err != nil {
			return fmt.Errorf("ship events of %s: %w", step, err)
		}
		if _, err := tx.Exec("UPDATE heads SET shipped = ? WHERE stack = ?", row.last, id.String()); err != nil {
			return fmt.Errorf("ship events of %s: %w", step, err)
		}
	}
	if s != nil && s.Serial > h.Serial {
		changed = true
		if s.Lineage != h.Lineage {
			return fmt.Errorf("ship %s: the state has lineage %q, the stack %q", step, s.Lineage, h.Lineage)
		}
		kept := *s
		kept.Stack, kept.Fence = id, f
		if kept.At.IsZero() {
			kept.At = time.Now()
		}
		if err := j.putState(tx, kept); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	return tx.Notify("head", id.String())
}

// Events lists up to limit events of a step with a sequence above after. Where an earlier attempt of the step left events, those of
// the later one go on counting after them, so that a reader's position is one number.
func (j *Journal) Events(ctx context.Context, step string, after int64, limit int) ([]Event, error) {
	type stored struct {
		e        Event
		first    int64
		stepLast int64
		last     int64
		sealed   []byte
	}
	var batches []stored
	err := j.st.Read(ctx, func(tx *store.Tx) error {
		batches = batches[:0]
		rows, err := tx.Query(`SELECT stack, epoch, fence, attempt, first_seq, last_seq, step_last, sealed FROM events
			WHERE step = ? AND step_last > ? ORDER BY step_last LIMIT ?`, step, after, max(limit, 1))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		count := int64(0)
		for rows.Next() && count < int64(limit) {
			var b stored
			var stack string
			if err := rows.Scan(&stack, &b.e.Fence.Epoch, &b.e.Fence.Number, &b.e.Fence.Attempt, &b.first, &b.last, &b.stepLast, &b.sealed); err != nil {
				return err
			}
			if b.e.Stack, err = stacks.ParseStackID(stack); err != nil {
				return err
			}
			batches = append(batches, b)
			count += b.stepLast - max(after, b.stepLast-(b.last-b.first)-1)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("events of %s: %w", step, err)
	}
	var out []Event
	for _, b := range batches {
		plain, err := j.unseal(b.sealed, rowContext("events", b.e.Stack, b.e.Fence.Epoch, b.e.Fence.Number, b.first))
		if err != nil {
			return nil, err
		}
		var rows []eventRow
		if err := json.Unmarshal(plain, &rows); err != nil {
			return nil, fmt.Errorf("events of %s: %w", step, err)
		}
		base := b.stepLast - b.last
		for _, r := range rows {
			if base+r.Seq <= after {
				continue
			}
			if len(out) == limit {
				return out, nil
			}
			e := b.e
			e.Step, e.Seq, e.At, e.Payload = step, base+r.Seq, fromMicros(r.At), r.Payload
			out = append(out, e)
		}
	}
	return out, nil
}
