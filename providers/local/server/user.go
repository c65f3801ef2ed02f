package server

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

// account is the user that a server runs as.
type account struct {
	name     string
	uid, gid int
	switches bool // we are root and must become it
}

// runAs says as whom servers run: an ordinary user as itself; root, which PostgreSQL refuses, as postgres, else nobody.
func runAs() (account, error) {
	if os.Geteuid() != 0 {
		u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
		if err != nil {
			return account{}, fmt.Errorf("user %d has no entry in the user database, and PostgreSQL needs one: %w", os.Geteuid(), errors.Join(err, providers.ErrPermanent))
		}
		return account{name: u.Username, uid: os.Geteuid(), gid: os.Getegid()}, nil
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
		return account{name: name, uid: uid, gid: gid, switches: true}, nil
	}
	return account{}, fmt.Errorf("PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody: %w", providers.ErrPermanent)
}

// command makes a command that runs as the account, in a session of its own, with an environment of its own, from a directory that always exists.
func (a account) command(binDir, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = environment(binDir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.switches {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return cmd
}

// environment is all that a server's programs get of the world: nothing of ours.
func environment(binDir string) []string {
	return []string{"PATH=" + binDir + ":/usr/bin:/bin", "HOME=/", "LC_ALL=C", "TZ=UTC"}
}

// own gives an open file or directory to the account: by its descriptor, as names in a home are the account's to change.
func (a account) own(f *os.File) error {
	if !a.switches {
		return nil
	}
	return f.Chown(a.uid, a.gid)
}

// checkReach makes sure that the account can run the programs from within dir, by doing it; the mode bits only name the culprit.
func (a account) checkReach(b Binaries, dir string) error {
	if !a.switches {
		return nil
	}
	cmd := a.command(b.Dir, b.Path("postgres"), "--version")
	cmd.Dir = dir
	err := cmd.Run()
	if err == nil {
		return nil
	}
	for _, path := range []string{dir, b.Path("postgres")} {
		if closed := a.closedAncestor(path); closed != "" {
			return fmt.Errorf("user %s, as whom PostgreSQL runs here, cannot pass %s on the way to %s: `chmod o+x %s`, or use another directory: %w",
				a.name, closed, path, closed, providers.ErrPermanent)
		}
	}
	return fmt.Errorf("user %s, as whom PostgreSQL runs here, cannot run %s in %s: %w", a.name, b.Path("postgres"), dir, errors.Join(err, providers.ErrPermanent))
}

// CanReach reports whether the user as whom servers run here can pass every directory down to dir, as far as it exists.
func CanReach(dir string) (bool, error) {
	a, err := runAs()
	if err != nil {
		return false, err
	}
	return !a.switches || a.closedAncestor(dir) == "", nil
}

func (a account) closedAncestor(path string) string {
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

func (a account) mayPass(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch {
	case int(st.Uid) == a.uid:
		return st.Mode&0o100 != 0
	case int(st.Gid) == a.gid:
		return st.Mode&0o010 != 0
	default:
		return st.Mode&0o001 != 0
	}
}
