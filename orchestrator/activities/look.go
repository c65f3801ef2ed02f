package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// preflight asks a region's provider whether its place can be worked on at all, where it can say so.
func (a *Activities) preflight(ctx context.Context, w work) error {
	checker, err := providers.As[providers.Preflighter](w.provider)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	in, err := a.moduleInput(ctx, w)
	if err != nil {
		return err
	}
	if err := checker.Preflight(ctx, in); err != nil {
		return fmt.Errorf("before the plan of %s: %w", w.row.Region, err)
	}
	return nil
}

// showProgress writes into the region's row, and into the run's log, what the cloud says of it while its apply goes on, until the returned
// function is called. Trouble with that is only logged: it disturbs no apply.
func (a *Activities) showProgress(ctx context.Context, w work, step string) (stop func()) {
	teller, err := providers.As[providers.ApplyProgress](w.provider)
	if err != nil || a.Timing.ProgressEvery <= 0 {
		return func() {}
	}
	in, err := a.moduleInput(ctx, w)
	if err != nil {
		a.Logger.Warn("progress of an apply", "step", step, "error", err)
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(a.Timing.ProgressEvery)
		defer tick.Stop()
		last := ""
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			last = a.tell(ctx, w, step, teller, in, last)
		}
	})
	return func() {
		cancel()
		ended.Wait()
	}
}

// tell asks once, writes down what is new, and returns what was said last.
func (a *Activities) tell(ctx context.Context, w work, step string, teller providers.ApplyProgress, in providers.ModuleInput, last string) string {
	ctx, cancel := context.WithTimeout(ctx, a.Timing.LightTimeout)
	defer cancel()
	said, err := teller.ApplyProgress(ctx, in)
	if err != nil {
		if ctx.Err() == nil {
			a.Logger.Warn("progress of an apply", "step", step, "error", err)
		}
		return last
	}
	if said == "" || said == last {
		return last
	}
	err = a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		if r.ApplyStep == step && r.Phase == stacks.RegionApplying { // else it has ended meanwhile
			r.Message = said
		}
		return r
	})
	if err != nil {
		a.Logger.Warn("progress of an apply", "step", step, "error", err)
		return last
	}
	a.log(ctx, w.run.ID, w.row.Region, slog.LevelInfo, said)
	return said
}
