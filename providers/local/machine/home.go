package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/providers"
)

// Home is a directory that one server owns. Its marker is the file that says whose it is and what its server should be; it never holds a
// secret.
type Home struct {
	Dir string
	// Marker is the marker's name.
	Marker string
}

// Read reads the marker into v. An absent home is fs.ErrNotExist; one that is there but not ours is providers.ErrForeign; an empty one is ours
// to take, and is fs.ErrNotExist too.
func (h Home) Read(v any) error {
	text, err := os.ReadFile(filepath.Join(h.Dir, h.Marker))
	if errors.Is(err, fs.ErrNotExist) {
		return h.unmarked()
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: marker %s cannot be read: %w", h.Dir, h.Marker, errors.Join(err, providers.ErrForeign))
	}
	return nil
}

func (h Home) unmarked() error {
	entries, err := os.ReadDir(h.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), h.Marker) { // a marker that was being written when its writer died
			return fmt.Errorf("%s holds %s and no mark of ours: move it away, or choose another directory: %w", h.Dir, e.Name(), providers.ErrForeign)
		}
	}
	return fs.ErrNotExist
}

// Write replaces the marker at once or not at all.
func (h Home) Write(a Account, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return a.ReplaceFile(filepath.Join(h.Dir, h.Marker), append(text, '\n'), true)
}

// CheckOwner refuses a home with another owner's mark.
func (h Home) CheckOwner(have, want string) error {
	if have != want {
		return fmt.Errorf("%s belongs to %s, not to %s: %w", h.Dir, have, want, providers.ErrForeign)
	}
	return nil
}

// Claim makes the home, takes its lock and has check read the marker, or write a new home's first one, so that whoever comes after a kill knows
// it as ours. A home that is not ours, by what read says, stays as it is. The caller closes what it gets.
func (h Home) Claim(ctx context.Context, a Account, read, check func() error) (*os.File, error) {
	if err := read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // before its owner is changed
	}
	if err := TakeHome(a, h.Dir, filepath.Dir(h.Dir)); err != nil {
		return nil, err
	}
	lock, err := LockHome(ctx, h.Dir)
	if err != nil {
		return nil, err
	}
	if err := check(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Remove has stop end what lives in a home of ours, whose lock is taken meanwhile, and removes everything in it. The marker goes last: a removal
// that is killed half-way is found again as ours. A home that is gone is fine.
func (h Home) Remove(ctx context.Context, stop func() error) error {
	lock, err := LockHome(ctx, h.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another hand was faster
	}
	if err != nil {
		return err
	}
	defer lock.Close() // released
	if err := stop(); err != nil {
		return err
	}
	entries, err := os.ReadDir(h.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == h.Marker {
			continue
		}
		if err := os.RemoveAll(filepath.Join(h.Dir, e.Name())); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(h.Dir); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(h.Dir))
}

// RemoveEmpty removes a home that nobody has marked, if it is there; one that holds something is not ours. Only markers that were being written
// may be in it: Read sees to that.
func (h Home) RemoveEmpty() error {
	entries, err := os.ReadDir(h.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(h.Dir, e.Name())); err != nil {
			return fmt.Errorf("%s: %w", h.Dir, errors.Join(err, providers.ErrForeign))
		}
	}
	return os.Remove(h.Dir)
}
