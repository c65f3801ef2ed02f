package temporal

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/persistence/temporal/cassandratest"
	"meridian/providers/local/cassandra"
)

const word = "go on"

// waitFlow waits for a word and gives it back.
func waitFlow(ctx workflow.Context) (out string, err error) {
	workflow.GetSignalChannel(ctx, word).Receive(ctx, &out)
	return out, nil
}

// TestCassandraSecondDatacenter has a keyspace come to span a second data centre while a server works in the first, loses the first for good,
// and goes on from the second by the steps in docs/persistence.md: on another machine, with what was under way.
func TestCassandraSecondDatacenter(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("two nodes")
	}
	first := cassandratest.Start(t, "dc1", true, nil)
	settings := onCassandra(first)
	settings.Cassandra.LocalDatacenter = "dc1"
	s := startOn(t, t.TempDir(), settings)
	c := clientOf(t, s)
	startWaiter(t, c)
	runGreet(t, c, "before", nil)

	t.Log("a second data centre")
	second := first.Join("dc2")
	one, two := cqlOf(t, first), cqlOf(t, second)
	eventuallyLong(t, "the first node knows the second", func() bool {
		var n int
		return one.Query("SELECT count(*) FROM system.peers WHERE peer = '"+second.Address+"'").Scan(&n) == nil && n == 1
	})
	const over = "ALTER KEYSPACE temporal WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1, 'dc2': 1}"
	eventuallyLong(t, "the keyspace spans both", func() bool { return one.Query(over).Exec() == nil })
	if err := cassandra.Rebuild(t.Context(), second.Home, second.Owner, "temporal", "dc1"); err != nil {
		t.Fatal(err)
	}
	const underWay = 8
	for i := range underWay {
		id := fmt.Sprintf("waits-%d", i)
		eventuallyLong(t, id+" is started", func() bool {
			_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue}, waitFlow)
			return err == nil
		})
	}
	rows := func(in *gocql.Session) (n int) {
		if err := in.Query("SELECT count(*) FROM temporal.executions").Consistency(gocql.LocalOne).Scan(&n); err != nil {
			return -1
		}
		return n
	}
	eventuallyLong(t, "what is under way is in both", func() bool { n := rows(one); return n > underWay && n == rows(two) })

	t.Log("the first is lost, with the server's machine")
	first.Kill()
	s.Stop()
	settings = onCassandra(second)
	settings.Cassandra.LocalDatacenter = "dc2"
	dir := t.TempDir()
	from := time.Now()
	eventuallyLong(t, "a server starts in the second", func() bool {
		var err error
		s, err = Start(t.Context(), Options{Dir: dir, Settings: settings, Logger: logTo(os.Stderr)})
		if err != nil && !strings.Contains(err.Error(), "another server runs on it") {
			t.Logf("start in the second data centre: %v", err)
		}
		return err == nil
	})
	t.Cleanup(s.Stop)
	t.Logf("on again %s after the loss", time.Since(from).Round(time.Second))
	c = clientOf(t, s)
	startWaiter(t, c)
	for i := range underWay {
		id := fmt.Sprintf("waits-%d", i)
		if err := c.SignalWorkflow(t.Context(), id, "", word, id); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := c.GetWorkflow(t.Context(), id, "").Get(t.Context(), &got); err != nil || got != id {
			t.Errorf("%s ends with %q, %v", id, got, err)
		}
	}
	runGreet(t, c, "after", nil)

	t.Log("the first never comes back: what still names it is told, with the statement that mends it")
	members, err := cassandra.Members(t.Context(), second.Home, second.Owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Datacenter == "dc1" {
			eventuallyLong(t, "the second forgets the first", func() bool {
				_, err := cassandra.Nodetool(t.Context(), second.Home, second.Owner, "removenode", m.HostID)
				return err == nil
			})
		}
	}
	s.Stop()
	_, err = Start(t.Context(), Options{Dir: dir, Settings: settings, Logger: logTo(os.Stderr)})
	if err == nil || !strings.Contains(err.Error(), "wants 1 copies in data centre dc1") {
		t.Errorf("with copies in a data centre that is gone: %v", err)
	}
	const alone = "ALTER KEYSPACE temporal WITH replication = {'class': 'NetworkTopologyStrategy', 'dc2': 1}"
	last := cqlOf(t, second) // a session forgets its only node where it was slow once
	eventuallyLong(t, "the keyspace is in the second alone", func() bool {
		err := last.Query(alone).Exec()
		if err != nil {
			t.Logf("%s: %v", alone, err)
		}
		return err == nil
	})
	s = startOn(t, dir, settings)
	c = clientOf(t, s)
	startWaiter(t, c)
	runGreet(t, c, "alone", nil)
	wantFindings(t, Preflight(t.Context(), Options{Dir: dir, Settings: settings}), map[string][2]string{"temporal nodes": {FindingOK, "every node answers"}})
}

// startWaiter serves both workflows.
func startWaiter(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(greetFlow)
	w.RegisterWorkflow(waitFlow)
	w.RegisterActivity(greet)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

// cqlOf is a session with one node.
func cqlOf(t *testing.T, n *cassandratest.Node) *gocql.Session {
	t.Helper()
	s, err := (&plainCluster{settings: &Cassandra{Hosts: []string{n.Address}}}).only(t.Context(), n.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
