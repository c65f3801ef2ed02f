package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// TakeInput is an attempt's claim on a head.
type TakeInput struct {
	Stack     stacks.StackID
	Step      string
	Attempt   string
	Site      string
	RunnerPID int
	BootID    string
	Terraform string
	Template  string
	// OverProven says that the caller, holding both locks of Site, has proven the last attempt of this site over and shipped what it left.
	OverProven bool
	// Seen is what the caller saw of another site's attempt, where it waited for the end of its lease, which is Lease long.
	Seen  *Sighting
	Lease time.Duration
}

// TakeFence takes the next fence within tx, by compare-and-set on the head. It refuses a step that has a result (ErrHasResult) and a
// head that runs unless its attempt is proven over: by OverProven on its own site, by Over for another (ErrRunning). The same tx calls the catalog's gate first where the step applies.
func (j *Journal) TakeFence(ctx context.Context, tx *store.Tx, in TakeInput) (Fence, error) {
	if in.Attempt == "" {
		return Fence{}, errors.New("take the fence: the attempt has no ID")
	}
	h, err := readHead(tx, in.Stack)
	if err != nil {
		return Fence{}, err
	}
	var stack, run string
	err = tx.QueryRowContext(ctx, "SELECT stack, run FROM steps WHERE id = ?", in.Step).Scan(&stack, &run)
	if err != nil {
		return Fence{}, fmt.Errorf("step %s: %w", in.Step, notFound(err))
	}
	if stack != in.Stack.String() {
		return Fence{}, fmt.Errorf("step %s: it belongs to %s, not to %s", in.Step, stack, in.Stack)
	}
	if done, err := hasResult(tx, in.Step); err != nil || done {
		return Fence{}, errors.Join(err, wrapIf(done, "step "+in.Step, ErrHasResult))
	}
	if h.Status == HeadRunning {
		over := in.OverProven
		if h.Site != in.Site {
			why, err := proof(tx, h.Head, in.Seen, in.Lease)
			if err != nil {
				return Fence{}, err
			}
			over = why != ""
		}
		if !over {
			return Fence{}, fmt.Errorf("stack %s, attempt %s, runner %d on %s: %w", in.Stack, h.Fence.Attempt, h.RunnerPID, h.Site, ErrRunning)
		}
	}
	epoch := h.epoch
	// Events that an earlier attempt of this step left stay; those of this one count on after them.
	var base int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(step_last), 0) FROM events WHERE step = ?", in.Step).Scan(&base); err != nil {
		return Fence{}, fmt.Errorf("events of %s: %w", in.Step, err)
	}
	f := Fence{Epoch: epoch, Number: h.Fence.Number + 1, Attempt: in.Attempt}
	r, err := tx.ExecContext(ctx, `UPDATE heads SET epoch = ?, fence = ?, attempt = ?, status = ?, step = ?, run = ?, desired = '', shipped = 0, step_base = ?,
		site = ?, runner_pid = ?, boot_id = ?, beat_at = ?, beats = beats + 1, terraform = ?, template = ?
		WHERE stack = ? AND epoch = ? AND fence = ? AND attempt = ?`,
		f.Epoch, f.Number, f.Attempt, HeadRunning, in.Step, run, base,
		in.Site, in.RunnerPID, in.BootID, micros(time.Now()), in.Terraform, in.Template,
		in.Stack.String(), h.Fence.Epoch, h.Fence.Number, h.Fence.Attempt)
	if err != nil {
		return Fence{}, fmt.Errorf("take the fence: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return Fence{}, errors.Join(err, fmt.Errorf("take the fence of %s: %w", in.Stack, ErrFenced))
	}
	return f, tx.Notify("head", in.Stack.String())
}

// Adopted records which runner writes from now on for the attempt that it found, and returns the fence: an adopter, holding the runner's
// lock of the attempt's site, ships for it. The fence is the head's own, unless the store's epoch was raised since it was taken: then it is
// the next one, of the same attempt, so that only who holds the lock goes on. The fence in f may be one from before. ErrFenced.
func (j *Journal) Adopted(ctx context.Context, id stacks.StackID, f Fence, runnerPID int, bootID string) (now Fence, err error) {
	err = j.st.Write(ctx, func(tx *store.Tx) error {
		h, err := readHead(tx, id)
		if err != nil {
			return err
		}
		now = h.Fence
		if f.Attempt != now.Attempt || f.Epoch > now.Epoch || f.Number > now.Number || h.Status != HeadRunning {
			_, err := checkFence(tx, id, f)
			return err
		}
		if now.Epoch != h.epoch {
			now.Epoch, now.Number = h.epoch, now.Number+1
		}
		_, err = tx.Exec("UPDATE heads SET epoch = ?, fence = ?, runner_pid = ?, boot_id = ?, beat_at = ?, beats = beats + 1 WHERE stack = ?",
			now.Epoch, now.Number, runnerPID, bootID, micros(time.Now()), id.String())
		if err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
		return tx.Notify("head", id.String())
	})
	return now, err
}

// Beat renews the head, and with it the lease of its site, and returns its Desired; ErrFenced, and ErrSiteDead where the site was
// declared dead: then its lease ends.
func (j *Journal) Beat(ctx context.Context, id stacks.StackID, f Fence) (desired string, err error) {
	err = j.st.Write(ctx, func(tx *store.Tx) error {
		h, err := checkFence(tx, id, f)
		if err != nil {
			return err
		}
		desired = h.Desired
		switch owner, err := readSite(tx, h.Site); {
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		case err == nil && owner.Dead() && owner.BootID == h.BootID:
			return deadError(owner)
		}
		if _, err := tx.Exec("UPDATE heads SET beat_at = ?, beats = beats + 1 WHERE stack = ?", micros(time.Now()), id.String()); err != nil {
			return fmt.Errorf("beat: %w", err)
		}
		return nil
	})
	return desired, err
}

// checkFence reads the head and refuses a fence that is not its own. An attempt that has finished is over: its fence lets nothing
// pass any more, and the error is ErrHasResult too.
func checkFence(tx *store.Tx, id stacks.StackID, f Fence) (headRow, error) {
	h, err := readHead(tx, id)
	if err != nil {
		return headRow{}, err
	}
	if without(theFence) {
		return h, nil
	}
	if h.Fence != f || f.Epoch != h.epoch || f.Attempt == "" {
		return headRow{}, fmt.Errorf("stack %s, fence %d of %s in epoch %d against %d of %s in epoch %d: %w", id, f.Number, f.Attempt, f.Epoch, h.Fence.Number, h.Fence.Attempt, h.epoch, ErrFenced)
	}
	if h.Status != HeadRunning {
		return headRow{}, fmt.Errorf("stack %s, fence %d: %w: %w", id, f.Number, ErrFenced, ErrHasResult)
	}
	return h, nil
}

func hasResult(tx *store.Tx, step string) (bool, error) {
	var one int
	err := tx.QueryRow("SELECT 1 FROM results WHERE step = ?", step).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("result of %s: %w", step, err)
	}
	return true, nil
}

func wrapIf(yes bool, what string, err error) error {
	if !yes {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
