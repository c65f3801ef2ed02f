// Package mariadbtest starts real MariaDB servers for tests, with an administrator who has the rights of RDS's and no more.
//
// It must never be imported by anything but tests, and reaches nothing but loopback.
package mariadbtest

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the form in which MariaDB stores a password
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// EnvRequired, where it is set, makes a missing server a failure and not a skip.
const EnvRequired = "MERIDIAN_CI"

// startWait is what a start may take: seconds, but for a machine that has no processor left.
const startWait = 2 * time.Minute

// The user of the tests who may do everything, and the one by whom a replica reads.
const (
	rootUser, rootPassword       = "laboratory", "All-Rights-9"
	followUser, followPassword   = "follower", "Follows-9"
	rights                       = `SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER`
	programName, systemTablesSQL = "mariadbd", "mysql_system_tables.sql"
)

// Admin is the administrator that each server has.
const Admin = "meridian"

// Config is what a server is started with.
type Config struct {
	// Password is the administrator's.
	Password string
	// Of is the server that it follows, read-only; nil for one of its own.
	Of *Server
	// Args are further arguments.
	Args []string
}

// Server is one that runs until the test ends.
type Server struct {
	Host string
	Port int
	// Dir holds its data; Log is every statement that it got, as it writes them down itself.
	Dir, Log string
	// PID is its process.
	PID int

	process *os.Process
	ended   chan struct{}
}

// programs are where a server's program and its share directory lie.
type programs struct{ server, share string }

func find() (programs, error) {
	roots := []string{"/var/cache/meridian/mariadb/current"}
	if cache, err := os.UserCacheDir(); err == nil {
		roots = append(roots, filepath.Join(cache, "meridian/mariadb/current"))
	}
	tried := []programs{{server: "/usr/sbin/" + programName, share: "/usr/share/mysql"}}
	for _, root := range roots {
		tried = append(tried, programs{server: filepath.Join(root, "bin", programName), share: filepath.Join(root, "usr/share/mysql")})
	}
	for _, p := range tried {
		if _, err := os.Stat(filepath.Join(p.share, systemTablesSQL)); err != nil {
			continue
		}
		if exec.Command(p.server, "--version").Run() == nil {
			return p, nil
		}
	}
	return programs{}, errors.New("there is no MariaDB server: run make setup-tests")
}

var template struct {
	once  sync.Once
	err   error
	files map[string][]byte
}

// newborn is the data directory of a server that was never started, made once.
func newborn(p programs) (map[string][]byte, error) {
	template.once.Do(func() {
		dir, err := os.MkdirTemp("", "mdb-new")
		if err == nil {
			defer os.RemoveAll(dir)
			template.err = bootstrap(p, dir)
		} else {
			template.err = err
		}
		if template.err != nil {
			return
		}
		template.files = map[string][]byte{}
		template.err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			template.files[strings.TrimPrefix(path, dir+"/")] = text
			return err
		})
	})
	return template.files, template.err
}

func bootstrap(p programs, dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "mysql"), 0o700); err != nil {
		return err
	}
	in := bytes.NewBufferString("SET @auth_root_socket=NULL;\nSET @skip_auth_anonymous=1;\nUSE mysql;\n")
	for _, name := range []string{systemTablesSQL, "mysql_performance_tables.sql", "mysql_system_tables_data.sql"} {
		text, err := os.ReadFile(filepath.Join(p.share, name))
		if err != nil {
			return err
		}
		in.Write(text)
	}
	cmd := exec.Command(p.server, append(p.args(dir), "--bootstrap")...)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a data directory: %w: %s", err, out)
	}
	return nil
}

// args are those that a server has in every step of its life.
func (p programs) args(dir string) []string {
	out := []string{
		"--no-defaults", "--datadir=" + dir, "--lc-messages-dir=" + p.share, "--character-sets-dir=" + filepath.Join(p.share, "charsets"),
		"--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M", "--innodb-use-native-aio=0", "--innodb-flush-log-at-trx-commit=0", "--tmpdir=" + dir,
	}
	if os.Getuid() == 0 {
		out = append(out, "--user=root")
	}
	return out
}

