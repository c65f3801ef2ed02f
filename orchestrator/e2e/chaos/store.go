package chaos

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// node is the PostgreSQL server that holds Meridian's rows: an ordinary process, which may be killed like any other and comes back.
type node struct {
	bin, data string
	as        *syscall.Credential // whom root's server runs as
	port      int
	url       string
}

// newNode makes a cluster in a directory, with a password for its one user.
func newNode(ctx context.Context, dir string) (*node, error) {
	n := &node{data: filepath.Join(dir, "data")}
	var err error
	if n.bin, err = findPostgres(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	if err := os.Mkdir(n.data, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // initdb refuses root
		if n.as, err = ordinary(); err != nil {
			return nil, err
		}
		if err := os.Chown(n.data, int(n.as.Uid), int(n.as.Gid)); err != nil {
			return nil, err
		}
	}
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	password := hex.EncodeToString(raw)
	secret, err := os.CreateTemp(dir, "password-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(secret.Name())
	_, err = secret.WriteString(password)
	if n.as != nil {
		err = errors.Join(err, secret.Chown(int(n.as.Uid), int(n.as.Gid)))
	}
	if err := errors.Join(err, secret.Close()); err != nil {
		return nil, err
	}
	initdb := n.command(ctx, "initdb", "-D", n.data, "-U", "meridian", "-A", "scram-sha-256", "--pwfile", secret.Name(), "-N", "-E", "UTF8", "--locale=C")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n.port = l.Addr().(*net.TCPAddr).Port
	n.url = fmt.Sprintf("postgres://meridian:%s@127.0.0.1:%d/postgres?sslmode=disable", password, n.port)
	return n, l.Close()
}

// findPostgres finds the programs of a PostgreSQL.
func findPostgres() (string, error) {
	dirs := filepath.SplitList(os.Getenv("MERIDIAN_POSTGRES_BIN"))
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/var/cache/meridian/postgres/*/bin"} {
		found, _ := filepath.Glob(pattern)
		slices.Reverse(found)
		dirs = append(dirs, found...)
	}
	if cache, err := os.UserCacheDir(); err == nil {
		found, _ := filepath.Glob(filepath.Join(cache, "meridian", "postgres", "*", "bin"))
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		if exec.Command(filepath.Join(dir, "initdb"), "--version").Run() == nil && exec.Command(filepath.Join(dir, "postgres"), "--version").Run() == nil {
			return dir, nil
		}
	}
	return "", errors.New("no PostgreSQL on this machine: make setup installs one")
}

// ordinary is a user that is not root.
func ordinary() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			if err := errors.Join(err1, err2); err == nil {
				return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
			}
		}
	}
	return nil, errors.New("neither a user postgres nor nobody is on this machine")
}

// command is one of PostgreSQL's programs, as the user that it runs as.
func (n *node) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(n.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: n.as, Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // its children end with it
	return cmd
}

// server is the server itself, in the foreground.
func (n *node) server(ctx context.Context) *exec.Cmd {
	return n.command(ctx, "postgres", "-D", n.data, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(n.port),
		"-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "shared_buffers=64MB")
}

// answers waits until the node answers.
func (n *node) answers(ctx context.Context) error {
	for {
		once, stop := context.WithTimeout(ctx, 5*time.Second)
		conn, err := pgx.Connect(once, n.url)
		if err == nil {
			err = conn.Close(once)
		}
		stop()
		if err == nil {
			return nil
		}
		if !pause(ctx, retryEvery) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// keepNode runs the node for ever, and stops it in the end. What its server left when it was killed (shared memory, children that notice
// late) may keep the next one from starting for a moment.
func (s *suite) keepNode(ctx context.Context, fail context.CancelCauseFunc) {
	logFile := filepath.Join(s.Aside, "store.log")
	short := 0
	for ctx.Err() == nil {
		started := time.Now()
		err := s.runOnce(s.node.server(ctx), logFile, RoleStore, 0)
		if short++; time.Since(started) > quick {
			short = 0
		}
		if short > 10*quickEnds && ctx.Err() == nil {
			fail(errors.Join(fmt.Errorf("the store's PostgreSQL does not come up, see %s", logFile), err))
			return
		}
		pause(ctx, restart)
	}
}

// nodeProcesses are the server that holds the rows and all its children, the server first.
func (s *suite) nodeProcesses() []process {
	s.mu.Lock()
	pids := slices.Clone(s.servers[RoleStore])
	s.mu.Unlock()
	var out []process
	for _, pid := range pids {
		p, ok := readProcess(pid)
		if !ok {
			continue
		}
		p.role = RoleStore
		out = append(out, p)
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		for _, field := range strings.Fields(string(children)) {
			child, err := strconv.Atoi(field)
			if c, ok := readProcess(child); err == nil && ok {
				c.role = RoleStore
				out = append(out, c)
			}
		}
	}
	return out
}
