package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// attemptFormat is the version of what lies in a spool. A runner reads its own and those before: an upgrade takes up what its predecessors
// began. Whoever changes the meaning of a file of the spool raises it.
const attemptFormat = 2 // 1 kept the newest state in clear

// errNewerSpool means that a newer meridian-runner began the attempt; this one leaves everything as it is.
var errNewerSpool = errors.New("the spool is of a newer meridian-runner")

// attempt reads the record of the spool's attempt; ok is false where there is none.
func (s spool) attempt() (att attempt, ok bool, err error) {
	ok, err = s.get(attemptFile, &att)
	if ok && err == nil && att.Format > attemptFormat {
		return att, true, fmt.Errorf("%w: %s is of format %d, this one knows %d; nothing of it is touched. Start the newer Meridian again, it goes on from there",
			errNewerSpool, s.path(attemptFile), att.Format, attemptFormat)
	}
	return att, ok, err
}

// ownProgram is the name of the copy that this runner was started from, "" where it is none.
func ownProgram(site terraform.Site) string {
	exe, err := os.Executable()
	if err != nil || filepath.Dir(filepath.Dir(exe)) != filepath.Clean(site.Runners()) {
		return ""
	}
	return filepath.Base(filepath.Dir(exe))
}

// pruneRunners removes the copies of runners that no server or worker uses, that no attempt was begun by, and that this one is not. What
// runs from a removed copy goes on.
func (w *worker) pruneRunners() error {
	entries, err := os.ReadDir(w.site.Runners())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copies of runners: %w", err)
	}
	named, err := w.namedRunners()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if named[e.Name()] || e.Name() == ownProgram(w.site) {
			continue
		}
		if err := removeUnused(w.site.Runner(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// namedRunners are the copies that began the attempts of this site.
func (w *worker) namedRunners() (map[string]bool, error) {
	spools, err := w.spools()
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, sp := range spools {
		var att attempt // of whatever format: this field is only ever added to
		if ok, err := sp.get(attemptFile, &att); err == nil && ok {
			out[att.Runner] = true
		}
	}
	return out, nil
}

// spools lists the spools of the site that hold an attempt.
func (w *worker) spools() ([]spool, error) {
	// A stack's spool lies three directories below that of all spools.
	root := filepath.Dir(filepath.Dir(filepath.Dir(w.site.SpoolDir(stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "r"}))))
	records, err := fs.Glob(os.DirFS(root), "*/*/*/"+attemptFile)
	if err != nil {
		return nil, fmt.Errorf("spools: %w", err)
	}
	var out []spool
	for _, record := range records {
		out = append(out, spool{filepath.Join(root, filepath.Dir(filepath.FromSlash(record)))})
	}
	return out, nil
}

// removeUnused removes a copy unless a server or worker holds the lock in it.
func removeUnused(dir string) error {
	lock, err := os.OpenFile(filepath.Join(dir, terraform.RunnerLockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is being made, or was just removed
	}
	if err != nil {
		return fmt.Errorf("copy of a runner: %w", err)
	}
	defer func() { _ = lock.Close() }()
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("copy of a runner: %w", err)
	}
	return nil
}
