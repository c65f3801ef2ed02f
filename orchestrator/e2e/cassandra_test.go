package e2e

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"meridian/orchestrator"
	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/providers/local/cassandra"
	"meridian/stacks"
)

// nodesPatience is how long a busy machine may take to start, fill or repair nodes.
const nodesPatience = 8 * time.Minute

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
	return m.logIn(host, port, keyspace, user, password)
}

// logIn opens a session with one node and no other.
func (m *meridian) logIn(host string, port int, keyspace, user, password string) *gocql.Session {
	m.site.t.Helper()
	c := gocql.NewCluster(host)
	c.Port, c.Keyspace, c.ProtoVersion, c.DisableInitialHostLookup, c.Consistency = port, keyspace, 4, true, gocql.LocalQuorum
	c.Timeout, c.ConnectTimeout = 20*time.Second, 10*time.Second
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.HostFilter = gocql.WhiteListHostFilter(host) // the other regions are none of this session's
	c.Logger = log.New(io.Discard, "", 0)          // it goes on about nodes that a test has ended
	c.Events.DisableNodeStatusEvents, c.Events.DisableTopologyEvents = true, true
	s, err := c.CreateSession()
	if err != nil {
		m.site.t.Fatalf("log in to %s as %s: %v", host, user, err)
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
	s.patience = nodesPatience
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

	m.changedOutside()

	if err := cassandra.Kill(t.Context(), m.home("parcels", "istanbul"), ""); err != nil {
		t.Fatal(err)
	}
	m.wantDrift(m.checkDrift("parcels"), "unreachable istanbul: endpoint", "link istanbul: link ankara-istanbul", "changed istanbul"+driftNode+".status")
	res, err := m.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: parcels()}}, Check: true, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if check := m.wait(res.Runs[0].ID); !check.HasChanges || !strings.Contains(fmt.Sprint(check.Changes), "status") {
		t.Errorf("a dead node is no drift: %+v", check.Changes)
	}
	m.done(parcels())
	if got := count(t, m.cql("istanbul")); got != rows+2 {
		t.Errorf("%d of %d rows in istanbul once it is back", got, rows+2)
	}
	if err := m.cql("ankara").Query("UPDATE lines SET what = ? WHERE id = -1", openWords).Exec(); err != nil {
		t.Fatal(err)
	}
	m.noPasswordInNodes()
	m.destroy("parcels")
	m.nothingLeft()
	if left := m.nodes(); len(left) > 0 {
		t.Errorf("nodes are left: %v", left)
	}
}

// TestKilledInACassandraCreate kills what makes a node while it starts: the run finds the node and takes it over, under the one yes that it was
// given. Then its state is lost, so that it is created once more: the same node is found again. In between, each of its attributes is drift.
func TestKilledInACassandraCreate(t *testing.T) {
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	ledgerFile()
	t.Parallel()
	s := newSite(t)
	s.patience = nodesPatience
	srv := s.serve()
	m := s.look()
	spec := parcels("    - {name: istanbul, provider: local, role: replica}\n", "", "  replication:\n    maxLag: 10s\n    mode: datacenter\n", "")
	run := srv.submitApproved(spec)
	s.eventually("a node is starting", func() error {
		if len(m.nodes()) == 0 {
			return errNotYet
		}
		return nil
	})
	before := m.nodePIDs()
	if s.killAll("meridian-runner", "terraform apply", "terraform-provider-localdb") == 0 {
		t.Fatal("nothing to kill")
	}
	srv.wantDone(run)
	s.finishedOnce()
	if after := m.nodePIDs(); len(after) != 1 || !slices.Equal(after, before) {
		t.Errorf("nodes %v, before the kill %v", after, before)
	}
	if audits, err := m.catalog.Audits(t.Context(), stacks.DefaultNamespace, "parcels", 0); err != nil || len(verbs(audits, "approve")) != 1 {
		t.Errorf("audit %+v, %v: want one approval", audits, err)
	}
	if log := logOf(srv, run); !strings.Contains(log, "was interrupted (create)") {
		t.Errorf("the log does not tell of the interruption:\n%s", log)
	}
	if v := srv.submitApprovedOrDone(spec); v.HasChanges {
		t.Errorf("a second apply changes %+v", v.Changes)
	}

	m.everyDrift("parcels", "ankara", nil, driftTable{
		refused: map[string]string{"localdb_cassandra.owner": "A node does not change its owner"},
		wanted:  map[string]string{"localdb_cassandra.status": "running", "localdb_cassandra.admin_user": "the only one"},
	})
	m.createdTwice(srv, "local-cassandra", "parcels", "ankara", spec)
	if after := m.nodePIDs(); !slices.Equal(after, before) {
		t.Errorf("nodes %v, before the state was lost %v", after, before)
	}
	if v := srv.submitApprovedOrDone(spec); v.HasChanges {
		t.Errorf("an apply after the state was lost changes %+v", v.Changes)
	}
}

