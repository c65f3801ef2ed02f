package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// Sight is what a look at a server found without asking it anything.
type Sight struct {
	State State
	Spec  Spec // from the marker; empty when the state is absent or foreign
	PID   int  // of the postmaster, when starting or running
	// Message says what is in the way when the state is foreign.
	Message string
}

// Look says where a server stands from its directory and the process table. A home with another owner's mark, and a stopped server
// whose address another process holds, are foreign. An empty owner accepts any mark.
func Look(ctx context.Context, home, owner string) (Sight, error) {
	m, err := readMarker(home)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Sight{State: StateAbsent}, nil
	case errors.Is(err, providers.ErrForeign):
		return Sight{State: StateForeign, Message: err.Error()}, nil
	case err != nil:
		return Sight{}, err
	}
	if owner != "" && owner != m.Owner {
		return Sight{State: StateForeign, Message: m.checkOwner(owner).Error()}, nil
	}
	there, err := m.hasCluster()
	if err != nil {
		return Sight{}, err
	}
	if !there {
		return Sight{State: StateAbsent, Spec: m.Spec}, nil
	}
	if p, ok := postmaster(m.dataDir()); ok {
		s := Sight{State: StateStarting, Spec: m.Spec, PID: p.pid}
		if p.ready {
			s.State = StateRunning
		}
		return s, nil
	}
	taken, err := machine.Occupied(ctx, m.Address, m.Port)
	if err != nil {
		return Sight{}, err
	}
	if taken {
		return Sight{State: StateForeign, Spec: m.Spec, Message: m.taken().Error()}, nil
	}
	return Sight{State: StateStopped, Spec: m.Spec}, nil
}

// hasCluster reports whether the server's data is there. A data directory with its final name is never half-made, so one that holds files
// and no PG_VERSION is damaged, not absent: it is an error, and nobody makes a new cluster in its place.
func (s Spec) hasCluster() (bool, error) {
	_, err := os.Stat(filepath.Join(s.dataDir(), versionFile))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("the data of %s cannot be looked at: %w", s.Owner, err)
	}
	entries, err := os.ReadDir(s.dataDir())
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("the data of %s cannot be looked at: %w", s.Owner, err)
	}
	return false, fmt.Errorf("the data in %s is damaged: it has files and no %s; nothing was touched: put the file back (it holds the major version), restore the directory, or move it away to begin with an empty server: %w",
		s.dataDir(), versionFile, providers.ErrPermanent)
}

// versionFile is in every cluster and holds its major version.
const versionFile = "PG_VERSION"

func (s Spec) clusterMajor() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.dataDir(), versionFile))
	if err != nil {
		return 0, err
	}
	return Major(strings.TrimSpace(string(text))), nil
}

// HomeAt finds the home of the server of ours that listens on the address and port.
func HomeAt(address string, port int) (string, error) {
	m, _, ok := serverAt(address, port)
	if !ok {
		return "", fmt.Errorf("no server of Meridian listens on %s:%d: %w", address, port, providers.ErrForeign)
	}
	return m.Home, nil
}

// serverAt finds the marker and the postmaster of the server of ours that listens there.
func serverAt(address string, port int) (marker, int, bool) {
	for _, pid := range machine.Processes() {
		if machine.ProgramOf(pid) != "postgres" || machine.Zombie(pid) {
			continue
		}
		data := homeOf(pid)
		if filepath.Base(data) != dataName {
			continue
		}
		p, alive := postmaster(data)
		if !alive || p.pid != pid {
			continue
		}
		m, err := readMarker(filepath.Dir(data))
		if err == nil && m.Address == address && m.Port == port {
			return m, pid, true
		}
	}
	return marker{}, 0, false
}

// MarkedSpec returns what the marker of a home says the server should be; fs.ErrNotExist where there is none.
func MarkedSpec(home string) (Spec, error) {
	m, err := readMarker(home)
	return m.Spec, err
}
