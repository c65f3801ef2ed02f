package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// process is one process of this boot; its start time (clock ticks) tells it from a later one of the same pid.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// procStat is what the runner reads of /proc/PID/stat.
type procStat struct {
	process
	Name    string
	State   byte // R, S, D, T (stopped), Z, X
	Parent  int
	Group   int
	Session int
}

// readStat reads one process; an error means that it is gone.
func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(data))
}

// parseStat reads a line of /proc/PID/stat; the name may hold spaces and brackets, so fields count from the last ')'.
func parseStat(line string) (procStat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return procStat{}, fmt.Errorf("process stat %q: no name", line)
	}
	f := strings.Fields(line[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return procStat{}, fmt.Errorf("process stat %q: too short", line)
	}
	s := procStat{Name: line[open+1 : end], State: f[0][0]}
	var err error
	number := func(text string) int {
		n, e := strconv.Atoi(strings.TrimSpace(text))
		if e != nil && err == nil {
			err = fmt.Errorf("process stat: %w", e)
		}
		return n
	}
	s.PID, s.Parent, s.Group, s.Session = number(line[:open]), number(f[1]), number(f[2]), number(f[3])
	start, e := strconv.ParseUint(f[19], 10, 64)
	if e != nil && err == nil {
		err = fmt.Errorf("process stat: %w", e)
	}
	s.Start = start
	return s, err
}

// look returns the process as it is now; ok is false when it is gone, a zombie, or another one of the same pid.
func (p process) look() (procStat, bool) {
	if p.PID <= 0 {
		return procStat{}, false
	}
	s, err := readStat(p.PID)
	if err != nil || s.Start != p.Start || s.State == 'Z' || s.State == 'X' {
		return procStat{}, false
	}
	return s, true
}

// alive reports whether the process still runs (or is stopped).
func (p process) alive() bool {
	_, ok := p.look()
	return ok
}

// signal signals exactly this process: the handle is taken first (a pidfd), then the start time is compared.
func (p process) signal(sig syscall.Signal) error {
	h, err := os.FindProcess(p.PID)
	if err != nil {
		return err
	}
	defer func() { _ = h.Release() }()
	if !p.alive() {
		return os.ErrProcessDone
	}
	return h.Signal(sig)
}

// self is this process.
func self() (process, error) {
	s, err := readStat(os.Getpid())
	return s.process, err
}

// sessionMembers lists the living processes of a session, oldest first.
func sessionMembers(session int) []procStat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []procStat
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		if err == nil && s.Session == session && s.State != 'Z' && s.State != 'X' {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, k int) bool {
		if out[i].Start != out[k].Start {
			return out[i].Start < out[k].Start
		}
		return out[i].PID < out[k].PID
	})
	return out
}

// holders lists the processes that have the file open, as far as this user may look, without this process.
func holders(path string) []procStat {
	want, err := os.Stat(path)
	if err != nil {
		return nil
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil {
		return nil
	}
	var out []procStat
	for _, dir := range fds {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if holds(dir, want) {
			if s, err := readStat(pid); err == nil {
				out = append(out, s)
			}
		}
	}
	return out
}

// holds reports whether one of the descriptors in dir is the file.
func holds(dir string, want os.FileInfo) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if got, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && os.SameFile(got, want) {
			return true
		}
	}
	return false
}

// bootID names the kernel's boot: a pid of another boot means nothing.
func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot ID: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
