package temporal

import (
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
)

// findPgBouncer is where make setup-tests finds it or puts it.
func findPgBouncer() string {
	places := []string{"/usr/sbin/pgbouncer", "/var/cache/meridian/pgbouncer/current/bin/pgbouncer"}
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(cache, "meridian", "pgbouncer", "current", "bin", "pgbouncer"))
	}
	for _, p := range places {
		if osexec.Command(p, "--version").Run() == nil {
			return p
		}
	}
	return ""
}

// pooler starts a PgBouncer before a server and returns the URL of the same database through it.
func pooler(t *testing.T, where, mode, ignore string) string {
	t.Helper()
	program := findPgBouncer()
	if program == "" {
		t.Skip("no PgBouncer on this machine: make setup-tests gets one")
	}
	behind, err := url.Parse(where)
	if err != nil {
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
	password, _ := behind.User.Password()
	config := filepath.Join(t.TempDir(), "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = %s\nignore_startup_parameters = %s\n",
		behind.Port(), behind.User.Username(), password, port, mode, ignore)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := osexec.CommandContext(t.Context(), program, config)
	cmd.Stderr = t.Output()
	if os.Geteuid() == 0 { // it refuses root
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, err1 := strconv.Atoi(nobody.Uid)
		gid, err2 := strconv.Atoi(nobody.Gid)
		if err1 != nil || err2 != nil || os.Chown(config, uid, gid) != nil {
			t.Fatalf("give %s to nobody", config)
		}
		open, err := os.Open(config) // the directory is root's alone
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		cmd.Args = []string{program, "/proc/self/fd/3"}
		cmd.ExtraFiles = []*os.File{open}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	behind.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	eventually(t, "the pooler listens", func() bool {
		c, err := net.Dial("tcp", behind.Host)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return behind.String()
}

// TestPoolersAreRefused wants a PgBouncer in each of its modes refused by name, by Temporal's part, by the store and by doctor: it keeps none of
// the settings that a connection asks for, whether it refuses them or passes over them.
func TestPoolersAreRefused(t *testing.T) {
	t.Parallel()
	where := storetest.Postgres(t)
	const ours = "search_path, idle_in_transaction_session_timeout, tcp_keepalives_idle, tcp_keepalives_interval, tcp_keepalives_count, tcp_user_timeout, enable_seqscan, jit"
	for name, test := range map[string]struct{ mode, ignore string }{
		"transactions":                 {"transaction", ""},
		"transactions, settings lost":  {"transaction", ours},
		"sessions":                     {"session", ""},
		"sessions, settings lost":      {"session", ours},
		"statements, settings refused": {"statement", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			through := pooler(t, where, test.mode, test.ignore)
			settings := onPostgres(t, through)
			const want = "a pooler (PgBouncer) stands before the server"
			if _, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: settings, Logger: logTo(t.Output())}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("temporal: %v", err)
			}
			if _, err := store.LookSchema(t.Context(), through); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the store: %v", err)
			}
			for _, f := range Preflight(t.Context(), Options{Settings: settings}) {
				if f.Check == "temporal state" && (f.State != FindingFail || !strings.Contains(f.What, want)) {
					t.Errorf("doctor: %+v", f)
				}
			}
		})
	}
}
