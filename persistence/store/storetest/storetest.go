// Package storetest runs the tests of a package on both stores: first on SQLite, then all of them again on a PostgreSQL that is
// started once. It is for tests alone.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/persistence/store"
	"meridian/providers/local/server"
)

// env is set in the second run: the URL of a database in which each test has a schema of its own.
const env = "MERIDIAN_STORETEST_URL"

// Again runs this test binary once more with its stores on PostgreSQL. Each package has one test that calls it and nothing else. It
// passes the names on that were asked for.
func Again(t *testing.T) {
	t.Helper()
	if os.Getenv(env) != "" {
		t.Skip("this is the second run")
	}
	where := Postgres(t)
	args := []string{"-test.skip=^" + t.Name() + "$", "-test.count=1"}
	for _, arg := range os.Args[1:] {
		switch name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "="); name {
		case "test.run":
			if strings.Contains(arg, t.Name()) {
				continue // it was asked for by its name: all the others are meant
			}
			args = append(args, arg)
		case "test.v", "test.short", "test.shuffle", "test.timeout":
			args = append(args, arg)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), env+"="+where)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("on PostgreSQL: %v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("on PostgreSQL:\n%s", out)
	}
}

// OnPostgres reports whether this is the second run.
func OnPostgres() bool { return os.Getenv(env) != "" }

// SQLiteOnly skips a test of the second run that is about the file.
func SQLiteOnly(t testing.TB) {
	t.Helper()
	if OnPostgres() {
		t.Skip("about SQLite's file")
	}
}

// Where is the store of a test that keeps its files in dir, as store.Open takes it: the same for the same directory.
func Where(t testing.TB, dir string) string {
	t.Helper()
	if !OnPostgres() {
		return dir
	}
	return Schema(t, os.Getenv(env), dir)
}

// Schema is the URL of a schema of its own in a database: the same for the same name. It is made where it is missing.
func Schema(t testing.TB, database, name string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	schema := "t" + hex.EncodeToString(sum[:8])
	ctx := context.Background() // a test's cleanup may open its store too
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// Open opens the store of a test that keeps its files in dir, and closes it when the test ends.
func Open(t testing.TB, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), Where(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// password is that of the server's administrator, who answers on a loopback address for the time of a test.
const password = "a-password-of-tests"

// Server is a PostgreSQL for the time of a test. It promises no durability.
type Server struct {
	// URL is that of a database in it, with the password.
	URL  string
	t    testing.TB
	spec server.Spec
}

// Password is what no log, error or argument may show.
const Password = password

// Postgres starts a server that ends with the test, and returns the URL of a database in it.
func Postgres(t testing.TB) string {
	t.Helper()
	return Start(t).URL
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	found, err := server.Find(t.Context())
	if err != nil || len(found) == 0 {
		t.Skipf("no PostgreSQL on this machine (make setup installs one): %v", err)
	}
	dir, err := os.MkdirTemp("", "m-store-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // root's servers run as somebody else
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, spec: server.Spec{
		Home: filepath.Join(dir, "server"), Name: "storetest", Owner: filepath.Base(dir), Address: "127.0.0.1", Port: port,
		EngineVersion: found[0].Version, Settings: map[string]string{"fsync": "off", "max_connections": "200", "shared_buffers": "32MB"},
	}}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(server.AdminUser, password), Path: "/postgres",
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), RawQuery: "sslmode=disable",
	}
	s.URL = u.String()
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if err := server.Destroy(ctx, s.spec.Home, s.spec.Owner); err != nil {
			t.Error(err)
		}
	})
	s.Up()
	return s
}

// Up starts the server where it is down.
func (s *Server) Up() {
	s.t.Helper()
	if _, err := server.Ensure(s.t.Context(), s.spec, password); err != nil {
		s.t.Fatal(err)
	}
}

// Down stops the server; its data stay.
func (s *Server) Down() {
	s.t.Helper()
	if err := server.Stop(s.t.Context(), s.spec.Home, s.spec.Owner); err != nil {
		s.t.Fatal(err)
	}
}
