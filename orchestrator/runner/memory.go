package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// EnvLaunchMemory is how much memory (MiB) all terraforms of a site may use together; by default three quarters of what the machine, or the
// control group, has.
const EnvLaunchMemory = "MERIDIAN_LAUNCH_MEMORY"

// lightestLaunch is the memory (MiB) of the lightest launch: terraform and a small plugin.
const lightestLaunch = 128

// memory is what there is, in MiB: of the machine, or of the control group where that has less.
type memory struct{ Total, Available int }

// launchMemory is the memory (MiB) that terraform may use.
func launchMemory(setting string, m memory) (int, error) {
	if setting == "" {
		return m.Total * 3 / 4, nil
	}
	n, err := strconv.Atoi(setting)
	if err != nil || n < lightestLaunch {
		return 0, fmt.Errorf("%s=%q: want a number of MiB, %d or more", EnvLaunchMemory, setting, lightestLaunch)
	}
	return n, nil
}

// readMemory asks the kernel. What it does not say is not limited.
func readMemory() memory {
	text, _ := os.ReadFile("/proc/meminfo")
	m := parseMeminfo(string(text))
	group, _ := os.ReadFile("/proc/self/cgroup")
	for dir := cgroupDir(string(group)); dir != ""; dir = filepath.Dir(dir) {
		limit, limited := readBytes(filepath.Join(dir, "memory.max"))
		used, known := readBytes(filepath.Join(dir, "memory.current"))
		if limited && known {
			m = m.within(limit, used)
		}
		if dir == cgroupRoot || dir == "/" {
			break
		}
	}
	return m
}

// within is what is left below a limit of a control group.
func (m memory) within(limit, used int) memory {
	return memory{Total: min(m.Total, limit), Available: min(m.Available, max(0, limit-used))}
}

// parseMeminfo reads /proc/meminfo; a kernel that says nothing has as much as anybody wants.
func parseMeminfo(text string) memory {
	const plenty = 1 << 30
	m := memory{plenty, plenty}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.Atoi(f[1])
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			m.Total = kib >> 10
		case "MemAvailable:":
			m.Available = kib >> 10
		}
	}
	return m
}

// cgroupRoot is where version 2 of control groups is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// cgroupDir is the directory of this process's control group of version 2, "" where there is none.
func cgroupDir(text string) string {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(cgroupRoot, path)
		}
	}
	return ""
}

// readBytes reads a number of bytes as MiB; "max" is none.
func readBytes(path string) (int, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return int(n >> 20), err == nil
}
