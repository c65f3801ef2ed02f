package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"meridian/providers"
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
func (s Spec) start(ctx context.Context, a account, b Binaries) error {
	deadline := time.Now().Add(startRetry)
	for {
		if taken, err := Occupied(ctx, s.Address, s.Port); err != nil {
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
		if err := pause(ctx, 200*time.Millisecond); err != nil {
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

func (s Spec) launch(ctx context.Context, a account, b Binaries) error {
	if err := hideDescriptors(); err != nil {
		return err
	}
	log, from, err := s.openLog(a)
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own copy
	cmd := a.command(b.Dir, b.Path("postgres"), "-D", s.dataDir())
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
			return fmt.Errorf("postgres in %s ended at its start (%w): %s", s.Home, err, tail(log, from))
		case <-ctx.Done():
			return fmt.Errorf("postgres in %s still starts (process %d): %w", s.Home, cmd.Process.Pid, ctx.Err())
		case <-time.After(pollEvery):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres in %s does not accept connections after %s: %s", s.Home, recoverFor, tail(log, from))
		}
	}
}

// hideDescriptors keeps what we inherited (a lock that our parents hold) from the programs that we start: Go opens its own files so,
// but hands on what it got. Only this process's view changes; it keeps every file open.
func hideDescriptors() error {
	const firstNotStandard = 3
	err := unix.CloseRange(firstNotStandard, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	entries, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= firstNotStandard {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

const maxLog = 16 << 20

// openLog opens the server's log for appending and says where the new part starts. A log that has grown large starts afresh.
func (s Spec) openLog(a account) (*os.File, int64, error) {
	path := filepath.Join(s.Home, logName)
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, 0, err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil {
		err = a.own(f)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// tail returns the last words of the log since from, for an error.
func tail(log io.ReaderAt, from int64) string {
	text := make([]byte, 4096)
	n, err := log.ReadAt(text, from)
	if n == 0 && err != nil {
		return "it said nothing"
	}
	return lastLines(strings.ToValidUTF8(string(text[:n]), "?"), 5)
}
