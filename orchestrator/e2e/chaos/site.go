package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// private are the directories of a data directory that each site has for itself: where terraform works, what it left, and the locks.
// What else is in it is the same for all, as if each site had been given it: addresses, keys, and the databases, which are the world.
var private = []string{"work", "spool", "locks", "check", "logs", "runners", "templates"}

// emptied are those that are removed with the last thing in them. The kernel takes a mount away whose place is removed, also where somebody
// in another namespace did it, so a file keeps them.
var emptied = []string{"work", "spool", "locks", "check", "logs"}

// keepFile is that file.
const keepFile = ".kept"

// siteFile names a site; its ID is made on first use, or here.
const siteFile = "site"

// siteDir holds what is private to a site.
func (s *suite) siteDir(site int) string { return filepath.Join(s.Aside, "site-"+strconv.Itoa(site)) }

// makeSites lays out what each site has for itself, and tries whether this machine lets a process have its own view of the files.
func (s *suite) makeSites(ctx context.Context) error {
	for site := range s.Sites + 1 { // the server's own site is 0
		in := s.siteDir(site)
		if site == 0 {
			in = s.Data
		}
		for _, name := range private {
			if err := os.MkdirAll(filepath.Join(in, name), 0o700); err != nil {
				return err
			}
			if slices.Contains(emptied, name) {
				if err := os.WriteFile(filepath.Join(in, name, keepFile), nil, 0o600); err != nil {
					return err
				}
			}
		}
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d\n", site)
		if err := os.WriteFile(filepath.Join(in, siteFile), []byte(id), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, "chaos"), "-enter", s.siteDir(1), "-data", s.Data, "--", filepath.Join(s.Bin, "meridian"), "version")
	ownView(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %w\n%s", errNoSites, err, out)
	}
	return nil
}

// errNoSites says what a machine lacks.
var errNoSites = errors.New("this machine gives a process no mount namespace of its own, so it cannot be two sites: " +
	"run as root with CAP_SYS_ADMIN, or where users may make user namespaces (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces), or leave -sites out")

// startAt starts a command on a site: with its own view of the private directories, under the same paths.
func (s *suite) startAt(site int, cmd *exec.Cmd) error {
	if site == 0 {
		return cmd.Start()
	}
	cmd.Args = append([]string{"chaos", "-enter", s.siteDir(site), "-data", s.Data, "--", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = filepath.Join(s.Bin, "chaos")
	ownView(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.views[view(cmd.Process.Pid)] = site
	return nil
}

// Numbers of linux/capability.h and linux/prctl.h.
const (
	capSysAdmin     = 21
	ambient         = 47
	ambientClearAll = 4
)

// ownView starts a command in a mount namespace of its own; a user who is not root needs a user namespace for that.
func ownView(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{capSysAdmin}
	}
}

// enter puts a site's private directories over those of the data directory, for this process and its descendants, and becomes the program.
// It is called in a mount namespace of its own, and returns only where that fails.
func enter(site, data string, program []string) error {
	if len(program) == 0 {
		return errors.New("no program to become")
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	for _, name := range append([]string{siteFile}, private...) {
		if err := syscall.Mount(filepath.Join(site, name), filepath.Join(data, name), "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("put %s in place: %w", name, err)
		}
	}
	if os.Geteuid() != 0 { // the program is to have no more rights than it would have outside
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, ambient, ambientClearAll, 0, 0, 0, 0); errno != 0 {
			return fmt.Errorf("drop what was needed for that: %w", errno)
		}
	}
	return fmt.Errorf("become %s: %w", program[0], syscall.Exec(program[0], program, os.Environ()))
}

// view is the mount namespace of a process: what tells sites apart, for all who were started on one have it.
func view(pid int) string {
	v, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	return v
}

// siteOf tells on which site a process runs: that of the workers which were started there.
func (s *suite) siteOf(p process) int {
	if s.Sites == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.views[view(p.pid)]
}

// members are the living processes of Meridian on a site; databases are none of them: they are the cloud's.
func (s *suite) members(site int) (out []process) {
	for _, p := range processes(s.Data) {
		if p.role != "" && s.siteOf(p) == site {
			out = append(out, p)
		}
	}
	return out
}

// roots are the directories in which attempts may have left something: the data directory's, and those of the sites.
func (s *suite) roots() []string {
	out := []string{s.Data}
	for site := range s.Sites {
		out = append(out, s.siteDir(site+1))
	}
	return out
}

// setShut keeps the programs of a site from being started again, or no longer.
func (s *suite) setShut(site int, shut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut[site] = shut
}

func (s *suite) isShut(site int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut[site]
}
