package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// PutStep stores a step; the first of an ID wins and is returned.
func (j *Journal) PutStep(ctx context.Context, s Step) (Step, error) {
	if s.ID == "" || s.Run == "" {
		return Step{}, errors.New("put a step: it needs an ID and a run")
	}
	if _, err := stacks.ParseStackID(s.Stack.ID.String()); err != nil {
		return Step{}, fmt.Errorf("put step %s: %w", s.ID, err)
	}
	if first, err := j.Step(ctx, s.ID); err == nil || !errors.Is(err, ErrNotFound) {
		return first, err
	}
	if s.CreatedAt.IsZero() {
		s.CreatedAt = time.Now()
	}
	sealed, err := j.sealJSON(sealedStep{Stack: s.Stack, Recovery: s.Recovery, Targets: s.Targets}, rowContext("steps", s.ID))
	if err != nil {
		return Step{}, err
	}
	err = j.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO steps (id, run, stack, kind, destroy, artifact, created_at, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			s.ID, s.Run, s.Stack.ID.String(), s.Kind, s.Destroy, s.Artifact, micros(s.CreatedAt), sealed)
		return err
	})
	if err != nil {
		return Step{}, fmt.Errorf("put step %s: %w", s.ID, err)
	}
	return j.Step(ctx, s.ID)
}

// Step reads a step; ErrNotFound.
func (j *Journal) Step(ctx context.Context, id string) (Step, error) {
	s := Step{ID: id}
	var created int64
	var sealed []byte
	err := j.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT run, kind, destroy, artifact, created_at, sealed FROM steps WHERE id = ?", id).
			Scan(&s.Run, &s.Kind, &s.Destroy, &s.Artifact, &created, &sealed)
	})
	if err != nil {
		return Step{}, fmt.Errorf("step %s: %w", id, notFound(err))
	}
	s.CreatedAt = fromMicros(created)
	var content sealedStep
	if err := j.unsealJSON(sealed, rowContext("steps", id), &content); err != nil {
		return Step{}, err
	}
	s.Stack, s.Recovery, s.Targets = content.Stack, content.Recovery, content.Targets
	return s, nil
}

// sealedStep is what of a step is sealed.
type sealedStep struct {
	stacks.Stack
	Recovery stacks.Recovery `json:"recovery,omitzero"`
	Targets  []string        `json:"targets,omitempty"`
}

// StepInfo is a step without its stack's files. Outcome is "" and FinishedAt zero while it has no result.
type StepInfo struct {
	ID         string
	Run        string
	Kind       StepKind
	Destroy    bool
	Stack      stacks.StackID
	CreatedAt  time.Time
	Outcome    Outcome
	FinishedAt time.Time
}

// Steps lists a run's steps in the order in which they were made.
func (j *Journal) Steps(ctx context.Context, run string) ([]StepInfo, error) {
	out, err := j.steps(ctx, "s.run = ? ORDER BY s.created_at, s.id", run)
	if err != nil {
		return nil, fmt.Errorf("steps of run %s: %w", run, err)
	}
	return out, nil
}

// Applies lists up to limit apply steps of a stack, of every run, newest first.
func (j *Journal) Applies(ctx context.Context, id stacks.StackID, limit int) ([]StepInfo, error) {
	out, err := j.steps(ctx, "s.stack = ? AND s.kind = ? ORDER BY s.created_at DESC, s.id DESC LIMIT ?", id.String(), StepApply, limit)
	if err != nil {
		return nil, fmt.Errorf("applies of %s: %w", id, err)
	}
	return out, nil
}

func (j *Journal) steps(ctx context.Context, where string, args ...any) (out []StepInfo, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(`SELECT s.id, s.run, s.kind, s.destroy, s.stack, s.created_at, coalesce(r.outcome, ''), coalesce(r.finished_at, 0)
			FROM steps s LEFT JOIN results r ON r.step = s.id WHERE `+where, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var s StepInfo
			var stack string
			var created, finished int64
			if err := rows.Scan(&s.ID, &s.Run, &s.Kind, &s.Destroy, &stack, &created, &s.Outcome, &finished); err != nil {
				return err
			}
			if s.Stack, err = stacks.ParseStackID(stack); err != nil {
				return err
			}
			s.CreatedAt, s.FinishedAt = fromMicros(created), fromMicros(finished)
			out = append(out, s)
		}
		return rows.Err()
	})
	return out, err
}
