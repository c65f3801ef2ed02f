package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// programs are what a release consists of; they find each other by lying in one directory.
var programs = []string{"meridian", "meridian-runner", "terraform-provider-localdb"}

// TestReal runs the scripts of testdata/real against real programs: real Temporal, terraform and PostgreSQL. The programs are built for it,
// unless MERIDIAN_BIN=/path/to/bin/meridian names some.
func TestReal(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take a minute")
	}
	root, err := os.MkdirTemp("", "meridian-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sweep(t, root) })
	if err := os.Chmod(root, 0o711); err != nil { // PostgreSQL's user, and nobody, pass through
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin")
	install(t, bin)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/real",
		WorkdirRoot:         root,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("MERIDIAN_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("TERM", "xterm")
			env.Setenv("LANG", "C.UTF-8")
			return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "serve": serve, "stopserver": stopServer, "spec": spec, "sh": sh,
			"start": start, "stop": stop, "capture": capture, "nothing": nothing, "processes": processes, "asnobody": asNobody,
		},
	})
}

// install builds the programs into bin, or copies those that MERIDIAN_BIN names: nobody may not pass to where they are.
func install(t *testing.T, bin string) {
	t.Helper()
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	named := os.Getenv("MERIDIAN_BIN")
	if named == "" {
		args := []string{"build", "-buildvcs=false", "-o", bin + string(filepath.Separator)}
		for _, name := range programs {
			args = append(args, "meridian/cmd/"+name)
		}
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		return
	}
	for _, name := range programs {
		if err := copyProgram(filepath.Join(filepath.Dir(named), name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// sweep ends what a failed script left behind, and removes its files.
func sweep(t *testing.T, root string) {
	for _, pid := range naming(root) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
	}
	if !waitUntil(func() bool { return len(naming(root)) == 0 }) {
		t.Errorf("processes that do not end: %v", naming(root))
	}
	if err := os.RemoveAll(root); err != nil {
		t.Error(err)
	}
}

// naming lists the processes, but zombies, that have path in their arguments or run in it.
func naming(path string) []int {
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if bytes.Contains(line, []byte(path)) || cwd == path || strings.HasPrefix(cwd, path+"/") {
			out = append(out, pid)
		}
	}
	return out
}

// nothing PATH... wants that no process names PATH or runs in it, and that PATH is an empty directory or not there.
func nothing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: nothing path...")
	}
	for _, arg := range args {
		path := ts.MkAbs(arg)
		for _, pid := range naming(path) {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			ts.Fatalf("process %d is left: %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
		if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
			ts.Fatalf("%s holds %v", path, entries)
		} else if err != nil && !os.IsNotExist(err) {
			ts.Fatalf("%v", err)
		}
	}
}

// processes PATH wants that some process names PATH or runs in it; with a ! in front, that none does.
func processes(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] processes path")
	}
	if found := naming(ts.MkAbs(args[0])); (len(found) > 0) == neg {
		ts.Fatalf("processes of %s: %v", args[0], found)
	}
}

// start PATTERN PROGRAM ARGS... starts a program and waits until it prints something that matches. A script has one at a time.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start pattern program [args...]")
	}
	p := startUntil(ts, args[0], args[1:])
	running.Store(ts, p)
	ts.Defer(func() { _ = p.cmd.Process.Kill() }) // it may have ended already
}

// stop interrupts the program that start started, and prints what it had to say and its exit code as code=N.
func stop(ts *testscript.TestScript, neg bool, args []string) {
	p, ok := running.LoadAndDelete(ts)
	if neg || len(args) > 0 || !ok {
		ts.Fatalf("usage: stop, after start")
	}
	p.(*started).interrupt(ts)
}

// capture NAME stdout|stderr PATTERN sets a variable to what the pattern's first group matched last.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: capture name stdout|stderr pattern")
	}
	found := regexp.MustCompile(args[2]).FindAllStringSubmatch(ts.ReadFile(args[1]), -1)
	if len(found) == 0 || len(found[0]) < 2 {
		ts.Fatalf("%s does not match %q", args[1], args[2])
	}
	ts.Setenv(args[0], found[len(found)-1][1])
}

// asnobody PROGRAM ARGS... runs a program as user nobody with a home of its own, $WORK/nobody; its exit code is printed as code=N.
func asNobody(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: asnobody program [args...]")
	}
	who, err := user.Lookup("nobody")
	ts.Check(err)
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	ts.Check(err)
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	ts.Check(err)
	home := ts.MkAbs("nobody")
	ts.Check(os.MkdirAll(home, 0o700))
	ts.Check(os.Chown(home, int(uid), int(gid)))
	cmd := command(ts, args...)
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	var env []string
	for _, kv := range cmd.Env {
		if name, _, _ := strings.Cut(kv, "="); name != "HOME" && name != "MERIDIAN_DATA" && name != "GOCOVERDIR" {
			env = append(env, kv)
		}
	}
	cmd.Env = append(env, "HOME="+home, "XDG_CACHE_HOME="+filepath.Join(home, "cache"), "XDG_STATE_HOME="+filepath.Join(home, "state"))
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); cmd.ProcessState == nil {
		ts.Fatalf("%v", err)
	}
	fmt.Fprintf(ts.Stdout(), "code=%d\n", cmd.ProcessState.ExitCode())
}
