package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock is a held flock. Its descriptor is close-on-exec; a child gets it only where it is given to it on purpose.
type lock struct{ f *os.File }

// tryLock takes the lock of a file, which it makes, or returns nil where somebody holds it.
// A lock file may be removed by its holder, so the file that was locked must still be the one at the path.
func tryLock(path string) (*lock, error) {
	for {
		f, err := openLock(path)
		if err != nil {
			return nil, err
		}
		if without(theLock) {
			return &lock{f}, nil
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, f.Close()
		}
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		mine, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return &lock{f}, nil
		}
		_ = f.Close()
	}
}

// openLock opens a lock file, and makes it and its directory; the directory may vanish in between when another stack is forgotten.
func openLock(path string) (*os.File, error) {
	for try := 0; ; try++ {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil && (try >= 10 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("lock directory: %w", err)
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			return f, nil
		}
		if try >= 10 || !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock: %w", err)
		}
	}
}

// waitLock tries until ctx ends; nil without an error means that it is still held.
func waitLock(ctx context.Context, path string, every time.Duration) (*lock, error) {
	for {
		l, err := tryLock(path)
		if l != nil || err != nil {
			return l, err
		}
		if !pause(ctx, every) {
			return nil, nil
		}
	}
}

// close lets go of this process's hold. Children that inherited the descriptor go on holding.
func (l *lock) close() {
	if l != nil {
		_ = l.f.Close()
	}
}

// pause waits for d; it is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
