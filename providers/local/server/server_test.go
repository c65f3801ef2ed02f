package server

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const testPassword = Password("Kor3an-g1nger-9lamp")

var lastByte atomic.Uint32

// testSpec returns a spec below a directory that the servers' user can reach, also when the tests run as root. Its server goes with the test.
func testSpec(t *testing.T) Spec {
	t.Helper()
	found, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("no PostgreSQL on this machine: .ci/postgres.sh gets one")
	}
	root, err := os.MkdirTemp("/tmp", "meridian-server-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	h := fnv.New32a()
	fmt.Fprint(h, os.Getpid(), t.Name())
	n := h.Sum32()
	s := Spec{
		Home: filepath.Join(root, "db"), Name: "orders", Owner: "test/" + t.Name(), Address: fmt.Sprintf("127.%d.%d.%d", 20+n%80, n>>8%254+1, lastByte.Add(1)), Port: 5432,
		EngineVersion: strconv.Itoa(Major(found[0].Version)), Settings: map[string]string{"max_connections": "20", "work_mem": "8192kB", "wal_level": "logical"},
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		home := s.Home
		if m, err := readMarker(home); err == nil {
			if err := Destroy(ctx, home, m.Owner); err != nil {
				t.Error(err)
			}
		}
		if err := killResidents(ctx, s.dataDir()); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustEnsure(t *testing.T, s Spec) Info {
	t.Helper()
	info, err := Ensure(t.Context(), s, testPassword)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := postmaster(s.dataDir()); !ok || p.pid != info.PID || !p.ready {
		t.Fatalf("Ensure is done and no server runs: %+v", info)
	}
	return info
}

func wantState(t *testing.T, s Spec, want State) Sight {
	t.Helper()
	sight, err := Look(t.Context(), s.Home, s.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if sight.State != want {
		t.Fatalf("the server is %s (%s), want %s", sight.State, sight.Message, want)
	}
	return sight
}

// login connects over TCP with a password, as every client does.
func login(t *testing.T, s Spec, password Password) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database = s.Address, uint16(s.Port), AdminUser, string(password), "postgres"
	cfg.Fallbacks, cfg.ConnectTimeout = nil, 5*time.Second
	return pgx.ConnectConfig(t.Context(), cfg)
}

func sql(t *testing.T, s Spec, statements ...string) {
	t.Helper()
	conn, err := login(t, s, testPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(conn)
	for _, text := range statements {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-tick.C
	}
}

// wantNowhere makes sure that no file below dir holds the text.
func wantNowhere(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if content, err := os.ReadFile(path); err == nil && strings.Contains(string(content), text) {
			t.Errorf("%s holds the secret", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
