package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/providers"
	"meridian/providers/engines/postgres"
	"meridian/providers/local"
	"meridian/providers/local/plugin"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// tick is how often a test looks at something that changes within milliseconds.
const tick = 2 * time.Millisecond

// look opens a site's rows without making anything move: a Client that was never started, beside whatever server runs there, or none.
func (s *site) look() *meridian {
	s.t.Helper()
	ctx := context.Background()
	m := &meridian{site: s, logs: &logBuffer{}}
	var err error
	must := func(what string) {
		s.t.Helper()
		if err != nil {
			s.t.Fatalf("%s: %v", what, err)
		}
	}
	m.store, err = store.Open(ctx, s.where())
	must("store")
	s.t.Cleanup(func() { _ = m.store.Close() })
	sealed, err := m.store.Sealed(ctx)
	must("sealed")
	keys, err := keyring.Open(keyring.Source{Dir: s.data}, !sealed)
	must("keyring")
	m.catalog, m.journal = catalog.New(m.store, keys), journal.New(m.store, keys)
	installation, err := m.catalog.Installation(ctx)
	must("installation")
	m.registry = providers.NewRegistry([]providers.Provider{local.New(local.Config{
		PluginSource: plugin.Address, PluginVersion: "0.0.0", Root: filepath.Join(s.data, "local"), Installation: installation,
	})}, []providers.Engine{postgres.New()})
	m.Client, err = orchestrator.NewClient(ctx, orchestrator.Options{
		Catalog: m.catalog, Journal: m.journal, Registry: m.registry, Timing: timing(), Logger: slog.New(slog.NewTextHandler(m.logs, nil)),
	})
	must("client")
	return m
}

// server is `meridian server` as a process of its own.
type server struct {
	*api.HTTPClient
	site  *site
	cmd   *exec.Cmd
	url   string
	token string
	log   string // file of its standard error
	ended chan struct{}
	err   error
}

// command is the meridian of this run of the tests, in the environment of tests. What a killed server had in its hands of a workflow is
// given to the next one after two seconds, not ten.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, "meridian"), args...)
	t := timing()
	t.WorkflowTaskTimeout = 2 * time.Second
	text, _ := json.Marshal(t)
	cmd.Env = append(os.Environ(), terraform.EnvTiming+"="+string(text))
	return cmd
}

// serve starts the real server on the site and waits until it says that it is ready.
func (s *site) serve(change ...func(*exec.Cmd)) *server {
	s.t.Helper()
	srv := &server{site: s, ended: make(chan struct{}), log: filepath.Join(s.aside(), fmt.Sprintf("server-%d.log", time.Now().UnixNano()))}
	srv.cmd = command("server", "--data", s.data, "--listen", "127.0.0.1:0", "--ui=false", "--log-level", "debug")
	if s.db != "" {
		srv.cmd.Env = append(srv.cmd.Env, store.Env+"="+s.db)
	}
	for _, f := range change {
		f(srv.cmd)
	}
	log, err := os.OpenFile(srv.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	srv.cmd.Stderr = log
	out, err := srv.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	started := time.Now()
	if err := srv.cmd.Start(); err != nil {
		s.t.Fatalf("starting the server: %v", err)
	}
	first := make(chan string, 1)
	go func() {
		defer close(srv.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case first <- lines.Text():
			default:
			}
		}
		srv.err = srv.cmd.Wait()
	}()
	s.t.Cleanup(srv.kill)
	select {
	case line := <-first:
		_, line, _ = strings.Cut(line, "ready: ")
		srv.url, _, _ = strings.Cut(line, " ")
	case <-srv.ended:
		s.t.Fatalf("the server ended: %v\n%s", srv.err, srv.logTail())
	case <-time.After(patience):
		s.t.Fatalf("the server is not ready after %s\n%s", patience, srv.logTail())
	}
	s.t.Logf("server %d was ready after %s", srv.cmd.Process.Pid, time.Since(started).Round(time.Millisecond))
	token, err := os.ReadFile(filepath.Join(s.data, "token"))
	if err != nil {
		s.t.Fatal(err)
	}
	srv.token = strings.TrimSpace(string(token))
	if srv.HTTPClient, err = api.NewHTTPClient(api.ClientOptions{URL: srv.url, Token: srv.token}); err != nil {
		s.t.Fatal(err)
	}
	return srv
}

// aside is a directory for what tests write about a site; it is no part of the site.
func (s *site) aside() string {
	s.t.Helper()
	dir := s.data + ".aside"
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		s.t.Cleanup(func() {
			if !s.t.Failed() {
				_ = os.RemoveAll(dir)
			}
		})
	case !errors.Is(err, fs.ErrExist):
		s.t.Fatal(err)
	}
	return dir
}

// kill ends the server as the kernel would: it gets to do nothing more.
func (srv *server) kill() {
	_ = srv.cmd.Process.Kill()
	<-srv.ended
}

// stop asks the server to stop, and wants it to do so cleanly.
func (srv *server) stop() {
	srv.site.t.Helper()
	if err := srv.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		srv.site.t.Fatal(err)
	}
	select {
	case <-srv.ended:
	case <-time.After(patience):
		srv.site.t.Fatalf("the server does not stop\n%s", srv.logTail())
	}
	if srv.err != nil {
		srv.site.t.Errorf("the server stopped with %v\n%s", srv.err, srv.logTail())
	}
}

