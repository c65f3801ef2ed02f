package server

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"meridian/providers/local/machine"
)

// pidFile is what a postmaster writes of itself into postmaster.pid.
type pidFile struct {
	pid   int
	port  int
	ready bool // it accepts connections
}

func readPidFile(data string) (pidFile, bool) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidFile{}, false
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return pidFile{}, false
	}
	const portLine, statusLine = 3, 7 // LOCK_FILE_LINE_PORT and _PM_STATUS of PostgreSQL's miscadmin.h, from 0
	p := pidFile{pid: pid}
	if len(lines) > portLine {
		p.port, _ = strconv.Atoi(lines[portLine]) // 0 until it is written
	}
	if len(lines) > statusLine {
		p.ready = strings.TrimSpace(lines[statusLine]) == "ready"
	}
	return p, true
}

// postmaster returns the living postmaster of a data directory. A process counts when it lives in that very directory: a number that was
// given to another process after a reboot, and a dead one that nobody has collected, do not.
func postmaster(data string) (pidFile, bool) {
	p, ok := readPidFile(data)
	if !ok || !livesIn(p.pid, data) {
		return pidFile{}, false
	}
	return p, true
}

// livesIn reports whether the process is alive and its working directory is dir: PostgreSQL's processes all move into their data directory.
func livesIn(pid int, dir string) bool {
	if machine.Zombie(pid) {
		return false
	}
	cwd, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/cwd")
	if errors.Is(err, fs.ErrPermission) {
		return argumentOf(pid) == dir
	}
	if err != nil {
		return false
	}
	want, err := os.Stat(dir)
	return err == nil && os.SameFile(cwd, want)
}

// argumentOf returns the data directory that a postmaster was started with. Everybody may read it, while the working directory of
// another user's process is hidden from a root without CAP_SYS_PTRACE, as in many containers.
func argumentOf(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	args := strings.Split(string(text), "\x00")
	for i, arg := range args {
		if arg == "-D" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// residents lists the living processes whose working directory is data, also those that live in a directory of that path that was removed.
func residents(data string) []int {
	var pids []int
	for _, pid := range machine.Processes() {
		if machine.ProgramOf(pid) == "postgres" && homeOf(pid) == data && !machine.Zombie(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// homeOf returns the data directory of a process of PostgreSQL, also one that was removed under it.
func homeOf(pid int) string {
	link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	if errors.Is(err, fs.ErrPermission) {
		return argumentOf(pid)
	}
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(link, " (deleted)")
}
