package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/providers/pgclient"
	"meridian/stacks"
)

const adminPassword = "Admin+Secret/9'\\z"

// lab holds what all tests of one process share: PostgreSQL's programs, oldest major first, and two servers of one of them.
var lab struct {
	dir    string
	cred   *syscall.Credential
	bins   []programs
	source *server
	target *server
	start  func(*exec.Cmd) error

	mu      sync.Mutex
	servers []*server
}

// programs is one installation of PostgreSQL.
type programs struct {
	major    int
	dir      string
	template func() (string, error) // makes a cluster to copy, once
}

func TestMain(m *testing.M) { os.Exit(runLab(m)) }

func runLab(m *testing.M) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	// Not t.TempDir, which is 0700: the server's user must be able to walk in.
	if lab.dir, err = os.MkdirTemp("", "meridian-pg-"); err != nil {
		return fail(err)
	}
	defer os.RemoveAll(lab.dir)
	if err := setUpLab(); err != nil {
		return fail(err)
	}
	defer func() {
		for _, s := range lab.servers {
			s.kill()
		}
	}()
	lab.start = starter()
	if lab.source, err = newServer("source", lab.bins[0], nil); err != nil {
		return fail(err)
	}
	if lab.target, err = newServer("target", lab.bins[0], nil); err != nil {
		return fail(err)
	}
	code = m.Run()
	if err := noSecretInLogs(); err != nil {
		return fail(err)
	}
	return code
}

// starter starts servers from one thread that lives as long as the process: when that is killed, they end too (prctl(2) binds
// the signal to the thread that forked).
func starter() func(*exec.Cmd) error {
	requests, results := make(chan *exec.Cmd), make(chan error)
	go func() {
		runtime.LockOSThread()
		for cmd := range requests {
			results <- cmd.Start()
		}
	}()
	return func(cmd *exec.Cmd) error {
		requests <- cmd
		return <-results
	}
}

// noSecretInLogs reads what all servers logged, which is every statement that we let them log.
func noSecretInLogs() error {
	for _, s := range lab.servers {
		b, err := os.ReadFile(s.logFile)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			for _, secret := range []string{adminPassword, pgclient.Quote(adminPassword), "App-Secret", "Repl-Secret", "SCRAM-SHA-256$"} {
				if strings.Contains(line, secret) {
					return fmt.Errorf("the log of server %s holds a secret: %s", s.name, line)
				}
			}
		}
	}
	return nil
}

// findPrograms looks where the local provider looks: MERIDIAN_POSTGRES_BIN (a list like PATH) alone if it is set, else the usual places.
func findPrograms() []programs {
	dirs := filepath.SplitList(os.Getenv("MERIDIAN_POSTGRES_BIN"))
	if len(dirs) == 0 {
		cache, _ := os.UserCacheDir()
		for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/var/cache/meridian/postgres/*/bin", filepath.Join(cache, "meridian/postgres/*/bin")} {
			found, _ := filepath.Glob(pattern)
			dirs = append(dirs, found...)
		}
		if path, err := exec.LookPath("initdb"); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	var out []programs
	for _, dir := range dirs {
		version, err := asServer(filepath.Join(dir, "postgres"), "--version").Output()
		m := versionLine.FindSubmatch(version)
		if err != nil || m == nil {
			continue
		}
		v, _ := strconv.Atoi(string(m[1]))
		if v >= oldestMajor && !slices.ContainsFunc(out, func(p programs) bool { return p.major == v }) {
			out = append(out, programs{major: v, dir: dir, template: sync.OnceValues(func() (string, error) { return initTemplate(dir, v) })})
		}
	}
	slices.SortFunc(out, func(a, b programs) int { return a.major - b.major })
	return out
}

