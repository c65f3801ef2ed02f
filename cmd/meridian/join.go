package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"meridian/orchestrator"
	"meridian/persistence/keyring"
	"meridian/persistence/temporal"
)

func init() { joinServer = joinReal }

// realWorker is a worker of this process.
type realWorker struct {
	*orchestrator.Workers
	parts  *parts
	sdk    client.Client
	stop   context.CancelFunc
	done   chan struct{}
	logger *slog.Logger
}

// lateKeyring is a keyring that is opened after the client that uses it was made, and before the client has anything to seal.
type lateKeyring struct{ *keyring.Keyring }

// healthTimeout bounds one look at the server: it is on this machine.
const healthTimeout = 2 * time.Second

// joinReal opens the rows and starts workers on the server's Temporal. A server that does not answer is errNotYet; nothing is opened then,
// for a store that is there is not enough to start on: the server made it, and alone migrates it.
func joinReal(ctx context.Context, o joinOptions, logger *slog.Logger) (_ joined, err error) {
	// The keyring is opened with the rows; the client asks for it when the first payload comes.
	var keys lateKeyring
	sdk, err := temporal.Join(temporal.Options{Dir: o.Data, Settings: o.Temporal, Sealer: &keys, Logger: logger})
	if err != nil {
		return nil, err
	}
	w := &realWorker{sdk: sdk, logger: logger}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.health(ctx); err != nil {
		return nil, fmt.Errorf("%w: it does not answer: %w", errNotYet, err)
	}
	if w.parts, err = openParts(ctx, o.Data, o.Store, o.Server.Terraform); err != nil {
		return nil, err
	}
	keys.Keyring = w.parts.keys
	found, err := find(ctx, w.parts.installed, o.Data, w.parts.env)
	if err != nil {
		return nil, err
	}
	if err := w.parts.register(ctx, found, nil); err != nil {
		return nil, err
	}
	if err := w.parts.notePayloads(ctx, o.Temporal); err != nil {
		return nil, err
	}
	acts := w.parts.activities(logger)
	acts.Drain = o.Drain
	if w.Workers, err = orchestrator.StartWorkers(sdk, w.parts.installation, acts); err != nil {
		if w.health(ctx) != nil {
			err = fmt.Errorf("%w: it does not answer: %w", errNotYet, err)
		}
		return nil, err
	}
	var following context.Context
	following, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.done = make(chan struct{})
	changes := w.parts.store.Watch(following)
	go func() {
		defer close(w.done)
		if w.parts.store.Shared() { // the server may be on another machine
			var keeping sync.WaitGroup
			defer keeping.Wait()
			keeping.Go(func() { w.KeepSite(following, w.parts.timing.ReconcileEvery, logger) })
		}
		w.Follow(following, w.parts.catalog, changes, w.parts.timing.ReconcileEvery, logger)
	}()
	return w, nil
}

func (w *realWorker) health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	_, err := w.sdk.CheckHealth(ctx, nil)
	return err
}

// Alive reports whether the server answers.
func (w *realWorker) Alive(ctx context.Context) bool { return w.health(ctx) == nil }

// Close stops the workers, and lets go of Temporal and of the rows.
func (w *realWorker) Close() {
	w.stop()
	<-w.done
	w.Stop()
	w.close()
}

func (w *realWorker) close() {
	w.sdk.Close()
	if w.parts != nil {
		w.parts.close(w.logger)
	}
}
