package activities

import (
	"context"
	"errors"
	"fmt"

	"meridian/stacks"
)

// EnsureLink makes a link, idempotently: checks, schema, publication, subscription.
func (a *Activities) EnsureLink(ctx context.Context, in LinkInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseLinking); late || err != nil {
		return RegionResult{}, err
	}
	j, err := a.loadLink(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	if j.run.Cancel {
		return RegionResult{}, a.setLink(ctx, j, linkFailed, "cancelled before it was made")
	}
	if j.row.Phase != linkVerified {
		if err := a.setLink(ctx, j, linkCopying, ""); err != nil {
			return RegionResult{}, err
		}
	}
	err = a.whileWanted(ctx, in.Run, func(ctx context.Context) error { return j.linker.EnsureLink(ctx, j.input) })
	if errors.Is(err, errCancelAsked) {
		return RegionResult{}, a.setLink(ctx, j, linkFailed, "cancelled while it was made; the next apply goes on from there")
	}
	if err != nil {
		return RegionResult{}, fmt.Errorf("link %s: %w", in.Link, err)
	}
	return RegionResult{Go: true}, nil
}
