package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// SweepAnswer is what `meridian-runner sweep` prints.
type SweepAnswer struct {
	// Cleaned are the stacks whose leftovers were removed; Pending those whose last attempt must be adopted
	// (`step --adopt`), has outlived itself in something that holds the stack's lock, or is not known to this store.
	Cleaned []string `json:"cleaned"`
	Pending []string `json:"pending"`
}

// sweep looks at every spool of the site. It waits for no terraform: an attempt that is not over is only reported.
func (w *worker) sweep(ctx context.Context) (SweepAnswer, error) {
	var answer SweepAnswer
	spools, err := w.spools()
	if err != nil {
		return answer, err
	}
	for _, sp := range spools {
		att, ok, err := sp.attempt()
		if err != nil || !ok {
			w.log.Warn("unreadable spool", "spool", sp.dir, "error", err)
			continue
		}
		cleaned, err := w.sweepOne(ctx, att)
		switch {
		case errors.Is(err, errBusy):
		case err != nil:
			return answer, err
		case cleaned:
			answer.Cleaned = append(answer.Cleaned, att.Stack.String())
		default:
			answer.Pending = append(answer.Pending, att.Stack.String())
		}
	}
	return answer, errors.Join(w.sweepScratch(), w.pruneRunners(), w.prunePrograms(ctx))
}

// keepTemplate is how long a template stays that no head names: to make one again may be a download of some hundred MB.
const keepTemplate = 30 * 24 * time.Hour

// prunePrograms removes the terraforms and templates that no head and no spool names: the newest attempt of each stack, the plan that waits for a yes
// included, made its claim on both when it took the fence.
func (w *worker) prunePrograms(ctx context.Context) error {
	heads, err := w.journal.Heads(ctx, "")
	if err != nil {
		return err
	}
	spools, err := w.spools()
	if err != nil {
		return err
	}
	versions, templates := map[string]bool{}, map[string]bool{}
	for _, h := range heads {
		versions[h.Terraform], templates[h.Template] = true, true
	}
	for _, sp := range spools {
		if att, ok, err := sp.attempt(); ok && err == nil {
			versions[att.Version], templates[att.Template] = true, true
		}
	}
	now := w.clock.Wall()
	young := func(hash string) bool {
		info, err := os.Stat(filepath.Join(w.site.Templates(), hash))
		return err != nil || now.Sub(info.ModTime()) < keepTemplate
	}
	err = launch.PrunePins(w.site, now, func(version string) bool { return versions[version] })
	if _, none := os.Stat(w.site.Templates()); none != nil {
		return err
	}
	return errors.Join(err, launch.Prune(ctx, w.site, func(hash string) bool { return templates[hash] || young(hash) }))
}

// sweepScratch removes the scratch copies that nobody works in: their runners were killed, and they hold a state in clear.
func (w *worker) sweepScratch() error {
	root := w.site.CheckDir("")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody was done with it
		}
		if err != nil {
			return err
		}
		scratch, isLock := strings.CutSuffix(path, terraform.ScratchLockEnd)
		if _, beside := os.Lstat(path + terraform.ScratchLockEnd); d.IsDir() && beside == nil {
			return fs.SkipDir // a copy: what is in it is terraform's
		}
		if d.IsDir() || !isLock {
			return nil
		}
		l, err := tryLock(path)
		if l == nil || err != nil {
			return err
		}
		defer l.close()
		w.log.Info("remove a scratch copy whose runner was killed", "path", scratch)
		w.cleanCheck(scratch)
		return nil
	})
	if err != nil {
		return fmt.Errorf("scratch copies: %w", err)
	}
	return nil
}

// sweepOne cleans one spool if nothing of its attempt lives and the store knows all that is in it.
func (w *worker) sweepOne(ctx context.Context, att attempt) (cleaned bool, err error) {
	runnerLock, err := tryLock(w.site.RunnerLock(att.Stack))
	if err != nil {
		return false, err
	}
	if runnerLock == nil {
		return false, errBusy
	}
	defer runnerLock.close()
	step, current, err := w.current(ctx, att)
	if err != nil || current {
		return false, err
	}
	if unknown, err := w.unknown(ctx, att); err != nil || unknown {
		return false, err
	}
	r := w.newRun(att, step)
	if r.family.lives() {
		return false, nil
	}
	stackLock, err := r.family.settleLock(ctx, 0, heldLimit)
	if err != nil || stackLock == nil {
		return false, err // something that terraform started still works there
	}
	defer stackLock.close()
	return true, w.clean(att.Stack)
}
