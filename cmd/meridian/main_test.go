package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"meridian/orchestrator/api/apitest"
)

var updateScripts = flag.Bool("update", false, "write the golden parts of the scripts anew")

// TestMain makes this test binary the program `meridian` of the scripts, with a fake service behind its server.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meridian": func() {
		openBackend, joinServer = openFake, joinFake
		main()
	}})
}

// openFake is a backend without anything real in it. It says on start what it was asked for.
func openFake(_ context.Context, o serveOptions, logger *slog.Logger) (*backend, error) {
	if os.Getenv("FAKE_BACKEND") == "broken" {
		return nil, &exitError{Code: exitFailed, What: "the store is of a newer version", Next: "start the Meridian that made it"}
	}
	logger.Info("fake backend", "data", o.Data, "url", o.URL, "ui", o.UI, "terraform", o.Terraform)
	b := &backend{Service: apitest.New(), Close: func() { logger.Info("fake backend closed") }}
	if o.UI {
		b.LoginURL = func(next string) string { return o.URL + "/open?token=fake&next=" + next }
		b.Web = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "web %s authorized=%v\n", r.URL.Path, o.Authorized(r))
		})
	}
	return b, nil
}

// fakeWorker is a worker without anything real in it; it finds its server alive while there is one.
type fakeWorker struct {
	data   string
	logger *slog.Logger
}

func joinFake(_ context.Context, o joinOptions, logger *slog.Logger) (joined, error) {
	if o.Server.Terraform == "broken" {
		return nil, &exitError{Code: exitFailed, What: "the store is of a newer version", Next: "start the Meridian that made it"}
	}
	logger.Info("fake worker", "url", o.Server.URL, "terraform", o.Server.Terraform, "drain", o.Drain)
	return &fakeWorker{data: o.Data, logger: logger}, nil
}

func (w *fakeWorker) Alive(context.Context) bool {
	_, err := readServerInfo(w.data)
	return err == nil
}

func (w *fakeWorker) Failed() <-chan struct{} { return nil }
func (w *fakeWorker) Err() error              { return nil }
func (w *fakeWorker) Close()                  { w.logger.Info("fake worker closed") }

func TestScripts(t *testing.T) {
	db := &database{t: t}
	cmds := map[string]func(*testscript.TestScript, bool, []string){
		"code": code, "interrupt": interrupt, "serve": serve, "stopserver": stopServer, "spec": spec, "sh": sh,
	}
	maps.Copy(cmds, db.commands())
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(cond string) (bool, error) {
			if cond == "postgres" {
				return db.here(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		UpdateScripts:       *updateScripts,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("MERIDIAN_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("TERM", "xterm")
			env.Setenv("LANG", "C.UTF-8")
			return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o700)
		},
		Cmds: cmds,
	})
}

// code N PROGRAM ARGS... runs a program that has to end with exit code N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// sh COMMAND runs a command line of the shell; its exit code is printed to stdout as code=N.
func sh(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sh 'command line'")
	}
	ts.Check(ts.Exec("sh", "-c", args[0]+"\necho code=$?"))
}

// interrupt PATTERN PROGRAM ARGS... starts a program, sends it SIGINT once its stderr or stdout matches PATTERN, and prints its exit code as code=N.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt pattern program [args...]")
	}
	startUntil(ts, args[0], args[1:]).interrupt(ts)
}

// started is a program in the background of a script.
type started struct {
	cmd             *exec.Cmd
	out, errs, both lockedBuffer
	ended           chan error
}

