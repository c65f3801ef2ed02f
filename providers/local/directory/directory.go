// Package directory is the life of one directory beside a server: made once under a name that is fixed before, known by its owner's mark,
// found again by its path.
//
// It must never adopt a directory that is there already, as a cloud would not, and never remove one with another owner's mark.
package directory

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/providers"
)

// markName is the file that says whose a directory is. It is made last and removed last.
const markName = "meridian.json"

// Spec is what a directory should be.
type Spec struct {
	Path  string `json:"path"`
	Owner string `json:"owner"`
	Note  string `json:"note"`
}

// Mark is what a directory says of itself.
type Mark struct {
	Spec
	// Birth tells a directory from a later one of the same path.
	Birth string `json:"birth"`
}

// ErrExists means that the directory is there already.
var ErrExists = errors.New("the directory already exists")

// Look reads a directory's mark. An absent directory is fs.ErrNotExist; one of another owner, or that holds something and no mark, is
// providers.ErrForeign. An empty one without a mark, which a killed Create or Remove left, has an empty Birth.
func Look(path, owner string) (Mark, error) {
	text, err := os.ReadFile(filepath.Join(path, markName))
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(path)
		if err != nil {
			return Mark{}, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), markName) { // a mark that was being written when its writer died
				return Mark{}, fmt.Errorf("%s holds %s and no mark of ours: move it away: %w", path, e.Name(), providers.ErrForeign)
			}
		}
		return Mark{Spec: Spec{Path: path, Owner: owner}}, nil
	}
	if err != nil {
		return Mark{}, err
	}
	var m Mark
	if err := json.Unmarshal(text, &m); err != nil {
		return Mark{}, fmt.Errorf("%s: its mark cannot be read: %w", path, errors.Join(err, providers.ErrForeign))
	}
	if owner != "" && m.Owner != owner {
		return Mark{}, fmt.Errorf("%s belongs to %s, not to %s: %w", path, m.Owner, owner, providers.ErrForeign)
	}
	m.Path = path
	return m, nil
}

// Create makes the directory. One that is there with a mark is ErrExists, whoever made it.
func Create(s Spec) (Mark, error) {
	if !filepath.IsAbs(s.Path) || s.Owner == "" {
		return Mark{}, fmt.Errorf("a directory needs an absolute path and an owner, not %q and %q: %w", s.Path, s.Owner, providers.ErrPermanent)
	}
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o711); err != nil {
		return Mark{}, err
	}
	if err := os.Mkdir(s.Path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return Mark{}, err
	}
	there, err := Look(s.Path, s.Owner)
	if err != nil {
		return Mark{}, err
	}
	if there.Birth != "" {
		return Mark{}, fmt.Errorf("%s: %w", s.Path, ErrExists)
	}
	var birth [8]byte
	if _, err := rand.Read(birth[:]); err != nil {
		return Mark{}, fmt.Errorf("birth of %s: %w", s.Path, err)
	}
	m := Mark{Spec: s, Birth: hex.EncodeToString(birth[:])}
	err = m.write(os.Link)
	if errors.Is(err, fs.ErrExist) { // somebody made it meanwhile
		err = ErrExists
	}
	if err != nil {
		return Mark{}, fmt.Errorf("%s: %w", s.Path, err)
	}
	return m, nil
}

// Update writes another note.
func Update(s Spec) (Mark, error) {
	m, err := Look(s.Path, s.Owner)
	if err != nil {
		return Mark{}, err
	}
	if m.Birth == "" {
		return Mark{}, fmt.Errorf("%s has no mark: remove it, and apply again: %w", s.Path, providers.ErrPermanent)
	}
	m.Spec = s
	return m, m.write(os.Rename)
}

// write puts the mark in its place, at once or not at all: by os.Link where none may be there, by os.Rename where one is.
func (m Mark) write(place func(from, to string) error) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(m.Path, markName+".")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return place(f.Name(), filepath.Join(m.Path, markName))
}

// Remove removes the directory with what it holds. An absent one is no error.
func Remove(path, owner string) error {
	_, err := Look(path, owner)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != markName {
			if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(path)
}
