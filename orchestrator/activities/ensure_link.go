package activities

import (
	"context"
	"fmt"
	"time"

	"meridian/providers"
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
	if err := j.linker.EnsureLink(ctx, j.input); err != nil {
		return RegionResult{}, fmt.Errorf("link %s: %w", in.Link, err)
	}
	return RegionResult{Go: true}, nil
}

// CheckLink takes one look: the initial copy is done, and a row that was written at the source is read at the target, in time.
func (a *Activities) CheckLink(ctx context.Context, in LinkInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseLinking); late || err != nil {
		return RegionResult{}, err
	}
	j, err := a.loadLink(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	if j.run.Cancel {
		return RegionResult{}, a.setLink(ctx, j, linkFailed, "cancelled before it was verified; the link stays and goes on copying")
	}
	st, err := j.linker.CheckLink(ctx, j.input)
	switch {
	case err != nil:
		return RegionResult{}, fmt.Errorf("link %s: %w", in.Link, err)
	case st.State == providers.StateFailed:
		return RegionResult{}, a.setLink(ctx, j, linkFailed, st.Message)
	case st.State != providers.StateReady:
		if err := a.setLink(ctx, j, linkCopying, st.Message); err != nil {
			return RegionResult{}, err
		}
		return RegionResult{}, fmt.Errorf("link %s: %s: %w", in.Link, st.Message, errPending)
	}
	now := time.Now()
	j.row.Lag, j.row.VerifiedAt = st.Lag, &now
	return RegionResult{Go: true}, a.setLink(ctx, j, linkVerified, "")
}

func timeDuration(d stacks.Duration) time.Duration { return time.Duration(d) }