// findInLab is the way of engines in tests to a pg_dump.
func findInLab(version int) (string, error) {
	for _, p := range lab.bins {
		if p.major == version {
			return filepath.Join(p.dir, "pg_dump"), nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL %d here", version)
}

func newEngine() *Engine { return New(WithPgDump(findInLab)) }

func setUpLab() error {
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				return err
			}
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		lab.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(lab.dir, uid, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(lab.dir, 0o755); err != nil {
		return err
	}
	if lab.bins = findPrograms(); len(lab.bins) == 0 {
		return errors.New("these tests need PostgreSQL's server: install it, or name its bin folder in MERIDIAN_POSTGRES_BIN")
	}
	return nil
}

func initTemplate(bin string, version int) (string, error) {
	pw, dir := filepath.Join(lab.dir, fmt.Sprintf("pw-%d", version)), filepath.Join(lab.dir, fmt.Sprintf("template-%d", version))
	if err := os.WriteFile(pw, []byte(adminPassword), 0o644); err != nil {
		return "", err
	}
	defer os.Remove(pw)
	out, err := asServer(filepath.Join(bin, "initdb"), "-N", "-D", dir, "-U", "meridian_admin",
		"-A", "scram-sha-256", "--pwfile", pw, "-E", "UTF8", "--locale", "C").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	return dir, nil
}

func asServer(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: lab.cred, Setpgid: true}
	return cmd
}

// server is one real PostgreSQL server on a loopback address. It logs every statement, so that a test can look for secrets.
type server struct {
	bin                programs
	name, dir, logFile string
	host               string
	port               int
	settings           map[string]string
	cmd                *exec.Cmd
	exited             chan struct{}
}

func newServer(name string, bin programs, settings map[string]string) (*server, error) {
	s := &server{bin: bin, name: name, host: "127.77.0.1", settings: settings}
	template, err := bin.template()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(lab.dir, name+"-")
	if err != nil {
		return nil, err
	}
	if lab.cred != nil {
		if err := os.Chown(dir, int(lab.cred.Uid), int(lab.cred.Gid)); err != nil {
			return nil, err
		}
	}
	s.dir, s.logFile = filepath.Join(dir, "data"), filepath.Join(dir, "log")
	if out, err := asServer("cp", "-a", template, s.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy cluster: %w: %s", err, out)
	}
	// Copies would share the identity by which a subscriber names its slots.
	if out, err := asServer(filepath.Join(bin.dir, "pg_resetwal"), "-f", "-D", s.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_resetwal: %w: %s", err, out)
	}
	listener, err := net.Listen("tcp", s.host+":0")
	if err != nil {
		return nil, err
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, err
	}
	lab.mu.Lock()
	lab.servers = append(lab.servers, s)
	lab.mu.Unlock()
	return s, s.start()
}

func (s *server) start() error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.wait(func(err error) bool { return err == nil })
}

// launch starts the server's process.
func (s *server) launch() error {
	hba := "local all all scram-sha-256\nhost all all 127.0.0.0/8 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(s.dir, "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		return err
	}
	args := []string{"-D", s.dir, "-h", s.host, "-p", strconv.Itoa(s.port), "-k", "", "-F"}
	settings := map[string]string{
		"wal_level": "logical", "log_statement": "all", "log_min_duration_statement": "0", "log_parameter_max_length_on_error": "-1",
		"log_error_verbosity": "verbose", "wal_retrieve_retry_interval": "200ms", "max_wal_senders": "20", "max_replication_slots": "20",
		"shared_buffers": "16MB", "autovacuum": "off", "checkpoint_timeout": "1h", "max_logical_replication_workers": "12", "max_worker_processes": "20", "max_sync_workers_per_subscription": "2",
	}
	for k, v := range s.settings {
		settings[k] = v
	}
	for k, v := range settings {
		args = append(args, "-c", k+"="+v)
	}
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = asServer(filepath.Join(s.bin.dir, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	if err := lab.start(s.cmd); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
	return nil
}

// wait looks until what a probe says is what is wanted.
func (s *server) wait(wanted func(error) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		err := New().Probe(ctx, s.target(s.name))
		if wanted(err) {
			return nil
		}
		select {
		case <-s.exited:
			text, _ := os.ReadFile(s.logFile)
			return fmt.Errorf("server %s ended: %s", s.name, text)
		default:
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return errors.Join(errors.New("server "+s.name+" does not answer"), err)
		}
	}
}

// kill ends the server at once, workers included, as a lost machine would.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(s.cmd.Process.Pid, syscall.SIGCONT)
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.exited
}

// freeze stops every process of the server; thaw lets them go on.
func (s *server) freeze(t *testing.T) { s.signal(t, syscall.SIGSTOP) }
func (s *server) thaw(t *testing.T)   { s.signal(t, syscall.SIGCONT) }

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{s.cmd.Process.Pid}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(f) > 1 && f[1] == strconv.Itoa(s.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

func (s *server) target(region string) providers.Target {
	return providers.Target{Region: region, Password: adminPassword, Endpoint: stacks.Endpoint{
		Host: s.host, Port: s.port, User: "meridian_admin", Secret: "region/" + region + "/admin", Database: "postgres", TLSMode: "disable",
	}}
}

// ownServer starts a server for one test.
func ownServer(t *testing.T, name string, settings map[string]string) *server {
	t.Helper()
	return ownServerOf(t, name, lab.bins[0], settings)
}

func ownServerOf(t *testing.T, name string, bin programs, settings map[string]string) *server {
	t.Helper()
	s, err := newServer(name, bin, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

// session opens a session as a user, or as the admin where user is empty.
func (s *server) session(t *testing.T, database, user, password string) *pgx.Conn {
	t.Helper()
	if user == "" {
		user, password = "meridian_admin", adminPassword
	}
	conn, err := dial(t.Context(), s.target(s.name), database, user, password, map[string]string{"application_name": "test"})
	if err != nil {
		t.Fatalf("%s as %s: %v", s.name, user, err)
	}
	t.Cleanup(func() { shut(conn) })
	return conn
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func list(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	out, err := strs(t.Context(), conn, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// eventually polls until ok or the deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		if pause(ctx, 50*time.Millisecond) != nil {
			t.Fatalf("never: %s", what)
		}
	}
}
