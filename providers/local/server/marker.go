package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// marker is the file that says whose a home is and what its server should be. It never holds a secret.
type marker struct {
	Format int `json:"format"`
	Spec
	// Binaries is where the server was last started from.
	Binaries string `json:"binaries,omitempty"`
}

const markerFormat = 1

// readMarker reads a home's marker. An absent home is fs.ErrNotExist; one that is there but not ours is providers.ErrForeign;
// an empty one is ours to take, and is fs.ErrNotExist too.
func readMarker(home string) (marker, error) {
	var m marker
	text, err := os.ReadFile(filepath.Join(home, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, missingMarker(home)
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: marker %s cannot be read: %w", home, markerName, errors.Join(err, providers.ErrForeign))
	}
	if m.Format != markerFormat {
		return m, fmt.Errorf("%s: marker of format %d, this Meridian knows %d: %w", home, m.Format, markerFormat, providers.ErrForeign)
	}
	m.Home = home
	return m, nil
}

func missingMarker(home string) error {
	entries, err := os.ReadDir(home)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), markerName) { // a marker that was being written when its writer died
			return fmt.Errorf("%s holds %s and no mark of ours: move it away, or choose another directory: %w", home, e.Name(), providers.ErrForeign)
		}
	}
	return fs.ErrNotExist
}

// checkOwner refuses a home with another owner's mark.
func (m marker) checkOwner(owner string) error {
	if m.Owner != owner {
		return fmt.Errorf("%s belongs to %s, not to %s: %w", m.Home, m.Owner, owner, providers.ErrForeign)
	}
	return nil
}

// write replaces the marker at once or not at all.
func (m marker) write(a machine.Account) error {
	m.Format = markerFormat
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return a.ReplaceFile(filepath.Join(m.Home, markerName), append(text, '\n'), true)
}

// syncTree makes everything below dir durable with one call instead of one per file.
func syncTree(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
