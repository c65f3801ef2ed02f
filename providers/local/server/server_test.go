package server

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testHome returns a home below a directory that the servers' user can reach, also when the tests run as root.
func testHome(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "meridian-server-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(root, "db")
	t.Cleanup(func() {
		if m, err := readMarker(home); err == nil {
			if err := Destroy(context.Background(), home, m.Owner); err != nil {
				t.Error(err)
			}
		}
		if err := killResidents(context.Background(), filepath.Join(home, dataName)); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return home
}

func TestX(t *testing.T) {
	home := testHome(t)
	s := Spec{Home: home, Name: "orders", Owner: "me", Address: "127.77.1.2", Port: 5432, EngineVersion: "15", Settings: map[string]string{"max_connections": "50", "wal_level": "logical", "work_mem": "8192kB"}}
	for range 3 {
		start := time.Now()
		info, err := Ensure(t.Context(), s, "geheim")
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(start), info)
	}
	s.Settings = map[string]string{"wal_level": "logical", "work_mem": "8MB"}
	s.Port = 5433
	start := time.Now()
	info, err := Ensure(t.Context(), s, "geheim2")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start), info)
	start = time.Now()
	if err := Destroy(t.Context(), home, "me"); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
}
