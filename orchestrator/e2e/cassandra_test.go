package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"meridian/orchestrator"
	"meridian/providers/local/cassandra"
	"meridian/stacks"
)

// parcels is the example of a Cassandra cluster, changed.
func parcels(change ...string) string {
	text, err := os.ReadFile("../../examples/cassandra.yaml")
	if err != nil {
		panic(err)
	}
	out := string(text)
	for i := 0; i+1 < len(change); i += 2 {
		if !strings.Contains(out, change[i]) {
			panic("the example has no " + change[i])
		}
		out = strings.Replace(out, change[i], change[i+1], 1)
	}
	return out
}

// cql logs in to a region as the application.
func (m *meridian) cql(region string) *gocql.Session {
	m.site.t.Helper()
	ctx := context.Background()
	v, err := m.Connect(ctx, orchestrator.ConnectRequest{Namespace: stacks.DefaultNamespace, Name: "parcels", Region: region, Reveal: true, Actor: "test"})
	if err != nil {
		m.site.t.Fatal(err)
	}
	var user, password, host, keyspace string
	var port int
	if _, err := fmt.Sscanf(strings.NewReplacer("cassandra://", "", ":", " ", "@", " ", "/", " ").Replace(v.URL), "%s %s %s %d %s", &user, &password, &host, &port, &keyspace); err != nil {
		m.site.t.Fatalf("no connection in what connect says: %v", err)
	}
	c := gocql.NewCluster(host)
	c.Port, c.Keyspace, c.ProtoVersion, c.DisableInitialHostLookup, c.Consistency = port, keyspace, 4, true, gocql.LocalQuorum
	c.Timeout, c.ConnectTimeout = 20*time.Second, 10*time.Second
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.HostFilter = gocql.WhiteListHostFilter(host) // the other regions are none of this session's
	s, err := c.CreateSession()
	if err != nil {
		m.site.t.Fatalf("log in to %s: %v", region, err)
	}
	m.site.t.Cleanup(s.Close)
	return s
}

func count(t *testing.T, s *gocql.Session) (n int) {
	t.Helper()
	if err := s.Query("SELECT count(*) FROM lines").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCassandraStory makes a cluster over two regions, adds a third with the rows that are there, removes it, shows a dead node as drift
// and brings it back, and destroys everything.
func TestCassandraStory(t *testing.T) {
	t.Parallel()
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	s := newSite(t)
	m := s.start()
	started := time.Now()
	v := m.done(parcels())
	t.Logf("from submission to the verified link: %s", time.Since(started).Round(time.Millisecond))
	if len(v.Links) != 1 || v.Links[0].Phase != "verified" || v.Links[0].LagMS <= 0 {
		t.Errorf("links = %+v, want one that is verified, with a lag", v.Links)
	}
	ankara, istanbul := m.cql("ankara"), m.cql("istanbul")
	if err := ankara.Query("CREATE TABLE lines (id int PRIMARY KEY, what text)").Exec(); err != nil {
		t.Fatal(err)
	}
	const rows = 20000
	fill(t, ankara, rows)
	if got := count(t, istanbul); got != rows {
		t.Errorf("%d of %d rows in istanbul", got, rows)
	}
	if err := istanbul.Query("INSERT INTO lines (id, what) VALUES (-1, 'back')").Exec(); err != nil {
		t.Fatal(err)
	}
	s.eventually("a row of istanbul arrives in ankara", func() error {
		var what string
		return ankara.Query("SELECT what FROM lines WHERE id = -1").Scan(&what)
	})

	const second = "    - {name: istanbul, provider: local, role: replica}\n"
	v = m.done(parcels(second, second+"    - {name: izmir, provider: local, role: replica}\n"))
	for _, l := range v.Links {
		if l.Phase != "verified" {
			t.Errorf("link %+v", l)
		}
	}
	if got := count(t, m.cql("izmir")); got != rows+1 {
		t.Errorf("%d of %d rows in izmir, which is called ready", got, rows+1)
	}
	gone := m.wait(m.submit(parcels()).ID)
	if gone.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the removal of a region is %s: %s\n%s", gone.Phase, gone.Message, m.runLog(gone.ID))
	}
	m.approve(gone)
	if gone = m.wait(gone.ID); gone.Phase != stacks.PhaseDone {
		t.Fatalf("removal is %s: %s\n%s", gone.Phase, gone.Message, m.runLog(gone.ID))
	}
	nodes := m.nodes()
	if len(nodes) != 2 {
		t.Fatalf("nodes %v, want two", nodes)
	}
	members, err := cassandra.Members(t.Context(), nodes[0], "")
	if err != nil || len(members) != 2 {
		t.Errorf("the cluster has %+v, %v: want two members", members, err)
	}

	for _, home := range nodes {
		if strings.HasSuffix(home, ".istanbul") {
			if err := cassandra.Kill(t.Context(), home, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	res, err := m.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: parcels()}}, Check: true, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if check := m.wait(res.Runs[0].ID); !check.HasChanges || !strings.Contains(fmt.Sprint(check.Changes), "status") {
		t.Errorf("a dead node is no drift: %+v", check.Changes)
	}
	m.done(parcels())
	if got := count(t, m.cql("istanbul")); got != rows+1 {
		t.Errorf("%d of %d rows in istanbul once it is back", got, rows+1)
	}
	m.destroy("parcels")
	m.nothingLeft()
	if left := m.nodes(); len(left) > 0 {
		t.Errorf("nodes are left: %v", left)
	}
}

// fill inserts rows from many hands.
func fill(t *testing.T, s *gocql.Session, rows int) {
	t.Helper()
	const hands = 16
	var wg sync.WaitGroup
	errs := make(chan error, hands)
	for h := range hands {
		wg.Go(func() {
			for i := h; i < rows; i += hands {
				if err := s.Query("INSERT INTO lines (id, what) VALUES (?, 'x')", i).Exec(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
}

// nodes lists the homes of the site's Cassandra nodes that run.
func (m *meridian) nodes() []string {
	var out []string
	for _, pid := range m.site.processes() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		for arg := range strings.SplitSeq(string(cmdline), "\x00") {
			if path, ok := strings.CutPrefix(arg, "-Dcassandra.config=file://"); ok {
				out = append(out, strings.TrimSuffix(path, "/conf/cassandra.yaml"))
			}
		}
	}
	return out
}
