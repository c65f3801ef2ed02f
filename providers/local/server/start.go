package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meridian/providers"
	"meridian/providers/local/machine"
)

const (
	// startRetry is how long a start is tried again after a kill: the dead server's children need a moment to let go of its memory, and a
	// dead postmaster that nobody has collected yet looks alive to the next one.
	startRetry = 10 * time.Second
	// recoverFor is how long a server may take to recover from a crash before it accepts connections.
	recoverFor = 2 * time.Minute
	pollEvery  = 5 * time.Millisecond
)

// start starts the server, detached from us, and returns once it accepts connections.
func (s Spec) start(ctx context.Context, a machine.Account, b Binaries) error {
	deadline := time.Now().Add(startRetry)
	for {
		if taken, err := machine.Occupied(ctx, s.Address, s.Port); err != nil {
			return err
		} else if taken {
			return s.taken()
		}
		if err := s.clearStalePid(); err != nil {
			return err
		}
		err := s.launch(ctx, a, b)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		if err := machine.Pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s Spec) taken() error {
	return fmt.Errorf("%s is taken by %s: stop that, or give this server another address: %w", s.HostPort(), whoListens(s.Address, s.Port), providers.ErrForeign)
}

// clearStalePid removes the pid file of a postmaster that does not live: PostgreSQL itself refuses to start while that number is
// anybody's, a zombie's included. The caller holds the home's lock; what still lives in the directory keeps the file.
func (s Spec) clearStalePid() error {
	if _, alive := postmaster(s.dataDir()); alive || len(residents(s.dataDir())) > 0 {
		return nil
	}
	err := os.Remove(filepath.Join(s.dataDir(), "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s Spec) launch(ctx context.Context, a machine.Account, b Binaries) error {
	if err := machine.HideDescriptors(); err != nil {
		return err
	}
	log, from, err := a.OpenLog(filepath.Join(s.Home, logName))
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own copy
	cmd := a.Command(b.Dir, b.Path("postgres"), "-D", s.dataDir())
	cmd.Stdout, cmd.Stderr = log, log // a file, never a pipe: the server outlives whoever would read it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // collects it, should it end before we do
	deadline := time.Now().Add(recoverFor)
	for {
		if p, ok := postmaster(s.dataDir()); ok && p.pid == cmd.Process.Pid && p.ready {
			return nil
		}
		select {
		case err := <-exited:
			return fmt.Errorf("postgres in %s ended at its start (%w): %s", s.Home, err, machine.Tail(log, from))
		case <-ctx.Done():
			return fmt.Errorf("postgres in %s still starts (process %d): %w", s.Home, cmd.Process.Pid, ctx.Err())
		case <-time.After(pollEvery):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres in %s does not accept connections after %s: %s", s.Home, recoverFor, machine.Tail(log, from))
		}
	}
}
