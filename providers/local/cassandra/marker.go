package cassandra

import (
	"fmt"
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
	// Admin says that the cluster has its administrator: its first node makes it after it answers.
	Admin bool `json:"admin,omitempty"`
}

const markerFormat = 1

func homeAt(dir string) machine.Home { return machine.Home{Dir: dir, Marker: markerName} }

// readMarker reads a home's marker, with machine.Home's errors.
func readMarker(home string) (marker, error) {
	var m marker
	if err := homeAt(home).Read(&m); err != nil {
		return m, err
	}
	if m.Format != markerFormat || m.Cluster == "" {
		return marker{}, fmt.Errorf("%s: its marker is not that of a Cassandra node: %w", home, providers.ErrForeign)
	}
	m.Home = home
	return m, nil
}

// checkOwner refuses a home with another owner's mark. An empty owner accepts any.
func (m marker) checkOwner(owner string) error {
	if owner == "" {
		return nil
	}
	return homeAt(m.Home).CheckOwner(m.Owner, owner)
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
	return homeAt(m.Home).Write(a, m)
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
