package cassandra

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// marker is the file that says whose a home is and what its node should be. It never holds a secret.
type marker struct {
	Format int `json:"format"`
	Spec
	// Version is the exact version that the node was last started with.
	Version string `json:"version,omitempty"`
	// JMXPort is where nodetool reaches the node since its last start.
	JMXPort int `json:"jmxPort,omitempty"`
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
	if m.Format != markerFormat || m.Cluster == "" {
		return marker{}, fmt.Errorf("%s: its marker is not that of a Cassandra node: %w", home, providers.ErrForeign)
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

// checkOwner refuses a home with another owner's mark. An empty owner accepts any.
func (m marker) checkOwner(owner string) error {
	if owner != "" && m.Owner != owner {
		return fmt.Errorf("%s belongs to %s, not to %s: %w", m.Home, m.Owner, owner, providers.ErrForeign)
	}
	return nil
}

// checkSame refuses another place in a cluster than the one that the node has: Cassandra would not start with it.
func (m marker) checkSame(s Spec) error {
	for _, f := range []struct{ what, have, want string }{
		{"cluster", m.Cluster, s.Cluster}, {"datacenter", m.Datacenter, s.Datacenter}, {"rack", m.Rack, s.Rack},
	} {
		if f.have != f.want {
			return fmt.Errorf("the node in %s is of %s %q, not %q: a node does not change it: %w", m.Home, f.what, f.have, f.want, providers.ErrPermanent)
		}
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

// MarkedSpec returns what the marker of a home says the node should be; fs.ErrNotExist where there is none.
func MarkedSpec(home string) (Spec, error) {
	m, err := readMarker(home)
	return m.Spec, err
}

// Written returns, of these settings, what a node's cassandra.yaml says now: a value that somebody has changed there, or "" for one that is
// not there any more.
func Written(home string, wished map[string]string) (map[string]string, error) {
	if wished == nil {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(home, confName))
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(wished))
	for name := range wished {
		out[name] = ""
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+": "); ok {
				out[name] = strings.TrimRight(value, "\n")
			}
		}
	}
	return out, nil
}
