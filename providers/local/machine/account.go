// Package machine is what the servers of provider local need of the machine under them, whatever the engine: the account that they run as,
// locks and files of their homes, ports, and the process table.
//
// It must never know an engine, and never hand anything of our own process (environment, descriptors) to another.
package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"meridian/providers"
)

// Account is the user that a server runs as.
type Account struct {
	// Name is its entry in the user database.
	Name string
	// UID and GID are its numbers.
	UID, GID int
	// Switches says that we are root and must become it.
	Switches bool
}

// RunAs says as whom servers run: an ordinary user as itself; root, as whom no database should run, as postgres, else nobody.
func RunAs() (Account, error) {
	if os.Geteuid() != 0 {
		u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
		if err != nil {
			return Account{}, fmt.Errorf("user %d has no entry in the user database, and a database server needs one: %w", os.Geteuid(), errors.Join(err, providers.ErrPermanent))
		}
		return Account{Name: u.Username, UID: os.Geteuid(), GID: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			continue
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			continue
		}
		return Account{Name: name, UID: uid, GID: gid, Switches: true}, nil
	}
	return Account{}, fmt.Errorf("database servers do not run as root, and this machine has neither a user postgres nor nobody: %w", providers.ErrPermanent)
}

// Command makes a command that runs as the account, in a session of its own, with an environment of its own, from a directory that always exists.
func (a Account) Command(binDir, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = Environment(binDir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.Switches {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
	}
	return cmd
}

// Environment is all that a server's programs get of the world: nothing of ours.
func Environment(binDir string) []string {
	return []string{"PATH=" + binDir + ":/usr/bin:/bin", "HOME=/", "LC_ALL=C", "TZ=UTC"}
}

// Own gives an open file or directory to the account: by its descriptor, as names in a home are the account's to change.
func (a Account) Own(f *os.File) error {
	if !a.Switches {
		return nil
	}
	return f.Chown(a.UID, a.GID)
}

// CanReach reports whether the user as whom servers run here can pass every directory down to dir, as far as it exists.
func CanReach(dir string) (bool, error) {
	a, err := RunAs()
	if err != nil {
		return false, err
	}
	return !a.Switches || a.ClosedAncestor(dir) == "", nil
}

// ClosedAncestor returns the topmost directory on the way to path that the account may not pass, "" where there is none.
func (a Account) ClosedAncestor(path string) string {
	var closed string
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dir
		}
		if err == nil && info.IsDir() && !a.mayPass(info) {
			closed = dir
		}
		if dir == filepath.Dir(dir) {
			return closed
		}
	}
}

func (a Account) mayPass(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch {
	case int(st.Uid) == a.UID:
		return st.Mode&0o100 != 0
	case int(st.Gid) == a.GID:
		return st.Mode&0o010 != 0
	default:
		return st.Mode&0o001 != 0
	}
}

// MakeDir makes a directory of the server's, 0700, where it is missing, and gives it to the account.
func (a Account) MakeDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(a.Own(d), d.Close())
}
