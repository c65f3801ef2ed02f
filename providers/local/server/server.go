// Package server is the life of one PostgreSQL server on this machine: make, look, change, stop, destroy.
//
// A server owns one directory, its home, and nothing outside of it: the marker that says whose it is, the cluster (data/), the
// unix socket (inside data/, which only the server's own user may enter) and the log. It listens on one loopback address.
//
// It must never touch a directory without our marker or with another owner's, never signal a process that does not live in the
// server's own data directory, never hand anything of its own process (environment, descriptors) to a server, and never put a
// password into a file, an argument or a log.
package server

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"meridian/providers/local/machine"
)

// AdminUser is the superuser of every server that we make. Its password is for TCP; the socket asks the kernel who is there.
const AdminUser = "meridian"

// The parts of a home.
const (
	markerName = "meridian.json"
	dataName   = "data"
	logName    = "server.log"
	confName   = "meridian.conf"
)

// Spec is what a server should be.
type Spec struct {
	// Home is the absolute directory that the server owns.
	Home string `json:"-"`
	// Name is for people: it is the cluster_name that `ps` shows.
	Name string `json:"name"`
	// Owner is the mark: a server is ours when its marker holds exactly this.
	Owner   string `json:"owner"`
	Address string `json:"address"`
	Port    int    `json:"port"`
	// EngineVersion is a major ("15", the newest 15.x here) or exact ("15.18").
	EngineVersion string            `json:"engineVersion"`
	Settings      map[string]string `json:"settings"`
	// PasswordVersion counts the changes of the administrator's password.
	PasswordVersion int64 `json:"passwordVersion,omitempty"`
}

// State is where a server stands.
type State string

// The states of a server.
const (
	StateAbsent   State = "absent"   // no such directory, or no cluster in it
	StateStopped  State = "stopped"  // a cluster without a process
	StateStarting State = "starting" // a process that does not accept connections yet
	StateRunning  State = "running"
	StateForeign  State = "foreign" // the directory is another's, or another answers on the server's address
)

// HostPort is the server's address in one word.
func (s Spec) HostPort() string { return s.Address + ":" + strconv.Itoa(s.Port) }

func (s Spec) dataDir() string { return filepath.Join(s.Home, dataName) }

// Major returns the major version of a version like "15", "15.18": 0 if it has none.
func Major(version string) int {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0
	}
	return n
}

// Satisfies reports whether the exact version is what was asked for: the same, or the newest of a major.
func Satisfies(exact, asked string) bool {
	if strings.Contains(asked, ".") {
		return exact == asked
	}
	return Major(exact) == Major(asked) && Major(asked) > 0
}

// Check refuses a spec that no server can be.
func (s Spec) Check() error {
	switch {
	case !filepath.IsAbs(s.Home):
		return fmt.Errorf("data directory %q: want an absolute path", s.Home)
	case s.Owner == "":
		return fmt.Errorf("data directory %s: a server needs an owner", s.Home)
	case s.Port < 1 || s.Port > 65535:
		return fmt.Errorf("port %d: want 1 to 65535", s.Port)
	case !machine.IsLoopback(s.Address):
		return fmt.Errorf("address %q: want a loopback address like 127.1.2.3: a local server has no TLS", s.Address)
	}
	return checkSettings(s.Settings)
}
