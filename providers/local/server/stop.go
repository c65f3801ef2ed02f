package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"meridian/providers/local/machine"
)

// How long each way to stop may take before the next, harder one.
const (
	fastFor      = 20 * time.Second
	immediateFor = 5 * time.Second
	killFor      = 5 * time.Second
)

// Stop stops a server of ours: sessions are ended and everything is written; one that does not obey is stopped harder. A stopped one stays so.
func Stop(ctx context.Context, home, owner string) error {
	m, err := readMarker(home)
	if err != nil {
		return err
	}
	if err := m.checkOwner(owner); err != nil {
		return err
	}
	lock, err := machine.LockHome(ctx, home)
	if err != nil {
		return err
	}
	defer lock.Close() // released
	return m.stop(ctx, fast, immediate)
}

// way is one way to ask a postmaster to stop.
type way struct {
	signal syscall.Signal
	wait   time.Duration // before the next, harder one
}

var (
	fast      = way{syscall.SIGINT, fastFor}       // ends sessions, writes everything
	immediate = way{syscall.SIGQUIT, immediateFor} // drops everything: the next start recovers
)

// stop ends every process that lives in the data directory, the postmaster first, and waits until none is left.
func (s Spec) stop(ctx context.Context, ways ...way) error {
	data := s.dataDir()
	for _, way := range ways {
		p, ok := postmaster(data)
		if !ok {
			break
		}
		if err := errors.Join(machine.SignalAll([]int{p.pid}, way.signal), machine.SignalAll([]int{p.pid}, syscall.SIGCONT)); err != nil { // a frozen one hears nothing
			return fmt.Errorf("stop the server in %s: %w", s.Home, err)
		}
		if gone(ctx, data, way.wait, p.pid) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return killResidents(ctx, data)
}

// killResidents ends what is left in a data directory, or in one of that path that was removed.
func killResidents(ctx context.Context, data string) error {
	deadline := time.Now().Add(killFor)
	var killed []int
	for {
		left := residents(data)
		if err := machine.SignalAll(left, syscall.SIGKILL); err != nil {
			return fmt.Errorf("end the processes in %s: %w", data, err)
		}
		killed = append(killed, left...)
		if gone(ctx, data, 100*time.Millisecond, killed...) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v in %s do not end", killed, data)
		}
	}
}

// gone waits until nothing lives in the data directory and the processes are dead: one that is dying has lost its directory before
// the kernel closes its port.
func gone(ctx context.Context, data string, d time.Duration, pids ...int) bool {
	deadline := time.Now().Add(d)
	for {
		_, up := postmaster(data)
		if !up && len(residents(data)) == 0 && !slices.ContainsFunc(pids, func(pid int) bool { return !machine.Zombie(pid) }) {
			return true
		}
		if time.Now().After(deadline) || machine.Pause(ctx, pollEvery) != nil {
			return false
		}
	}
}

// Destroy stops a server of ours and removes its home with everything in it. One that is gone is fine; its last processes are ended.
func Destroy(ctx context.Context, home, owner string) error {
	m, err := readMarker(home)
	if errors.Is(err, fs.ErrNotExist) {
		m.Home = home
		if err := killResidents(ctx, m.dataDir()); err != nil {
			return err
		}
		return homeAt(home).RemoveEmpty()
	}
	if err != nil {
		return err
	}
	if err := m.checkOwner(owner); err != nil {
		return err
	}
	return homeAt(home).Remove(ctx, func() error {
		if err := m.stop(ctx, immediate); err != nil { // its data goes: a walsender need not catch up first
			return err
		}
		// What is half-removed must not look like a damaged cluster.
		if err := os.Rename(m.dataDir(), m.dataDir()+".gone"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}
