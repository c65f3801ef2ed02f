package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// sole is this server's claim to be the only one on its store: two would take each other's shards away, again and again.
type sole struct {
	claim claim
	where string
	stop  context.CancelFunc
	done  chan struct{}
	once  sync.Once
}

// claim is held in the store itself.
type claim interface {
	// take takes it, or renews it; errTaken where somebody else has it.
	take(ctx context.Context) error
	// release gives it back.
	release(ctx context.Context)
}

// errTaken means that another server runs on the store.
var errTaken = errors.New("another server runs on it")

const (
	// soleWait is how long a start waits for the server before it: one that was killed is noticed by then.
	soleWait = 20 * time.Second
	soleLook = 500 * time.Millisecond
	// soleEvery is how often the claim is renewed.
	soleEvery = 5 * time.Second
	// soleLimit bounds one try.
	soleLimit = 10 * time.Second
)

// takeSole claims the store, and waits for a moment where the server before may still be on its way out.
func takeSole(ctx context.Context, c claim, where string) (*sole, error) {
	deadline := time.Now().Add(soleWait)
	tick := time.NewTicker(soleLook)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, soleLimit)
		err := c.take(try)
		cancel()
		switch {
		case err == nil:
			return &sole{claim: c, where: where, done: make(chan struct{})}, nil
		case !errors.Is(err, errTaken) || time.Now().After(deadline):
			return nil, fmt.Errorf("%s: %w: stop it, or name another schema or keyspace", where, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// keep renews the claim until release. A store that is away is waited for; a claim that somebody else has by then is a failure.
func (s *sole) keep(log *slog.Logger, failed func(error)) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.done)
		tick := time.NewTicker(soleEvery)
		defer tick.Stop()
		away := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			try, cancel := context.WithTimeout(ctx, soleLimit)
			err := s.claim.take(try)
			cancel()
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, errTaken):
				failed(fmt.Errorf("%s: %w: this one ends", s.where, err))
				return
			case err != nil && !away:
				log.Warn("temporal's store is away: waiting for it", "where", s.where, "error", err.Error())
			case err == nil && away:
				log.Info("temporal's store is back", "where", s.where)
			}
			away = err != nil
		}
	}()
}

// release gives the claim back.
func (s *sole) release() {
	s.once.Do(func() {
		if s.stop != nil {
			s.stop()
			<-s.done
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.claim.release(ctx)
	})
}
