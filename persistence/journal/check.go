package journal

import (
	"context"
	"fmt"

	"meridian/persistence/store"
	"meridian/stacks"
)

// ForgetSteps removes the check steps of these runs and their results, within tx: nothing else refers to them.
func (j *Journal) ForgetSteps(tx *store.Tx, runs []string) error {
	for _, run := range runs {
		for _, q := range []string{
			"DELETE FROM results WHERE step IN (SELECT id FROM steps WHERE run = ? AND kind = ?)",
			"DELETE FROM steps WHERE run = ? AND kind = ?",
		} {
			if _, err := tx.Exec(q, run, StepCheck); err != nil {
				return fmt.Errorf("forget the checks of %s: %w", run, err)
			}
		}
	}
	return nil
}

// LastStack is the stack that a region's world was last brought to, or towards.
type LastStack struct {
	Stack stacks.Stack
	// Settled says that it got there: the apply ended well, or a plan found nothing to change.
	Settled bool
}

// lastSteps bounds how many steps LastStack looks through: plans that changed something and were never applied say nothing of the world.
const lastSteps = 200

// LastStackOf reads the stack that a region's world was last brought to: that of the newest apply (of no destruction), or of the newest plan
// after it that found nothing to change. ErrNotFound where there is neither.
func (j *Journal) LastStackOf(ctx context.Context, id stacks.StackID) (LastStack, error) {
	steps, err := j.steps(ctx, "s.stack = ? AND s.kind <> ? AND s.destroy = 0 ORDER BY s.created_at DESC, s.id DESC LIMIT ?", id.String(), StepCheck, lastSteps)
	if err != nil {
		return LastStack{}, fmt.Errorf("steps of %s: %w", id, err)
	}
	for _, s := range steps {
		if s.Kind != StepApply && s.Outcome != OutcomeUnchanged {
			continue
		}
		full, err := j.Step(ctx, s.ID)
		if err != nil {
			return LastStack{}, err
		}
		return LastStack{Stack: full.Stack, Settled: s.Outcome == OutcomeApplied || s.Outcome == OutcomeUnchanged}, nil
	}
	return LastStack{}, fmt.Errorf("an apply of %s: %w", id, ErrNotFound)
}