// verbs are the lines of an audit with a verb.
func verbs(all []catalog.Audit, verb string) (out []catalog.Audit) {
	for _, a := range all {
		if a.Verb == verb {
			out = append(out, a)
		}
	}
	return out
}

const driftNode = ": module.database.localdb_cassandra.this"

// changedOutside has somebody change replication and a node's settings by hand, with a row written meanwhile: each is drift, with what it was and
// what it is; the remedy puts all of it back, and brings the row.
func (m *meridian) changedOutside() {
	t := m.site.t
	m.wantDrift(m.checkDrift("parcels")) // nor is what the region that left has left behind
	admin, ankara := m.cqlAdmin("parcels", "ankara"), m.cql("ankara")
	for _, cql := range []string{
		"ALTER KEYSPACE parcels WITH replication = {'class': 'NetworkTopologyStrategy', 'ankara': 1}",
		"ALTER KEYSPACE system_distributed WITH replication = {'class': 'NetworkTopologyStrategy', 'ankara': 1}",
	} {
		m.site.eventually(cql, func() error { return admin.Query(cql).Exec() })
	}
	m.site.eventually("a row is written meanwhile", func() error {
		return ankara.Query("INSERT INTO lines (id, what) VALUES (-2, 'meanwhile')").Exec()
	})
	conf := filepath.Join(m.home("parcels", "istanbul"), "conf", "cassandra.yaml")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(strings.Replace(string(text), "concurrent_reads: 16", "concurrent_reads: 17", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	setting := "istanbul" + driftNode + ".settings.concurrent_reads"
	v := m.checkDrift("parcels")
	m.wantDrift(v, "changed istanbul: keyspace parcels.replication.istanbul", "changed istanbul: keyspace system_distributed.replication.istanbul",
		"link istanbul: link ankara-istanbul", "changed "+setting)
	if i := v.Drift[0]; i.Want != "1" || i.Found != "0" {
		t.Errorf("it says %+v", i)
	}
	if i := v.Drift[3]; i.Want != `"16"` || i.Found != `"17"` || i.SpecField != "spec.engine.parameters.concurrent_reads" {
		t.Errorf("it says %+v", i)
	}
	m.mended("parcels")
	var what string
	if err := m.cql("istanbul").Query("SELECT what FROM lines WHERE id = -2").Scan(&what); err != nil {
		t.Errorf("the row that was written while the keyspace did not span istanbul: %v", err)
	}
}

// cqlAdmin logs in to a region as the cluster's administrator.
func (m *meridian) cqlAdmin(name, region string) *gocql.Session {
	m.site.t.Helper()
	id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: name, Incarnation: m.incarnation(name), Region: region}
	endpoint, err := m.catalog.Endpoint(m.site.t.Context(), id)
	if err != nil {
		m.site.t.Fatal(err)
	}
	password, err := m.catalog.Secret(m.site.t.Context(), id.Incarnation, endpoint.Secret)
	if err != nil {
		m.site.t.Fatal(err)
	}
	return m.logIn(endpoint.Host, endpoint.Port, "", endpoint.User, password)
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
	for _, pid := range m.nodePIDs() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		_, rest, _ := strings.Cut(string(cmdline), nodeFlag)
		home, _, _ := strings.Cut(rest, "/conf/cassandra.yaml")
		out = append(out, home)
	}
	return out
}

// nodeFlag is the argument by which a node's process is known.
const nodeFlag = "-Dcassandra.config=file://"

// nodePIDs lists the processes of the site's nodes.
func (m *meridian) nodePIDs() []int {
	var out []int
	for _, pid := range m.site.processes() {
		if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(cmdline), nodeFlag) {
			out = append(out, pid)
		}
	}
	return out
}

// openWords are in a row, so that a search of a node's files that finds no password is one that finds something.
const openWords = "words-that-anybody-may-read"

// noPasswordInNodes looks for the passwords of administrator and users in every byte that the nodes keep: data, commit logs, their own logs.
func (m *meridian) noPasswordInNodes() {
	t := m.site.t
	t.Helper()
	var names []string
	incarnation := m.incarnation("parcels")
	err := m.store.Read(t.Context(), func(tx *store.Tx) (err error) {
		names, err = column(tx, "SELECT name FROM secrets WHERE incarnation = '"+incarnation+"'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var secrets []secret
	for _, name := range names {
		text, err := m.catalog.Secret(t.Context(), incarnation, name)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret{name, text})
	}
	if len(secrets) < 2 {
		t.Errorf("secrets are %v, want those of administrator and user", names)
	}
	home := m.home("parcels", "ankara")
	if _, err := os.Stat(home); err != nil {
		t.Fatal(err)
	}
	open := false
	for path, found := range holds(t, filepath.Dir(home), newHaystack(append(secrets, secret{"words", openWords})...)) {
		for _, f := range found {
			if open = open || f.secret == "words"; f.secret != "words" {
				t.Errorf("a node's %s holds %s", path, f)
			}
		}
	}
	if !open {
		t.Error("a row was found in no file of the nodes: the search finds nothing")
	}
}