func (srv *server) logTail() string {
	text, err := os.ReadFile(srv.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-8000):])
}

// wait waits until a run has ended or awaits a yes.
func (srv *server) wait(run string) orchestrator.RunView { return srv.site.rest(srv, run) }

// wantDone waits for the end of a run and wants it done.
func (srv *server) wantDone(run string) orchestrator.RunView { return srv.site.wantDone(srv, run) }

// newest is the newest run of a database; its ID is empty where there is none.
func (m *meridian) newest(name string) catalog.Run {
	m.site.t.Helper()
	runs, err := m.catalog.Runs(context.Background(), catalog.RunFilter{Namespace: stacks.DefaultNamespace, Name: name, Limit: 1})
	if err != nil {
		m.site.t.Fatal(err)
	}
	if len(runs) == 0 {
		return catalog.Run{}
	}
	return runs[0]
}

// killIn kills the server while the newest run of orders, a younger one than after, is in the phase: it is stopped first and then looked
// at, so that the run cannot have moved on. It returns the run as the kill found it.
func (srv *server) killIn(m *meridian, after int64, phase stacks.Phase) catalog.Run {
	srv.site.t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(tick)
	defer again.Stop()
	for {
		if r := m.newest("orders"); r.Number > after {
			if r.Phase == phase {
				if r, ok := srv.killIf(m, phase); ok {
					return r
				}
			} else if r.Phase.Ended() {
				srv.site.t.Fatalf("run %s is %s and was never seen %s: %s\n%s", r.ID, r.Phase, phase, r.Message, srv.logTail())
			}
		}
		select {
		case <-again.C:
		case <-deadline:
			srv.site.t.Fatalf("no run came to %s: %+v\n%s", phase, m.newest("orders"), srv.logTail())
		}
	}
}

func (srv *server) killIf(m *meridian, phase stacks.Phase) (catalog.Run, bool) {
	srv.site.t.Helper()
	if err := srv.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		srv.site.t.Fatal(err)
	}
	r := m.newest("orders")
	if r.Phase != phase {
		if err := srv.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			srv.site.t.Fatal(err)
		}
		return r, false
	}
	srv.kill()
	srv.site.t.Logf("killed in %s", phase)
	return r, true
}

// proc is one process; start tells it from another one of the same pid.
type proc struct {
	pid   int
	start string
	args  string
	dir   string
}

// terraforms lists the processes of terraform itself on the site that run a command (plan, apply), by work directory.
func (s *site) terraforms(verb string) []proc {
	var out []proc
	for _, pid := range s.processes() {
		p, ok := readProc(pid)
		args := strings.Fields(p.args)
		if !ok || len(args) < 2 || args[1] != verb {
			continue
		}
		if name := filepath.Base(args[0]); name == "terraform" || name == "tofu" {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b proc) int { return strings.Compare(a.dir, b.dir) })
	return out
}

// readProc reads a living process; a zombie is none.
func readProc(pid int) (proc, bool) {
	root := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(root, "stat"))
	if err != nil {
		return proc{}, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	cmdline, _ := os.ReadFile(filepath.Join(root, "cmdline"))
	dir, _ := os.Readlink(filepath.Join(root, "cwd"))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return proc{}, false
	}
	return proc{pid: pid, start: fields[19], args: string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})), dir: dir}, true
}

// ledgerFile is where the plugin writes what it really does, on whatever site of this run of the tests.
var ledgerFile = sync.OnceValue(func() string {
	file := filepath.Join(bin, "ledger")
	_ = os.Setenv(plugin.EnvLedger, file) // read by plugins alone, which inherit it
	return file
})

// ledger lists what the plugin did to the servers of the site, in order.
func (s *site) ledger() []plugin.LedgerLine {
	s.t.Helper()
	text, err := os.ReadFile(ledgerFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	var out []plugin.LedgerLine
	for line := range bytes.Lines(text) {
		var l plugin.LedgerLine
		if err := json.Unmarshal(line, &l); err != nil {
			continue // half a line: it is being written
		}
		if strings.HasPrefix(l.DataDir, s.data+"/") {
			out = append(out, l)
		}
	}
	return out
}

// ops lists the changes that the plugin began and ended, by region, like "create begin, create end".
func (s *site) ops() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for _, l := range s.ledger() {
		region := regionOf(l.DataDir)
		text := l.Op + " " + l.Phase
		if l.Error != "" {
			text += " (" + l.Error + ")"
		}
		if out[region] != "" {
			text = out[region] + ", " + text
		}
		out[region] = text
	}
	return out
}

// wantOps wants the plugin to have done exactly this in each region.
func (s *site) wantOps(want map[string]string) {
	s.t.Helper()
	got := s.ops()
	for region, ops := range want {
		if got[region] != ops {
			s.t.Errorf("the plugin did in %s: %s\nwant: %s", region, got[region], ops)
		}
	}
	if len(got) != len(want) {
		s.t.Errorf("the plugin worked in %v, want %v", got, want)
	}
}

// regionOf is the region of a local server's home: namespace.name.incarnation.region.
func regionOf(home string) string { return home[strings.LastIndexByte(home, '.')+1:] }

// made is what the plugin does for a region that is made once, changed never and removed never.
const made = "create begin, create end"
