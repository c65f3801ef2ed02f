package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// Sweep has a runner clean what others left that died between their result and their cleaning. It is worth once a start.
func (a *Activities) Sweep() error {
	_, err := a.start("sweep", terraform.VerbSweep)
	return err
}

// Adopt starts a runner for each head of this site whose runner has not been heard of for three beats: it takes up what still runs, or ships
// and settles what was left, also when nobody waits for that step any more. Where the runner lives after all, it ends at once. What an
// attempt has left whose stack was taken over by another site is swept, and so are the scratch copies of runners that were killed: a state in
// clear is in them.
func (a *Activities) Adopt(ctx context.Context) error {
	heads, err := a.Journal.HeadsRunning(ctx)
	if err != nil {
		return fmt.Errorf("running heads: %w", err)
	}
	site, err := a.Site.ID()
	if err != nil {
		return err
	}
	heads = slices.DeleteFunc(heads, func(h journal.Head) bool { return h.Site != site })
	spools, err := a.Site.Spools()
	if err != nil {
		return fmt.Errorf("spools: %w", err)
	}
	scratch, err := scratchLeft(a.Site)
	if err != nil {
		return fmt.Errorf("scratch copies: %w", err)
	}
	if scratch || left(spools, a.Site, heads) {
		if err := a.Sweep(); err != nil {
			return err
		}
	}
	for _, h := range heads {
		if !a.Clock.Past(h.BeatAt, 3*a.Timing.BeatEvery) {
			continue
		}
		if err := a.adopt(h); err != nil {
			return err
		}
	}
	return nil
}

// left reports whether a spool is of a stack that has no running head of this site.
func left(spools []string, site terraform.Site, heads []journal.Head) bool {
	return slices.ContainsFunc(spools, func(spool string) bool {
		return !slices.ContainsFunc(heads, func(h journal.Head) bool { return site.SpoolDir(h.Stack) == spool })
	})
}

// scratchYoung is how old a scratch copy is before anybody asks whether it was left: to ask, its lock is taken for a moment, and its runner may be
// about to take it.
const scratchYoung = 5 * time.Second

// scratchLeft reports whether there is a scratch copy that nobody works in: its runner was killed, and a state in clear is in it.
func scratchLeft(site terraform.Site) (left bool, err error) {
	root := site.CheckDir("")
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody was done with it
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, beside := os.Lstat(path + terraform.ScratchLockEnd); beside == nil {
				return fs.SkipDir // a copy: what is in it is terraform's
			}
			return nil
		}
		if info, err := d.Info(); err != nil || !strings.HasSuffix(path, terraform.ScratchLockEnd) || time.Since(info.ModTime()) < scratchYoung {
			return nil // somebody was done with it, or it is none of ours
		}
		lock, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer lock.Close()
		switch err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EWOULDBLOCK):
			return nil
		case err != nil:
			return err
		}
		left = true
		return fs.SkipAll
	})
	return left, err
}

func (a *Activities) adopt(h journal.Head) error {
	name := strings.ReplaceAll(h.Step, "/", "-")
	_, err := a.start("adopt-"+name, terraform.VerbStep, "--step", h.Step, "--attempt", "adopt", "--adopt")
	return err
}
