package chaos

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// process is one living process that has to do with the data directory; start tells it from a later one of the same number.
type process struct {
	pid   int
	start string
	args  []string
	dir   string // where it works
	role  Role   // "" for what is no part of Meridian's machinery, like PostgreSQL
	stack string // "incarnation/region" of a member of a stack's family
}

// processes lists the living processes that name the data directory in their arguments or work in it.
func processes(data string) []process {
	entries, _ := os.ReadDir("/proc")
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, ok := readProcess(pid)
		if !ok || !strings.HasPrefix(p.dir+"/", data+"/") && !slices.ContainsFunc(p.args, func(a string) bool { return strings.Contains(a, data) }) {
			continue
		}
		p.role, p.stack = classify(p.args, p.dir, data)
		out = append(out, p)
	}
	return out
}

// readProcess reads a living process; a zombie is none.
func readProcess(pid int) (process, bool) {
	root := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(root, "stat"))
	if err != nil {
		return process{}, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	cmdline, _ := os.ReadFile(filepath.Join(root, "cmdline"))
	dir, _ := os.Readlink(filepath.Join(root, "cwd"))
	return process{pid: pid, start: fields[19], args: strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00"), dir: dir}, true
}

// classify says what a process is to Meridian by what anybody can see of it.
func classify(args []string, dir, data string) (Role, string) {
	program, verb := filepath.Base(args[0]), ""
	if len(args) > 1 {
		verb = args[1]
	}
	switch {
	case strings.HasPrefix(program, "terraform-provider-"):
		return RolePlugin, stackOfWork(dir, data)
	case program == "terraform" || program == "tofu":
		return RoleTerraform, stackOfWork(dir, data)
	case strings.HasPrefix(program, "meridian-runner") && verb == "shim", strings.HasPrefix(program, "meridian-shim"):
		return RoleShim, stackOfWork(dir, data)
	case strings.HasPrefix(program, "meridian-runner"):
		if i := slices.Index(args, "--step"); i >= 0 && i+1 < len(args) {
			return RoleRunner, stackOfStep(args[i+1])
		}
		return RoleRunner, ""
	case program == "meridian" && verb == "server":
		return RoleServer, ""
	case program == "meridian" && verb == "worker":
		return RoleWorker, ""
	}
	return "", ""
}

// stackOfWork reads a stack from its work directory: work/NAMESPACE/NAME-INCARNATION/REGION.
func stackOfWork(dir, data string) string {
	parts := strings.Split(strings.TrimPrefix(dir, data+"/"), "/")
	if len(parts) < 4 || parts[0] != "work" {
		return ""
	}
	return parts[2][strings.LastIndexByte(parts[2], '-')+1:] + "/" + parts[3]
}

// stackOfStep reads a stack from a step's name: INCARNATION-NUMBER/REGION/KIND.N.
func stackOfStep(step string) string {
	parts := strings.Split(step, "/")
	if len(parts) < 2 {
		return ""
	}
	incarnation, _, _ := strings.Cut(parts[0], "-")
	return incarnation + "/" + parts[1]
}

// signal signals exactly this process; it reports whether there was one.
func (p process) signal(sig syscall.Signal) bool {
	h, err := os.FindProcess(p.pid) // a handle first (a pidfd), so that the number cannot become another's between look and blow
	if err != nil {
		return false
	}
	defer func() { _ = h.Release() }()
	now, ok := readProcess(p.pid)
	return ok && now.start == p.start && h.Signal(sig) == nil
}
