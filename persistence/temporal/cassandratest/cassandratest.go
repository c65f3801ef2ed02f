// Package cassandratest starts real Cassandra nodes for tests.
//
// It must never be imported by what ships.
package cassandratest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meridian/providers/local/cassandra"
)

// syncPeriod is how often a node's commit log is synced.
const syncPeriod = 100 * time.Millisecond

// Node is a node for the time of a test.
type Node struct {
	cassandra.Spec
	t testing.TB
}

// Start starts a cluster of one node in a data centre, which ends with the test. An open one lets everybody in. It skips where this
// machine has no Cassandra.
func Start(t testing.TB, datacenter string, open bool, settings map[string]string) *Node {
	t.Helper()
	return start(t, cassandra.Spec{Datacenter: datacenter, Open: open, Settings: settings})
}

// Join starts another node in the cluster of n.
func (n *Node) Join(datacenter string) *Node {
	n.t.Helper()
	return start(n.t, cassandra.Spec{Cluster: n.Cluster, Seeds: []string{n.Storage()}, Datacenter: datacenter, Open: n.Open, Settings: n.Settings})
}

func start(t testing.TB, s cassandra.Spec) *Node {
	t.Helper()
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("/tmp", "m-cassandra-") // short: Java's sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // root's nodes run as somebody else
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(dir))
	s.Home, s.Owner, s.Rack, s.EngineVersion = filepath.Join(dir, "node"), "test/"+filepath.Base(dir), "r1", "5.0"
	s.Address, s.Port, s.StoragePort = fmt.Sprintf("127.%d.%d.%d", 100+sum[0]%100, sum[1], 1+sum[2]%250), 9042, 7000
	if s.Cluster == "" {
		s.Cluster, s.Seeds = filepath.Base(dir), []string{s.Storage()}
	}
	if s.Settings = maps.Clone(s.Settings); s.Settings == nil {
		s.Settings = map[string]string{}
	}
	s.Settings["commitlog_sync_period"] = syncPeriod.String()
	n := &Node{Spec: s, t: t}
	t.Cleanup(func() {
		if err := cassandra.Destroy(context.Background(), s.Home, s.Owner); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	n.Up()
	return n
}

// Up starts the node where it is down, and returns once it answers.
func (n *Node) Up() {
	n.t.Helper()
	if _, err := cassandra.Ensure(n.t.Context(), n.Spec); err != nil {
		n.t.Fatal(err)
	}
}

// Kill kills the node; its data stay. A single node forgets at its death what its commit log had not synced yet, also what it acknowledged:
// with what came just before is waited for that.
func (n *Node) Kill() {
	n.t.Helper()
	<-time.After(10 * syncPeriod)
	if err := cassandra.Kill(n.t.Context(), n.Home, n.Owner); err != nil {
		n.t.Fatal(err)
	}
}
