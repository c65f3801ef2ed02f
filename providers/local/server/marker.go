package server

import (
	"errors"
	"fmt"
	"os"

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

func homeAt(dir string) machine.Home { return machine.Home{Dir: dir, Marker: markerName} }

// readMarker reads a home's marker, with machine.Home's errors.
func readMarker(home string) (marker, error) {
	var m marker
	if err := homeAt(home).Read(&m); err != nil {
		return m, err
	}
	if m.Format != markerFormat {
		return m, fmt.Errorf("%s: marker of format %d, this Meridian knows %d: %w", home, m.Format, markerFormat, providers.ErrForeign)
	}
	m.Home = home
	return m, nil
}

// checkOwner refuses a home with another owner's mark.
func (m marker) checkOwner(owner string) error { return homeAt(m.Home).CheckOwner(m.Owner, owner) }

// write replaces the marker at once or not at all.
func (m marker) write(a machine.Account) error {
	m.Format = markerFormat
	return homeAt(m.Home).Write(a, m)
}

// syncTree makes everything below dir durable with one call instead of one per file.
func syncTree(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
