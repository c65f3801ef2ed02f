package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// LockHome takes the home's lock, so that two hands never work on one server: a plugin that outlived its terraform may still be at it.
// The lock is on the directory itself, which leaves no file behind. The caller closes what it gets.
func LockHome(ctx context.Context, home string) (*os.File, error) {
	for {
		f, err := os.Open(home)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameDir(f, home) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("lock %s: %w", home, err)
		}
		if err := Pause(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("%s: another process still works on this server: %w", home, err)
		}
	}
}

// sameDir reports whether the locked directory still has its name: its last holder may have removed it.
func sameDir(f *os.File, home string) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	want, err := os.Stat(home)
	return err == nil && os.SameFile(have, want)
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TakeHome makes the home where it is missing, and gives it to the account. Directories above it are made passable; they stay when the server goes.
func TakeHome(a Account, home, parent string) error {
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.OpenFile(home, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(a.Own(d), d.Chmod(0o700), d.Close())
}