// startUntil starts a program and waits until its stdout or stderr matches a pattern.
func startUntil(ts *testscript.TestScript, pattern string, args []string) *started {
	matched := regexp.MustCompile(pattern).MatchString
	p := &started{cmd: command(ts, args...), ended: make(chan error, 1)}
	p.cmd.Stdout = io.MultiWriter(&p.out, &p.both)
	p.cmd.Stderr = io.MultiWriter(&p.errs, &p.both)
	ts.Check(p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	if !waitUntil(func() bool { return matched(p.both.String()) || len(p.ended) > 0 }) || !matched(p.both.String()) {
		_ = p.cmd.Process.Kill() // it may have ended already
		ts.Fatalf("%q was never printed; what was: %s", pattern, p.both.String())
	}
	return p
}

// interrupt sends SIGINT and prints what the program had to say, and its exit code as code=N.
func (p *started) interrupt(ts *testscript.TestScript) {
	_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended already
	select {
	case err := <-p.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		ts.Fatalf("it does not end; what it said: %s", p.both.String())
	}
	fmt.Fprintf(ts.Stdout(), "%scode=%d\n", p.out.String(), p.cmd.ProcessState.ExitCode())
	fmt.Fprint(ts.Stderr(), p.errs.String())
}

// serve ARGS... starts `meridian server ARGS...` on a free port and waits until it is ready. It is stopped when the script ends.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	cmd := command(ts, append([]string{"meridian", "server", "--listen", "127.0.0.1:0"}, args...)...)
	var out, errs lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	running := &runningServer{cmd: cmd, ended: ended, out: &out, errs: &errs}
	servers.Store(ts, running)
	ts.Defer(func() { running.stop() })
	if !waitUntil(func() bool { return strings.Contains(out.String(), "is ready") || len(ended) > 0 }) || len(ended) > 0 {
		ts.Fatalf("the server does not become ready: %s%s", out.String(), errs.String())
	}
	if lines := strings.Count(out.String(), "\n"); lines != 1 {
		ts.Fatalf("the server printed %d lines: %s", lines, out.String())
	}
	text, err := os.ReadFile(filepath.Join(dataOf(ts, args), "server.json"))
	ts.Check(err)
	var info serverInfo
	ts.Check(json.Unmarshal(text, &info))
	ts.Setenv("URL", info.URL)
	ts.Setenv("PID", strconv.Itoa(info.PID))
}

func dataOf(ts *testscript.TestScript, args []string) string {
	for i, a := range args {
		if a == "--data" && i+1 < len(args) {
			return ts.MkAbs(args[i+1])
		}
	}
	return ts.Getenv("MERIDIAN_DATA")
}

// stopserver sends SIGTERM to the script's last server and prints what it had to say; the server has to end with exit code 0.
func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	v, ok := servers.Load(ts)
	if !ok {
		ts.Fatalf("no server runs")
	}
	running := v.(*runningServer)
	err := running.stop()
	fmt.Fprint(ts.Stdout(), running.out.String())
	fmt.Fprint(ts.Stderr(), running.errs.String())
	ts.Check(err)
}

var (
	servers sync.Map // *testscript.TestScript -> *runningServer
	running sync.Map // *testscript.TestScript -> *started
)

type runningServer struct {
	cmd       *exec.Cmd
	ended     chan error
	out, errs *lockedBuffer
	once      sync.Once
	err       error
}

func (r *runningServer) stop() error {
	r.once.Do(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case r.err = <-r.ended:
		case <-time.After(patience):
			r.err = errors.New("the server does not stop")
			_ = r.cmd.Process.Kill()
		}
	})
	return r.err
}

// spec NAME [FILE] writes the example spec as a database of that name.
func spec(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: spec name [file]")
	}
	file := args[0] + ".yaml"
	if len(args) == 2 {
		file = args[1]
	}
	text := strings.Replace(demoSpec, "name: orders\n", "name: "+args[0]+"\n", 1)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(file)), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o644))
}

// command is a program of the script, in its directory and environment.
func command(ts *testscript.TestScript, args ...string) *exec.Cmd {
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[0])); err == nil {
			path = filepath.Join(dir, args[0])
			break
		}
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TERM", "LANG", "MERIDIAN_DATA", "MERIDIAN_SERVER", "MERIDIAN_TOKEN", "FAKE_BACKEND", "GOCOVERDIR"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

// patience is how long a program may take on a busy machine.
const patience = 3 * time.Minute

// waitUntil looks every 5 ms until it is over.
func waitUntil(done func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		if done() {
			return true
		}
		select {
		case <-tick.C:
		case <-late:
			return false
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
