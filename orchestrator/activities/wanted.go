package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
)

// errCancelAsked says that a person cancelled the run while a step waited for databases.
var errCancelAsked = errors.New("the run was cancelled")

// whileWanted calls f with a context that ends once the run is cancelled or the worker stops, and heartbeats meanwhile. Where one of these
// cut f off, the error is errCancelAsked or errDetached.
func (a *Activities) whileWanted(ctx context.Context, run string, f func(ctx context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		a.watchWanted(ctx, run, stop)
	}()
	err := f(ctx)
	stop(nil)
	<-watched
	if cause := context.Cause(ctx); err != nil && (errors.Is(cause, errCancelAsked) || errors.Is(cause, errDetached)) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// watchWanted calls stop as soon as the run is not wanted any more, until ctx ends.
func (a *Activities) watchWanted(ctx context.Context, run string, stop context.CancelCauseFunc) {
	tick := time.NewTicker(a.Timing.CancelPoll)
	defer tick.Stop()
	var stopping <-chan struct{}
	if activity.IsActivity(ctx) {
		stopping = activity.GetWorkerStopChannel(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-stopping:
			stop(errDetached)
			return
		case <-tick.C:
		}
		if activity.IsActivity(ctx) {
			activity.RecordHeartbeat(ctx)
		}
		if r, err := a.Catalog.Run(ctx, run); err == nil && r.Cancel {
			stop(errCancelAsked)
			return
		}
	}
}
