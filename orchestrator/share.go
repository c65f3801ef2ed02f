package orchestrator

import (
	"context"
	"log/slog"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
)

// Follow starts the workers of every location that open runs need, as they come, until ctx ends. It is for workers beside a server: the
// server's own are started by its reconciler. Changes are the store's; every is how often all open runs are looked at besides.
func (w *Workers) Follow(ctx context.Context, c *catalog.Catalog, changes <-chan store.Change, every time.Duration, logger *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := map[string]bool{} // runs whose locations are served; all are forgotten at each tick, for their regions may be more by then
	for first := true; ; first = false {
		var runs []string
		if !first {
			select {
			case <-ctx.Done():
				return
			case change, ok := <-changes:
				if !ok {
					changes = nil // the store is closing
				}
				if change.Topic != "run" || seen[change.Key] {
					continue
				}
				runs = []string{change.Key}
			case <-tick.C:
				clear(seen)
			}
		}
		if runs == nil {
			open, err := c.AllRunsOpen(ctx)
			if err != nil && ctx.Err() == nil {
				logger.Warn("open runs", "error", err)
			}
			for _, run := range open {
				runs = append(runs, run.ID)
			}
		}
		for _, run := range runs {
			if err := w.serveRun(ctx, run); err != nil && ctx.Err() == nil {
				logger.Warn("locations of a run", "run", run, "error", err)
				continue
			}
			seen[run] = true
		}
	}
}

// KeepSite looks after what attempts of this machine have left, every so often until ctx ends. It is for workers on a machine without a
// server, whose reconciler does so on its own.
func (w *Workers) KeepSite(ctx context.Context, every time.Duration, logger *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := w.activities.Adopt(ctx); err != nil && ctx.Err() == nil {
			logger.Warn("what attempts have left", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// serveRun starts the workers that a run needs.
func (w *Workers) serveRun(ctx context.Context, run string) error {
	locations, err := w.activities.Locations(ctx, run)
	if isNotFound(err) {
		return nil // it ended, and its database with it
	}
	if err != nil {
		return err
	}
	for _, l := range locations {
		if err := w.EnsureLocation(l); err != nil {
			return err
		}
	}
	return nil
}
