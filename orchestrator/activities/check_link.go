package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

// looksEvery is the time between two looks of one attempt: a look costs a few small queries.
const looksEvery = 100 * time.Millisecond

// CheckLink looks until the initial copy is done and a row that was written at the source is read at the target, in time. A small copy is
// done within one attempt; for a large one the retry policy is the poll loop.
func (a *Activities) CheckLink(ctx context.Context, in LinkInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseLinking); late || err != nil {
		return RegionResult{}, err
	}
	j, err := a.loadLink(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	const cancelled = "cancelled before it was verified; the link stays and goes on copying"
	if j.run.Cancel {
		return RegionResult{}, a.setLink(ctx, j, linkFailed, cancelled)
	}
	var st providers.LinkStatus
	err = a.whileWanted(ctx, in.Run, func(ctx context.Context) (err error) {
		st, err = a.lookAtLink(ctx, j)
		return err
	})
	switch {
	case errors.Is(err, errCancelAsked):
		return RegionResult{}, a.setLink(ctx, j, linkFailed, cancelled)
	case err != nil:
		return RegionResult{}, fmt.Errorf("link %s: %w", in.Link, err)
	case st.State == providers.StateFailed:
		return RegionResult{}, a.setLink(ctx, j, linkFailed, st.Message)
	case st.State != providers.StateReady:
		return RegionResult{}, fmt.Errorf("link %s: %s: %w", in.Link, st.Message, errPending)
	}
	now := time.Now()
	j.row.Lag, j.row.VerifiedAt = st.Lag, &now
	measured := a.cloudLag(ctx, j)
	if err := a.setLink(ctx, j, linkVerified, measured); err != nil {
		return RegionResult{}, err
	}
	said := fmt.Sprintf("verified: a row written in %s was read in %s, lag %s", j.row.Spec.From, j.row.Spec.To, st.Lag.Round(100*time.Microsecond))
	if measured != "" {
		said += "; " + measured
	}
	a.log(ctx, in.Run, in.Link, slog.LevelInfo, said)
	return RegionResult{Go: true}, nil
}

// lookAtLink looks until the link is ready or cannot become it, LinkLook is over, or ctx ends; what it waits for is in the link's row.
func (a *Activities) lookAtLink(ctx context.Context, j linkJob) (st providers.LinkStatus, err error) {
	until := time.Now().Add(a.Timing.LinkLook)
	said := "" // what the row says
	if j.row.Phase == linkCopying {
		said = j.row.Message
	}
	for {
		if st, err = j.linker.CheckLink(ctx, j.input); err != nil || st.State != providers.StatePending {
			return st, err
		}
		if st.Message != said {
			if err := a.setLink(ctx, j, linkCopying, st.Message); err != nil {
				return st, err
			}
			said = st.Message
		}
		if time.Now().After(until) {
			return st, nil
		}
		select {
		case <-time.After(looksEvery):
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}
