package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// EnsureStack makes the head and the journalled empty state of a stack; idempotent. empty and lineage are those of
// stacks/terraform.EmptyState: lineage from the stack's ID, serial 1.
func (j *Journal) EnsureStack(ctx context.Context, id stacks.StackID, empty []byte, lineage string) error {
	if _, err := stacks.ParseStackID(id.String()); err != nil {
		return err
	}
	serial, found, err := readSerial(empty)
	if err != nil {
		return fmt.Errorf("empty state of %s: %w", id, err)
	}
	if found != lineage || serial < 1 {
		return fmt.Errorf("empty state of %s: it has lineage %q and serial %d, want %q and at least 1", id, found, serial, lineage)
	}
	if _, err := j.Head(ctx, id); err == nil {
		return nil
	}
	return j.st.Write(ctx, func(tx *store.Tx) error {
		now := time.Now()
		epoch, err := currentEpoch(tx)
		if err != nil {
			return err
		}
		// A region may come back under its name: its fences go on after those of the stack that was forgotten, whose events are kept.
		var last int64
		if err := tx.QueryRow("SELECT coalesce(max(fence), 0) FROM events WHERE stack = ? AND epoch = ?", id.String(), epoch).Scan(&last); err != nil {
			return fmt.Errorf("last fence of %s: %w", id, err)
		}
		r, err := tx.Exec(`INSERT INTO heads (stack, incarnation, epoch, fence, attempt, status, step, run, desired, serial, lineage, shipped, step_base,
			site, runner_pid, boot_id, beat_at, terraform, template)
			VALUES (?, ?, ?, ?, '', ?, '', '', '', ?, ?, 0, 0, '', 0, '', 0, '', '') ON CONFLICT DO NOTHING`,
			id.String(), id.Incarnation, epoch, last, HeadIdle, serial, lineage)
		if err != nil {
			return fmt.Errorf("make the head: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
		s := State{Stack: id, Fence: Fence{Epoch: epoch, Number: last}, Serial: serial, Lineage: lineage, Payload: empty, At: now}
		if err := j.putState(tx, s); err != nil {
			return err
		}
		return tx.Notify("head", id.String())
	})
}

const headColumns = `stack, epoch, fence, attempt, status, step, run, desired, serial, lineage, shipped, step_base, site, runner_pid, boot_id, beat_at, terraform, template, beats,
	(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'epoch')`

// headRow is a head with what only the journal needs.
type headRow struct {
	Head
	run      string
	epoch    int64 // the store's, which may have been raised since the fence was taken
	stepBase int64
}

func scanHead(row interface{ Scan(...any) error }) (headRow, error) {
	var h headRow
	var stack string
	var beat int64
	err := row.Scan(&stack, &h.Fence.Epoch, &h.Fence.Number, &h.Fence.Attempt, &h.Status, &h.Step, &h.run, &h.Desired, &h.Serial, &h.Lineage,
		&h.Shipped, &h.stepBase, &h.Site, &h.RunnerPID, &h.BootID, &beat, &h.Terraform, &h.Template, &h.Beats, &h.epoch)
	if err != nil {
		return headRow{}, notFound(err)
	}
	h.BeatAt = fromMicros(beat)
	h.Stack, err = stacks.ParseStackID(stack)
	return h, err
}

func readHead(tx *store.Tx, id stacks.StackID) (headRow, error) {
	h, err := scanHead(tx.QueryRow("SELECT "+headColumns+" FROM heads WHERE stack = ?", id.String()))
	if err != nil {
		return headRow{}, fmt.Errorf("head of %s: %w", id, err)
	}
	return h, nil
}

// Head reads a head; ErrNotFound.
func (j *Journal) Head(ctx context.Context, id stacks.StackID) (Head, error) {
	var h headRow
	err := j.st.Read(ctx, func(tx *store.Tx) (err error) {
		h, err = readHead(tx, id)
		return err
	})
	return h.Head, err
}

// Heads lists the heads of a database's incarnation ("" for all), by region.
func (j *Journal) Heads(ctx context.Context, incarnation string) ([]Head, error) {
	if incarnation == "" {
		return j.heads(ctx, "ORDER BY stack")
	}
	return j.heads(ctx, "WHERE incarnation = ? ORDER BY stack", incarnation)
}

// HeadsRunning lists the heads whose attempt is not known to be over: at boot each is adopted.
func (j *Journal) HeadsRunning(ctx context.Context) ([]Head, error) {
	return j.heads(ctx, "WHERE status = 'running' ORDER BY stack")
}

// HeadsOf lists the heads of incarnations.
func (j *Journal) HeadsOf(ctx context.Context, incarnations []string) ([]Head, error) {
	if len(incarnations) == 0 {
		return nil, nil
	}
	args := make([]any, len(incarnations))
	for i, in := range incarnations {
		args[i] = in
	}
	return j.heads(ctx, "WHERE incarnation IN ("+strings.Join(slices.Repeat([]string{"?"}, len(args)), ", ")+") ORDER BY stack", args...)
}

func (j *Journal) heads(ctx context.Context, where string, args ...any) (out []Head, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT "+headColumns+" FROM heads "+where, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			h, err := scanHead(rows)
			if err != nil {
				return err
			}
			out = append(out, h.Head)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list heads: %w", err)
	}
	return out, nil
}

// RequestCancel sets Desired to cancel if the head runs a step of that run.
func (j *Journal) RequestCancel(ctx context.Context, tx *store.Tx, id stacks.StackID, run string) error {
	r, err := tx.ExecContext(ctx, "UPDATE heads SET desired = 'cancel' WHERE stack = ? AND run = ? AND status = 'running'", id.String(), run)
	if err != nil {
		return fmt.Errorf("request the cancel: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return tx.Notify("head", id.String())
}

func currentEpoch(tx *store.Tx) (epoch int64, err error) {
	if err := tx.QueryRow("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'epoch'").Scan(&epoch); err != nil {
		return 0, fmt.Errorf("the store's epoch: %w", err)
	}
	return epoch, nil
}
