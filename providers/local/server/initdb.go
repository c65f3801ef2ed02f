package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"meridian/providers/local/machine"
)

// initdb makes the cluster of a new server beside its final place and moves it there when it is complete and durable: a data directory
// with its final name is never half-made. The lock is inherited, so that an initdb that outlives us is waited for by whoever comes next.
func (s Spec) initdb(ctx context.Context, a machine.Account, b Binaries, lock *os.File) error {
	making := s.dataDir() + ".new"
	var first error
	for _, locale := range []string{"C.UTF-8", "C"} { // not every machine has the former
		if err := os.RemoveAll(making); err != nil {
			return err
		}
		// Every file is synced below, by one call: initdb would sync each by itself.
		cmd := a.Command(b.Dir, b.Path("initdb"), "--no-sync", "--no-instructions", "--pgdata="+making, "--username="+AdminUser,
			"--encoding=UTF8", "--locale="+locale, "--data-checksums", "--auth-local=peer", "--auth-host=reject")
		cmd.ExtraFiles = []*os.File{lock}
		err := runBounded(ctx, cmd)
		if err == nil {
			first = nil
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		first = errors.Join(first, fmt.Errorf("initdb with locale %s: %w", locale, err))
	}
	if first != nil {
		return first
	}
	conf, err := os.OpenFile(filepath.Join(making, "postgresql.conf"), os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = conf.WriteString("\ninclude_if_exists '" + confName + "'\n")
	if err := errors.Join(err, conf.Close()); err != nil {
		return err
	}
	if err := syncTree(making); err != nil {
		return err
	}
	if err := os.Rename(making, s.dataDir()); err != nil {
		return err
	}
	return machine.SyncDir(s.Home)
}

// runBounded runs a short program; its last words are the error's.
func runBounded(ctx context.Context, cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%w: %s", err, machine.LastLines(out.String(), 4))
		}
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), cmd.Process.Kill(), ignoreExit(<-done))
	}
}

// ignoreExit drops the exit status of a program that we killed.
func ignoreExit(err error) error {
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil
	}
	return err
}
