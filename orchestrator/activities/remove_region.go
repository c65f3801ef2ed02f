package activities

import (
	"context"
	"fmt"

	"meridian/persistence/store"
	"meridian/stacks"
)

// RemoveRegion forgets a region that terraform has destroyed: head, states and artifacts, placement, endpoint and secrets.
func (a *Activities) RemoveRegion(ctx context.Context, in RegionInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseApplying); late || err != nil {
		return RegionResult{}, err
	}
	w, err := a.load(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	switch w.row.Phase {
	case stacks.RegionRemoved:
		return RegionResult{Go: true}, nil
	case stacks.RegionFailed, stacks.RegionCancelled, stacks.RegionPending:
		return RegionResult{}, nil
	}
	err = a.Catalog.RemoveRegion(ctx, w.stack, func(tx *store.Tx) error { return a.Journal.Forget(ctx, tx, w.stack) })
	if err != nil {
		return RegionResult{}, fmt.Errorf("forgetting %s: %w", w.stack, err)
	}
	return RegionResult{Go: true}, a.setRegion(ctx, w, stacks.RegionRemoved, "")
}
