package plugin_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"meridian/providers/local/server"
)

func TestLifeOfAServer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.apply()
	first := s.wantState(server.StateRunning)
	s.wantClean()

	s.vars.Settings["work_mem"] = "16384kB"
	s.write()
	s.wantChange("work_mem", "16384kB")
	s.apply()
	s.wantClean()
	if now := s.wantState(server.StateRunning); now.PID != first.PID {
		t.Fatal("a setting that needs no restart restarted the server")
	}

	delete(s.vars.Settings, "max_connections")
	s.vars.Port = 5439
	s.write()
	s.apply()
	s.wantClean()
	if now := s.wantState(server.StateRunning); now.Spec.Port != 5439 || now.PID == first.PID {
		t.Fatalf("port %d, process %d", now.Spec.Port, now.PID)
	}

	s.must("destroy", "-auto-approve")
	s.wantState(server.StateAbsent)
	if _, err := os.Stat(s.vars.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the directory stays: %v", err)
	}
}
