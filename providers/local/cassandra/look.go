package cassandra

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// Sight is what a look at a node found.
type Sight struct {
	State   State
	Spec    Spec   // from the marker; empty when the state is absent or foreign
	Version string // exact, of its last start
	PID     int    // when starting or running
	// Unfinished says that the first node of a cluster has not made the administrator yet.
	Unfinished bool
	// Busy says that somebody works on the node right now.
	Busy bool
	// Message says what is in the way when the state is foreign.
	Message string
}

// Look says where a node stands from its directory, the process table and its port. A home with another owner's mark, and a stopped node
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
	if err := m.checkOwner(owner); err != nil {
		return Sight{State: StateForeign, Message: err.Error()}, nil //nolint:nilerr // whose it is was the question
	}
	s := Sight{Spec: m.Spec, Version: m.Version, Unfinished: m.first() && !m.Admin && !m.Open, Busy: busy(home)}
	if s.PID = processOf(home); s.PID != 0 {
		s.State = StateStarting
		if speaks(ctx, m.HostPort()) {
			s.State = StateRunning
		}
		return s, nil
	}
	if entries, err := os.ReadDir(filepath.Join(m.dataDir(), "data")); errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		s.State = StateAbsent
		return s, nil
	} else if err != nil {
		return Sight{}, err
	}
	taken, err := machine.Occupied(ctx, m.Address, m.Port)
	if err != nil {
		return Sight{}, err
	}
	s.State = StateStopped
	if taken {
		s.State, s.Message = StateForeign, m.taken(m.Port).Error()
	}
	return s, nil
}

// busy reports whether somebody holds the home's lock.
func busy(home string) bool {
	f, err := os.Open(home)
	if err != nil {
		return false
	}
	defer f.Close() // which lets go of the lock
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// processOf returns the living process that was started from a home's configuration, 0 where there is none. Everybody may read the
// arguments of a process, whoever's it is.
func processOf(home string) int {
	for _, pid := range machine.Processes() {
		if machine.ProgramOf(pid) == "java" && !machine.Zombie(pid) && homeOf(pid) == home {
			return pid
		}
	}
	return 0
}

// homeOf returns the home of a node's process, "" for every other process.
func homeOf(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	for arg := range strings.SplitSeq(string(text), "\x00") {
		if path, ok := strings.CutPrefix(arg, "-Dcassandra.config=file://"); ok {
			if home, ok := strings.CutSuffix(path, "/"+confName); ok {
				return home
			}
		}
	}
	return ""
}

// Peers lists the homes of the living nodes of a cluster on this machine, but for one.
func Peers(cluster, but string) []string {
	var out []string
	for _, pid := range machine.Processes() {
		if machine.ProgramOf(pid) != "java" || machine.Zombie(pid) {
			continue
		}
		home := homeOf(pid)
		if home == "" || home == but {
			continue
		}
		if m, err := readMarker(home); err == nil && m.Cluster == cluster {
			out = append(out, home)
		}
	}
	return out
}
