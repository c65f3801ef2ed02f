package cassandra_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/providers"
	"meridian/providers/local/cassandra"
)

// newSpec is a node of its own cluster, destroyed at the test's end. It skips where this machine has no Cassandra.
func newSpec(t *testing.T, name string) cassandra.Spec {
	t.Helper()
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	root, err := os.MkdirTemp("/tmp", "meridian-cassandra-")
	must(t, err)
	must(t, os.Chmod(root, 0o711))
	sum := sha256.Sum256([]byte(root + name))
	s := cassandra.Spec{
		Home: filepath.Join(root, name), Owner: "test/" + name, Cluster: filepath.Base(root), Datacenter: name, Rack: "r1",
		Address: fmt.Sprintf("127.%d.%d.%d", 100+sum[0]%100, sum[1], 1+sum[2]%250), Port: 9042, StoragePort: 7000, EngineVersion: "5.0",
	}
	s.Seeds = []string{s.Storage()}
	t.Cleanup(func() {
		must(t, cassandra.Destroy(context.Background(), s.Home, s.Owner))
		must(t, os.RemoveAll(root))
	})
	return s
}

// join is another node beside one.
func join(t *testing.T, first cassandra.Spec, dc string) cassandra.Spec {
	t.Helper()
	s := newSpec(t, dc)
	s.Cluster, s.Seeds = first.Cluster, []string{first.Storage()}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func state(t *testing.T, s cassandra.Spec) cassandra.Sight {
	t.Helper()
	sight, err := cassandra.Look(t.Context(), s.Home, s.Owner)
	must(t, err)
	return sight
}

func TestLifeOfANode(t *testing.T) {
	t.Parallel()
	s := newSpec(t, "dc1")
	if got := state(t, s).State; got != cassandra.StateAbsent {
		t.Fatalf("before it was made: %s", got)
	}
	first, err := cassandra.Ensure(t.Context(), s)
	must(t, err)
	if sight := state(t, s); sight.State != cassandra.StateRunning || sight.PID != first.PID || first.PID == 0 || sight.Version != first.Version {
		t.Fatalf("%+v, made as %+v", sight, first)
	}
	again, err := cassandra.Ensure(t.Context(), s)
	must(t, err)
	if again != first {
		t.Fatalf("a repeated ensure made %+v of %+v", again, first)
	}
	other := s
	other.Owner = "somebody"
	if _, err := cassandra.Ensure(t.Context(), other); !errors.Is(err, providers.ErrForeign) {
		t.Errorf("another's node was taken: %v", err)
	}
	moved := s
	moved.Datacenter = "elsewhere"
	if _, err := cassandra.Ensure(t.Context(), moved); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("a node changed its data centre: %v", err)
	}
	members, err := cassandra.Members(t.Context(), s.Home, s.Owner)
	must(t, err)
	if len(members) != 1 || !members[0].Up || members[0].State != "N" || members[0].Datacenter != "dc1" || members[0].Address != s.Address || members[0].HostID == "" {
		t.Errorf("members %+v", members)
	}
	if _, err := cassandra.Nodetool(t.Context(), s.Home, s.Owner, "no-such-command"); !errors.Is(err, cassandra.ErrNodetool) {
		t.Errorf("an unknown command: %v", err)
	}

	must(t, cassandra.Kill(t.Context(), s.Home, s.Owner))
	if got := state(t, s).State; got != cassandra.StateStopped {
		t.Fatalf("after a kill: %s", got)
	}
	s.Settings = map[string]string{"hinted_handoff_enabled": "false"}
	second, err := cassandra.Ensure(t.Context(), s)
	must(t, err)
	if second.PID == first.PID || state(t, s).State != cassandra.StateRunning {
		t.Fatalf("restarted as %+v", second)
	}
	conf, err := os.ReadFile(filepath.Join(s.Home, "conf/cassandra.yaml"))
	must(t, err)
	if !strings.Contains(string(conf), "\nhinted_handoff_enabled: false\n") {
		t.Error("the setting is not in cassandra.yaml")
	}
	must(t, cassandra.Destroy(t.Context(), s.Home, s.Owner))
	if got := state(t, s).State; got != cassandra.StateAbsent {
		t.Fatalf("after its end: %s", got)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", second.PID)); err == nil {
		if cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", second.PID)); len(cmd) > 0 {
			t.Error("its process lives on")
		}
	}
}

func TestAForeignHomeIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSpec(t, "dc1")
	must(t, os.MkdirAll(s.Home, 0o700))
	precious := filepath.Join(s.Home, "precious")
	must(t, os.WriteFile(precious, nil, 0o600))
	if _, err := cassandra.Ensure(t.Context(), s); !errors.Is(err, providers.ErrForeign) {
		t.Errorf("ensure: %v", err)
	}
	if err := cassandra.Destroy(t.Context(), s.Home, s.Owner); !errors.Is(err, providers.ErrForeign) {
		t.Errorf("destroy: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	must(t, os.RemoveAll(s.Home))
}

// TestANodeThatCannotStartSaysWhy gives it a setting that Cassandra does not know.
func TestANodeThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	s := newSpec(t, "dc1")
	s.Settings = map[string]string{"no_such_setting": "1"}
	_, err := cassandra.Ensure(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Fatalf("it said %v", err)
	}
}

// TestSecondDatacenterJoinsAndLeaves joins a second data centre and takes it out again: by itself, and dead.
func TestSecondDatacenterJoinsAndLeaves(t *testing.T) {
	t.Parallel()
	one := newSpec(t, "dc1")
	_, err := cassandra.Ensure(t.Context(), one)
	must(t, err)
	for name, kill := range map[string]bool{"running": false, "dead": true} {
		two := join(t, one, "dc2-"+name)
		_, err = cassandra.Ensure(t.Context(), two)
		must(t, err)
		if got := datacenters(t, one); !slices.Contains(got, two.Datacenter) {
			t.Fatalf("%s: data centres %v", name, got)
		}
		if err := cassandra.Rebuild(t.Context(), two.Home, two.Owner, "system_traces", "no-such-dc"); !errors.Is(err, cassandra.ErrNodetool) {
			t.Errorf("a rebuild from nowhere: %v", err)
		}
		if kill {
			must(t, cassandra.Kill(t.Context(), two.Home, two.Owner))
		}
		must(t, cassandra.Leave(t.Context(), two.Home, two.Owner))
		must(t, cassandra.Destroy(t.Context(), two.Home, two.Owner))
		deadline := time.Now().Add(time.Minute)
		for slices.Contains(datacenters(t, one), two.Datacenter) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the cluster still has %v", name, datacenters(t, one))
			}
		}
	}
}

func datacenters(t *testing.T, s cassandra.Spec) []string {
	t.Helper()
	members, err := cassandra.Members(t.Context(), s.Home, s.Owner)
	must(t, err)
	var out []string
	for _, m := range members {
		out = append(out, m.Datacenter)
	}
	return out
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := cassandra.Spec{Home: "/srv/x", Owner: "me", Cluster: "c", Datacenter: "d", Rack: "r", Address: "127.1.1.1", Port: 9042, StoragePort: 7000, Seeds: []string{"127.1.1.1:7000"}}
	must(t, good.Check())
	for name, change := range map[string]func(*cassandra.Spec){
		"a relative home":        func(s *cassandra.Spec) { s.Home = "x" },
		"a home with a blank":    func(s *cassandra.Spec) { s.Home = "/srv/x y" },
		"no owner":               func(s *cassandra.Spec) { s.Owner = "" },
		"an address of the net":  func(s *cassandra.Spec) { s.Address = "10.0.0.1" },
		"one port for all":       func(s *cassandra.Spec) { s.StoragePort = s.Port },
		"no seed":                func(s *cassandra.Spec) { s.Seeds = nil },
		"a name with a quote":    func(s *cassandra.Spec) { s.Cluster = `a"b` },
		"a managed setting":      func(s *cassandra.Spec) { s.Settings = map[string]string{"cluster_name": "x"} },
		"a setting of two lines": func(s *cassandra.Spec) { s.Settings = map[string]string{"num_tokens": "1\nauthenticator: x"} },
	} {
		s := good
		change(&s)
		if s.Check() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
