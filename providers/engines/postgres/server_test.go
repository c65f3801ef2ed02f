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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/stacks"
)

const adminPassword = "Admin+Secret/9'\\z"

// lab holds what all tests of one process share: PostgreSQL's programs, a cluster to copy, the servers that are up.
var lab struct {
	bin, dir string
	cred     *syscall.Credential
	source   *server
	target   *server
}

func TestMain(m *testing.M) { os.Exit(runLab(m)) }

func runLab(m *testing.M) int {
	bin, err := findServer()
	if err != nil {
		fmt.Fprintln(os.Stderr, "PostgreSQL's server is needed for these tests:", err)
		return 1
	}
	lab.bin = bin
	// Not os.TempDir's own 0700 child: the server's user must be able to walk in.
	lab.dir, err = os.MkdirTemp("", "meridian-pg-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(lab.dir) //nolint:errcheck // best effort
	if err := setUpLab(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer lab.source.kill()
	defer lab.target.kill()
	return m.Run()
}

func findServer() (string, error) {
	if dir := os.Getenv("MERIDIAN_POSTGRES_BIN"); dir != "" {
		return dir, nil
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	cache, _ := os.UserCacheDir()
	more, _ := filepath.Glob(filepath.Join(cache, "meridian", "postgres", "*", "bin"))
	for _, d := range append(dirs, more...) {
		if _, err := os.Stat(filepath.Join(d, "initdb")); err == nil {
			return d, nil
		}
	}
	path, err := exec.LookPath("initdb")
	return filepath.Dir(path), err
}

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
	pw := filepath.Join(lab.dir, "pw")
	if err := os.WriteFile(pw, []byte(adminPassword), 0o644); err != nil {
		return err
	}
	defer os.Remove(pw) //nolint:errcheck // best effort
	if out, err := asServer(filepath.Join(lab.bin, "initdb"), "-N", "-D", filepath.Join(lab.dir, "template"), "-U", "meridian_admin",
		"-A", "scram-sha-256", "--pwfile", pw, "-E", "UTF8", "--locale", "C").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	var err error
	if lab.source, err = newServer("source", nil); err != nil {
		return err
	}
	lab.target, err = newServer("target", nil)
	return err
}

func asServer(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: lab.cred, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	return cmd
}

// server is one real PostgreSQL server on a loopback address. It logs every statement, so that a test can look for secrets.
type server struct {
	name, dir, logFile string
	host               string
	port               int
	settings           map[string]string
	cmd                *exec.Cmd
	exited             chan struct{}
}

func newServer(name string, settings map[string]string) (*server, error) {
	s := &server{name: name, host: "127.77.0.1", settings: settings}
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
	if out, err := asServer("cp", "-a", filepath.Join(lab.dir, "template"), s.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy cluster: %w: %s", err, out)
	}
	// Copies would share the identity by which a subscriber names its slots.
	if out, err := asServer(filepath.Join(lab.bin, "pg_resetwal"), "-f", "-D", s.dir).CombinedOutput(); err != nil {
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
	return s, s.start()
}

func (s *server) start() error {
	hba := "local all all scram-sha-256\nhost all all 127.0.0.0/8 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(s.dir, "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		return err
	}
	args := []string{"-D", s.dir, "-h", s.host, "-p", strconv.Itoa(s.port), "-k", "", "-F"}
	settings := map[string]string{
		"wal_level": "logical", "log_statement": "all", "log_min_duration_statement": "0", "log_parameter_max_length_on_error": "-1",
		"log_error_verbosity": "verbose", "wal_retrieve_retry_interval": "200ms", "max_wal_senders": "20", "max_replication_slots": "20",
		"max_logical_replication_workers": "12", "max_worker_processes": "20", "max_sync_workers_per_subscription": "2",
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
	defer log.Close() //nolint:errcheck // the child has its own
	s.cmd = asServer(filepath.Join(lab.bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr.Pdeathsig = 0 // bound to a thread, which Go may end
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		err := New().Probe(ctx, s.target(s.name))
		if err == nil {
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
	if s == nil || s.cmd == nil {
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
	s, err := newServer(name, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

func (s *server) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(s.logFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
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
		if pause(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("never: %s", what)
		}
	}
}
