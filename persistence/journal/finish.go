package journal

import (
	"context"
	"fmt"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Finish stores the result (and the artifact, if any), prunes all but the newest snapshot of this fence, and sets the head idle and
// Desired empty, in one transaction; ErrFenced, ErrHasResult. Where the run already has an artifact for the same stack digest and
// state serial, that one stays, and the result names it and its changes.
func (j *Journal) Finish(ctx context.Context, id stacks.StackID, f Fence, r Result, a *Artifact) error {
	if a != nil {
		if err := checkArtifact(*a); err != nil {
			return fmt.Errorf("finish %s: %w", r.Step, err)
		}
	}
	var sealedArtifact []byte
	if a != nil {
		var err error
		if sealedArtifact, err = j.sealArtifact(*a); err != nil {
			return err
		}
	}
	return j.st.Write(ctx, func(tx *store.Tx) error {
		if done, err := hasResult(tx, r.Step); err != nil {
			return err
		} else if done {
			return fmt.Errorf("finish %s: %w", r.Step, ErrHasResult)
		}
		h, err := checkFence(tx, id, f)
		if err != nil {
			return err
		}
		if h.Step != r.Step {
			return fmt.Errorf("finish %s: the fence works on %s: %w", r.Step, h.Step, ErrFenced)
		}
		kept := r
		if kept.Serial == 0 {
			kept.Serial = h.Serial
		}
		if a != nil {
			first, err := j.putArtifact(tx, *a, sealedArtifact)
			if err != nil {
				return err
			}
			kept.Artifact, kept.Changes = first.ID, first.Changes
		}
		if err := j.putResult(tx, kept); err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM states WHERE stack = ? AND epoch = ? AND fence = ? AND serial <
			(SELECT max(serial) FROM states WHERE stack = ? AND epoch = ? AND fence = ?)`,
			id.String(), f.Epoch, f.Number, id.String(), f.Epoch, f.Number)
		if err != nil {
			return fmt.Errorf("prune snapshots of %s: %w", id, err)
		}
		if _, err := tx.Exec("UPDATE heads SET status = ?, desired = '', beat_at = ? WHERE stack = ?", HeadIdle, micros(time.Now()), id.String()); err != nil {
			return fmt.Errorf("free the head of %s: %w", id, err)
		}
		return tx.Notify("head", id.String())
	})
}

// FinishCheck stores the result of a check step, which holds no fence; the first wins.
func (j *Journal) FinishCheck(ctx context.Context, r Result) error {
	return j.st.Write(ctx, func(tx *store.Tx) error {
		var kind StepKind
		if err := tx.QueryRow("SELECT kind FROM steps WHERE id = ?", r.Step).Scan(&kind); err != nil {
			return fmt.Errorf("step %s: %w", r.Step, notFound(err))
		}
		if kind != StepCheck {
			return fmt.Errorf("finish %s: a step of kind %s finishes under its fence", r.Step, kind)
		}
		if done, err := hasResult(tx, r.Step); err != nil || done {
			return err
		}
		return j.putResult(tx, r)
	})
}

// Result reads a step's result; ErrNotFound while it has none.
func (j *Journal) Result(ctx context.Context, step string) (Result, error) {
	var sealed []byte
	err := j.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT sealed FROM results WHERE step = ?", step).Scan(&sealed)
	})
	if err != nil {
		return Result{}, fmt.Errorf("result of %s: %w", step, notFound(err))
	}
	var r Result
	if err := j.unsealJSON(sealed, rowContext("results", step), &r); err != nil {
		return Result{}, err
	}
	return r, nil
}

func (j *Journal) putResult(tx *store.Tx, r Result) error {
	if r.FinishedAt.IsZero() {
		r.FinishedAt = time.Now()
	}
	sealed, err := j.sealJSON(r, rowContext("results", r.Step))
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO results (step, outcome, serial, artifact, finished_at, sealed) VALUES (?, ?, ?, ?, ?, ?)",
		r.Step, r.Outcome, r.Serial, r.Artifact, micros(r.FinishedAt), sealed)
	if err != nil {
		return fmt.Errorf("result of %s: %w", r.Step, err)
	}
	return tx.Notify("step", r.Step)
}
