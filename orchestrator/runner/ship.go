package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/journal"
)

// shipTimeout bounds one try: the store may be away, and terraform and the spool go on meanwhile.
const shipTimeout = 2 * time.Second

// looksEvery is how many shipments apart a runner looks at what is desired of it, where it has nothing else to ask the store: who
// cancels waits about half a second for it, and a look costs more than an empty shipment.
const looksEvery = 4

// shipLoop ships, beats and looks at what is desired until ctx ends. It returns an error only when another attempt has the fence.
func (r *run) shipLoop(ctx context.Context) error {
	tick := time.NewTicker(r.timing.ShipEvery)
	defer tick.Stop()
	beat := r.clock.Awake()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		beats := r.clock.Awake()-beat >= r.timing.BeatEvery
		sent, unread := r.clock.Boot()
		desired, err := r.shipTick(ctx, n%looksEvery == 0, beats)
		if beats && err == nil && unread == nil {
			if err := r.renewed(sent); err != nil {
				r.log.Warn("write the lease down: it ends as it was", "error", err)
			}
		}
		switch {
		case errors.Is(err, journal.ErrFenced):
			return err
		case err != nil && ctx.Err() == nil:
			r.log.Warn("the store is away, the spool keeps all", "error", err)
		case beats:
			beat = r.clock.Awake()
		}
		// One who was told to stop is watched even while the store is away.
		hang := r.hung(r.clock.Awake())
		switch {
		case desired == desiredCancel, r.cancelled != nil:
			r.cancel(cancelRecord{})
		case hang > 0:
			r.cancel(cancelRecord{Hang: hang})
		case n%looksEvery == 0 && r.mustLeave():
			r.cancel(cancelRecord{Shutdown: true})
		}
	}
}

// desiredCancel is what a head says when its attempt shall stop.
const desiredCancel = "cancel"

// shipTick ships once, and may beat or, cheaper, look at the head.
func (r *run) shipTick(ctx context.Context, look, beat bool) (desired string, err error) {
	ctx, stop := context.WithTimeout(ctx, shipTimeout)
	defer stop()
	if err := r.ship(ctx, false); err != nil {
		return "", err
	}
	if beat {
		return r.journal.Beat(ctx, r.att.Stack, r.att.Fence)
	}
	if !look {
		return "", nil
	}
	head, err := r.journal.Head(ctx, r.att.Stack)
	if err != nil {
		return "", err
	}
	if head.Fence != r.att.Fence {
		return "", journal.ErrFenced
	}
	return head.Desired, nil
}

// ship brings the lines and the newest state that are not in the store there. What could not be shipped is kept; rest ships a last
// line without an end too.
func (r *run) ship(ctx context.Context, rest bool) error {
	for {
		fresh := len(r.pending) == 0
		if fresh {
			lines, err := r.tail.next(rest)
			if err != nil {
				return err
			}
			r.pending = lines
			if moves(lines) {
				r.moved = r.clock.Awake()
			}
			if len(lines) > 0 {
				if err := r.tail.sync(); err != nil {
					return fmt.Errorf("output: %w", err)
				}
			}
		}
		batch := journal.Batch{Events: r.hidden(r.pending)}
		if r.att.Kind == journal.StepApply && without(theEvents) {
			batch.Events = nil
		}
		if st := r.newestState(); st != nil && st.Serial > r.shipped {
			batch.State = st
		}
		if len(batch.Events) == 0 && batch.State == nil {
			return nil
		}
		if err := r.journal.Ship(ctx, r.att.Stack, r.att.Fence, r.att.Step, batch); err != nil {
			return err
		}
		r.pending = nil
		if batch.State != nil {
			r.shipped = batch.State.Serial
		}
		if fresh && r.tail.eof {
			return nil // what was kept from an earlier try says nothing about the end of the file
		}
	}
}
