package machine

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Zombie reports whether a process does not live: it is gone, or dead and not yet collected.
func Zombie(pid int) bool {
	state, ok := processState(pid)
	return !ok || state == 'Z' || state == 'X'
}

// processState reads the letter that /proc/PID/stat has for the process; false when there is none.
func processState(pid int) (byte, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	i := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
	if i < 0 || i+2 >= len(stat) {
		return 0, false
	}
	return stat[i+2], true
}

// Processes lists the processes of this machine.
func Processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	pids := make([]int, 0, len(entries))
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ProgramOf returns the name of the program that a process runs, "" where we may not look.
func ProgramOf(pid int) string {
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(comm))
}

// SignalAll sends sig to each of these processes; one that is gone is none.
func SignalAll(pids []int, sig os.Signal) error {
	var errs []error
	for _, pid := range pids {
		p, err := os.FindProcess(pid)
		if err != nil {
			continue // gone
		}
		if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// HideDescriptors keeps what we inherited (a lock that our parents hold) from the programs that we start: Go opens its own files so,
// but hands on what it got. Only this process's view changes; it keeps every file open.
func HideDescriptors() error {
	const firstNotStandard = 3
	err := unix.CloseRange(firstNotStandard, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	entries, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= firstNotStandard {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
