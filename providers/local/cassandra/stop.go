package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"meridian/providers/local/machine"
)

// How long each way to stop may take before the next, harder one. A node that is asked takes 4 to 6 s: it says good-bye and flushes.
const (
	gentleFor = 30 * time.Second
	killFor   = 10 * time.Second
)

// gentle and hard are the ways to stop a node.
const (
	gentle = true
	hard   = false
)

// Stop stops a node of ours, which writes everything first; one that does not obey is killed. A stopped one stays so.
func Stop(ctx context.Context, home, owner string) error { return halt(ctx, home, owner, gentle) }

// Kill ends a node of ours at once, as a crash would.
func Kill(ctx context.Context, home, owner string) error { return halt(ctx, home, owner, hard) }

func halt(ctx context.Context, home, owner string, gently bool) error {
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
	return m.stop(ctx, gently)
}

// stop ends the node's process and waits until it is gone.
func (s Spec) stop(ctx context.Context, gently bool) error {
	pid := processOf(s.Home)
	if pid == 0 {
		return nil
	}
	if gently {
		// One that was frozen hears nothing.
		if err := errors.Join(machine.SignalAll([]int{pid}, syscall.SIGTERM), machine.SignalAll([]int{pid}, syscall.SIGCONT)); err != nil {
			return fmt.Errorf("stop the node in %s: %w", s.Home, err)
		}
		if s.gone(ctx, pid, gentleFor) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := machine.SignalAll([]int{pid}, syscall.SIGKILL); err != nil {
		return fmt.Errorf("end the node in %s: %w", s.Home, err)
	}
	if !s.gone(ctx, pid, killFor) {
		return errors.Join(ctx.Err(), fmt.Errorf("process %d in %s does not end", pid, s.Home))
	}
	return nil
}

// gone waits until the process is dead and its port is free: Java's threads die after the process has begun to.
func (s Spec) gone(ctx context.Context, pid int, d time.Duration) bool {
	deadline := time.Now().Add(d)
	for {
		if machine.Zombie(pid) && s.free(ctx) {
			return true
		}
		if time.Now().After(deadline) || machine.Pause(ctx, pollEvery) != nil {
			return false
		}
	}
}

// free reports whether nothing of the node holds its ports. A home without a marker does not say which.
func (s Spec) free(ctx context.Context) bool {
	if s.Address == "" {
		return true
	}
	for _, port := range []int{s.Port, s.StoragePort} {
		if taken, err := machine.Occupied(ctx, s.Address, port); err == nil && taken {
			return false
		}
	}
	return true
}

// Destroy ends a node of ours and removes its home with everything in it. One that is gone is fine; what still runs of it is ended.
// The cluster is not told: Leave does that before.
func Destroy(ctx context.Context, home, owner string) error {
	m, err := readMarker(home)
	if errors.Is(err, fs.ErrNotExist) {
		m.Home = home
		if err := m.stop(ctx, hard); err != nil {
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
	return homeAt(home).Remove(ctx, func() error { return m.stop(ctx, hard) })
}

// LeaveAndDestroy takes a node of ours out of its cluster, and destroys it. One that is gone is fine.
func LeaveAndDestroy(ctx context.Context, home, owner string) error {
	err := Leave(ctx, home, owner)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return Destroy(ctx, home, owner)
}
