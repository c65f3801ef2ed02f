package journal

import (
	"context"
	"fmt"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// HeldHead is a head whose attempt is not known to be over.
type HeldHead struct {
	Stack stacks.StackID
	Site  string
	Step  string
	// Since is no later than the attempt's beginning: when its step was made. Zero where that is not known.
	Since time.Time
}

// HeldHeads lists the heads whose attempt is not known to be over, with what they have worked on and since when, by stack.
func (j *Journal) HeldHeads(ctx context.Context) (out []HeldHead, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(`SELECT h.stack, h.site, h.step, coalesce(s.created_at, 0) FROM heads h LEFT JOIN steps s ON s.id = h.step
			WHERE h.status = ? ORDER BY h.stack`, HeadRunning)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var h HeldHead
			var stack string
			var since int64
			if err := rows.Scan(&stack, &h.Site, &h.Step, &since); err != nil {
				return err
			}
			if h.Stack, err = stacks.ParseStackID(stack); err != nil {
				return err
			}
			h.Since = fromMicros(since)
			out = append(out, h)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list held heads: %w", err)
	}
	return out, nil
}