// Hash is how MariaDB stores a password.
func Hash(password string) string {
	first := sha1.Sum([]byte(password)) //nolint:gosec // MariaDB's form
	second := sha1.Sum(first[:])        //nolint:gosec // MariaDB's form
	return "*" + strings.ToUpper(hex.EncodeToString(second[:]))
}

// Start starts a server that ends with the test. Where there is none on this machine, the test is skipped.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	if _, err := find(); err != nil {
		if os.Getenv(EnvRequired) != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %v", err)
	}
	s, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Run starts a server that the caller ends.
func Run(c Config) (*Server, error) {
	p, err := find()
	if err != nil {
		return nil, err
	}
	files, err := newborn(p)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mdb") // short: a socket lies in it
	if err != nil {
		return nil, err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, err
		}
	}
	first := "SET sql_log_bin=0;\n"
	for user, grant := range map[string][2]string{
		Admin: {c.Password, rights}, rootUser: {rootPassword, "ALL PRIVILEGES"}, followUser: {followPassword, "REPLICATION SLAVE"},
	} {
		first += fmt.Sprintf("CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY PASSWORD '%s';\nGRANT %s ON *.* TO '%s'@'%%' WITH GRANT OPTION;\n", user, Hash(grant[0]), grant[1], user)
	}
	if err := os.WriteFile(filepath.Join(dir, "first.sql"), []byte(first), 0o600); err != nil {
		return nil, err
	}
	s := &Server{Host: "127.0.0.1", Dir: dir, Log: filepath.Join(dir, "statements"), ended: make(chan struct{})}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	args := append(p.args(dir), "--port="+strconv.Itoa(s.Port), "--bind-address="+s.Host, "--socket="+filepath.Join(dir, "s"), "--skip-name-resolve",
		"--server-id="+strconv.Itoa(s.Port), "--log-bin=binlog", "--binlog-format=ROW", "--log-slave-updates", "--pid-file="+filepath.Join(dir, "pid"),
		"--log-error="+filepath.Join(dir, "errors"), "--general-log=1", "--general-log-file="+s.Log, "--init-file="+filepath.Join(dir, "first.sql"))
	if c.Of != nil {
		args = append(args, "--read-only=1")
	}
	cmd := exec.Command(p.server, append(args, c.Args...)...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.process, s.PID = cmd.Process, cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		close(s.ended)
	}()
	if err := s.settle(c.Of); err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "errors"))
		s.Kill()
		return nil, fmt.Errorf("start MariaDB: %w:\n%s", err, said)
	}
	return s, nil
}

// settle waits until the server answers, and lets it follow another.
func (s *Server) settle(of *Server) error {
	deadline := time.Now().Add(startWait)
	for {
		err := s.Root(func(db *sql.DB) error { return db.Ping() })
		if err == nil {
			break
		}
		select {
		case <-s.ended:
			return errors.New("it ended")
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return err
		}
	}
	if of == nil {
		return nil
	}
	return s.Root(func(db *sql.DB) error {
		_, err := db.Exec(fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
			of.Host, of.Port, followUser, followPassword))
		if err == nil {
			_, err = db.Exec("START SLAVE")
		}
		return err
	})
}

// Root does something as the user who may do everything.
func (s *Server) Root(do func(db *sql.DB) error) error { return s.As(rootUser, rootPassword, "", do) }

// As does something as a user, in a database.
func (s *Server) As(user, password, database string, do func(db *sql.DB) error) error {
	c := driver.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName, c.Timeout = "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), user, password, database, 5*time.Second
	c.Logger, c.TLSConfig = &driver.NopLogger{}, "preferred"
	connector, err := driver.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	return do(db)
}

// Kill ends the server at once and removes its data.
func (s *Server) Kill() {
	_ = s.process.Kill()
	<-s.ended
	_ = os.RemoveAll(s.Dir)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
