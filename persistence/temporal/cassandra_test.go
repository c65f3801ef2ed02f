package temporal

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"meridian/persistence/temporal/cassandratest"
)

// onCassandra are the settings of a server on a node.
func onCassandra(n *cassandratest.Node) Settings {
	return Settings{Store: StoreCassandra, Shards: 4, Cassandra: &Cassandra{Hosts: []string{n.Address}}}
}

// TestCassandra sets a keyspace up over a kill, and runs workflows on a real Cassandra with its lists in a file, over a kill of the node and a restart of the server; a
// second server is refused, and a schema is changed only while every node is up.
func TestCassandra(t *testing.T) {
	t.Parallel()
	node := cassandratest.Start(t, "dc1", true, nil)
	setUpCutShort(t, node)
	settings := onCassandra(node)
	dir := t.TempDir()
	s := startOn(t, dir, settings)
	c := clientOf(t, s)
	startGreeter(t, c)
	runGreet(t, c, "first", map[string]any{AttrRun: "r1"})
	eventually(t, "the list knows the run", func() bool { return counted(t, c, AttrRun+" = 'r1'") == 1 })
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: settings, Logger: logTo(os.Stderr)})
	if err == nil || !strings.Contains(err.Error(), "another server runs on it") {
		t.Errorf("a second server: %v", err)
	}

	settings.Shards = 8
	wantFindings(t, Preflight(t.Context(), Options{Dir: dir, Settings: settings}), map[string][2]string{
		"temporal state": {FindingOK, "(keyspace temporal): schema "}, "temporal nodes": {FindingOK, "every node answers"},
		"temporal shards": {FindingWarn, "set up with 4 shards, the settings say 8"},
	})
	settings.Shards = 4

	outlives(t, s, c, func() {
		node.Kill()
		wantFindings(t, Preflight(t.Context(), Options{Dir: dir, Settings: settings}), map[string][2]string{"temporal state": {FindingFail, "no node of the cluster can be reached"}})
	}, node.Up)
	eventuallyLong(t, "workflows run after the node was killed", func() bool { return greetOnce(t, c, "after") == nil })
	stopped := time.Now()
	s.Stop()
	if took := time.Since(stopped); took > 5*time.Second {
		t.Errorf("it took %s to stop", took)
	}

	s = startOn(t, dir, settings)
	if _, err := clientOf(t, s).DescribeWorkflowExecution(t.Context(), "first", ""); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestCassandraSchemaNeedsEveryNode refuses to change a schema while a node is down, and a keyspace that the cluster cannot carry.
func TestCassandraSchemaNeedsEveryNode(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("two nodes")
	}
	first := cassandratest.Start(t, "dc1", true, nil)
	second := first.Join("dc2")
	c, err := openSession(t.Context(), mustConfig(t, &plainCluster{settings: &Cassandra{Hosts: []string{first.Address}}}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventuallyLong(t, "the first node knows the second", func() bool {
		var n int
		return c.Query("SELECT count(*) FROM system.peers WHERE peer = '"+second.Address+"'").Scan(&n) == nil && n == 1
	})
	second.Kill()
	settings := onCassandra(first)
	_, err = Start(t.Context(), Options{Dir: t.TempDir(), Settings: settings, Logger: logTo(os.Stderr)})
	if err == nil || !strings.Contains(err.Error(), second.Address+" does not answer") {
		t.Errorf("with a node down: %v", err)
	}
	settings.Cassandra.Replication = map[string]int{"dc1": 3}
	_, err = Start(t.Context(), Options{Dir: t.TempDir(), Settings: settings, Logger: logTo(os.Stderr)})
	if err == nil || !strings.Contains(err.Error(), "wants 3 copies in data centre dc1") {
		t.Errorf("with more copies than nodes: %v", err)
	}
	settings.Cassandra.Replication = nil
	settings.Cassandra.LocalDatacenter = "dc9"
	if _, err = Start(t.Context(), Options{Dir: t.TempDir(), Settings: settings, Logger: logTo(os.Stderr)}); err == nil {
		t.Error("with a data centre that is not there it started")
	}
	var name string
	if err := c.Query("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = 'temporal'").Scan(&name); !errors.Is(err, gocql.ErrNotFound) {
		t.Errorf("a refused start left the keyspace %q: %v", name, err)
	}
}

func mustConfig(t *testing.T, n nodes) *gocql.ClusterConfig {
	t.Helper()
	c, err := n.config(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReplicationFits(t *testing.T) {
	for name, test := range map[string]struct {
		replication map[string]string
		nodes       datacenters
		want        string
	}{
		"one":                     {map[string]string{"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "1"}, datacenters{"dc1": 1}, ""},
		"two centres":             {map[string]string{"class": "NetworkTopologyStrategy", "dc1": "3", "dc2": "1"}, datacenters{"dc1": 3, "dc2": 1}, ""},
		"too many":                {map[string]string{"class": "NetworkTopologyStrategy", "dc1": "3"}, datacenters{"dc1": 2}, "wants 3 copies in data centre dc1"},
		"a centre that is gone":   {map[string]string{"class": "NetworkTopologyStrategy", "dc1": "1", "dc2": "1"}, datacenters{"dc1": 1}, "wants 1 copies in data centre dc2"},
		"not in ours":             {map[string]string{"class": "NetworkTopologyStrategy", "dc2": "1"}, datacenters{"dc1": 1, "dc2": 1}, "no copies in our data centre dc1"},
		"simple":                  {map[string]string{"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "1"}, datacenters{"dc1": 1}, ""},
		"simple over two":         {map[string]string{"class": "SimpleStrategy", "replication_factor": "1"}, datacenters{"dc1": 1, "dc2": 1}, "SimpleStrategy"},
		"simple, more than there": {map[string]string{"class": "SimpleStrategy", "replication_factor": "3"}, datacenters{"dc1": 1}, "SimpleStrategy with 3 copies"},
		"transient":               {map[string]string{"class": "NetworkTopologyStrategy", "dc1": "3/1"}, datacenters{"dc1": 3}, "transient"},
	} {
		t.Run(name, func(t *testing.T) {
			err := replicationFits("temporal", test.replication, test.nodes, "dc1")
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

// TestRefresherWaits asks a cluster that is away at most so often.
func TestRefresherWaits(t *testing.T) {
	n := &awayNodes{}
	r := &refresher{cluster: n}
	for range 100 {
		if _, err := r.config(); err == nil {
			t.Fatal("a configuration of a cluster that is away")
		}
	}
	if n.probes != 1 {
		t.Errorf("it was asked %d times at once", n.probes)
	}
	r.next = time.Time{}
	n.back = true
	if _, err := r.config(); err != nil {
		t.Errorf("once it is back: %v", err)
	}
	for range 100 { // its session does not come about: a proxy answered for a node that is away
		if _, err := r.config(); !errors.Is(err, errAway) {
			t.Fatalf("at once again: %v", err)
		}
	}
	if n.probes != 2 {
		t.Errorf("it was asked %d times, want 2", n.probes)
	}
	r.next, r.given = time.Time{}, time.Now().Add(-2*refreshHeld)
	if _, err := r.config(); err != nil || r.wait != refreshFirst {
		t.Errorf("after a session that held: %v, wait %s", err, r.wait)
	}
}

type awayNodes struct {
	probes int
	back   bool
}

func (n *awayNodes) config(context.Context, string) (*gocql.ClusterConfig, error) {
	return gocql.NewCluster(), nil
}

func (n *awayNodes) probe(context.Context) error {
	n.probes++
	if n.back {
		return nil
	}
	return context.DeadlineExceeded
}
