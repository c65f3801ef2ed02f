package orchestrator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
)

// Follow starts the workers of every location that open runs and open checks for drift need, as they come, until ctx ends. It is for workers
// beside a server: the server's own are started by its reconciler. Changes are the store's; every is how often all that is open is looked at besides.
func (w *Workers) Follow(ctx context.Context, c *catalog.Catalog, changes <-chan store.Change, every time.Duration, logger *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := map[opened]bool{} // what locations are served for; all is forgotten at each tick, for its regions may be more by then
	for first := true; ; first = false {
		var open []opened
		if !first {
			select {
			case <-ctx.Done():
				return
			case change, ok := <-changes:
				if !ok {
					changes = nil // the store is closing
				}
				o := opened{check: change.Topic == "check", id: change.Key}
				if !o.check && change.Topic != "run" || seen[o] {
					continue
				}
				open = []opened{o}
			case <-tick.C:
				clear(seen)
			}
		}
		if open == nil {
			var err error
			if open, err = allOpen(ctx, c); err != nil && ctx.Err() == nil {
				logger.Warn("open runs and checks", "error", err)
			}
		}
		for _, o := range open {
			if err := w.serve(ctx, o); err != nil && ctx.Err() == nil {
				logger.Warn("locations of a run or check", "id", o.id, "error", err)
				continue
			}
			seen[o] = true
		}
	}
}

// opened is a run, or a check for drift, that has not ended.
type opened struct {
	check bool
	id    string
}

// allOpen lists every run and every check that has not ended.
func allOpen(ctx context.Context, c *catalog.Catalog) (out []opened, err error) {
	runs, err := c.AllRunsOpen(ctx)
	for _, run := range runs {
		out = append(out, opened{id: run.ID})
	}
	checks, errChecks := c.OpenDrifts(ctx)
	for _, check := range checks {
		out = append(out, opened{check: true, id: check.ID})
	}
	return out, errors.Join(err, errChecks)
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

// serve starts the workers that a run or a check needs.
func (w *Workers) serve(ctx context.Context, o opened) error {
	of := w.activities.Locations
	if o.check {
		of = w.activities.DriftLocations
	}
	locations, err := of(ctx, o.id)
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
