package cassandra_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"meridian/providers"
	engine "meridian/providers/engines/cassandra"
	"meridian/providers/local/cassandra"
	"meridian/stacks"
)

const adminPassword = "an admin's pass'word"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a node, the first of its cluster or beside one, and says how it is reached.
func start(t *testing.T, dc string, first *cassandra.Spec) (cassandra.Spec, providers.Target) {
	t.Helper()
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	root, err := os.MkdirTemp("/tmp", "meridian-cassandra-")
	must(t, err)
	must(t, os.Chmod(root, 0o711))
	sum := sha256.Sum256([]byte(root))
	s := cassandra.Spec{
		Home: filepath.Join(root, dc), Owner: "test/" + dc, Cluster: filepath.Base(root), Datacenter: dc, Rack: "rack1",
		Address: fmt.Sprintf("127.%d.%d.%d", 100+sum[0]%100, sum[1], 1+sum[2]%250), Port: 9042, StoragePort: 7000, EngineVersion: "5.0",
	}
	s.Seeds = []string{s.Storage()}
	if first != nil {
		s.Cluster, s.Seeds = first.Cluster, []string{first.Storage()}
	}
	t.Cleanup(func() {
		must(t, cassandra.Destroy(context.Background(), s.Home, s.Owner))
		must(t, os.RemoveAll(root))
	})
	_, err = cassandra.Ensure(t.Context(), s)
	must(t, err)
	must(t, cassandra.EnsureAdmin(t.Context(), s, adminPassword))
	return s, providers.Target{Region: dc, Endpoint: stacks.Endpoint{Host: s.Address, Port: s.Port, User: cassandra.AdminUser}, Password: adminPassword}
}

func rebuild(s cassandra.Spec) providers.Rebuild {
	return func(ctx context.Context, fill providers.Fill) error {
		if fill.Again {
			return cassandra.Repair(ctx, s.Home, s.Owner, fill.Database)
		}
		return cassandra.Rebuild(ctx, s.Home, s.Owner, fill.Database, fill.From)
	}
}

func query(t *testing.T, to providers.Target, user, password string) (*gocql.Session, error) {
	t.Helper()
	c := gocql.NewCluster(to.Endpoint.Host)
	c.Port, c.ProtoVersion, c.DisableInitialHostLookup, c.Consistency = to.Endpoint.Port, 4, true, gocql.LocalQuorum
	c.Timeout, c.ConnectTimeout = 20*time.Second, 10*time.Second
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.HostFilter = gocql.WhiteListHostFilter(to.Endpoint.Host) // the other region is none of this session's
	c.Events.DisableNodeStatusEvents, c.Events.DisableTopologyEvents = true, true
	c.Logger = log.New(io.Discard, "", 0) // it goes on about nodes that the test has ended
	return c.CreateSession()
}

// TestADatacenterJoinsAndGoes takes a second region into the cluster, with the rows of the first, and out again.
func TestADatacenterJoinsAndGoes(t *testing.T) {
	t.Parallel()
	var e engine.Engine
	one, from := start(t, "ankara", nil)
	// A node believes what it knew of a role for a second or two.
	for deadline := time.Now().Add(30 * time.Second); ; {
		known, err := query(t, from, "cassandra", "cassandra")
		if err != nil {
			break
		}
		known.Close()
		if time.Now().After(deadline) {
			t.Fatal("the superuser that everybody knows can still log in")
		}
	}
	objects := providers.Objects{
		RunNumber: 2, Databases: []stacks.LogicalDatabase{{Name: "orders", Owner: "app"}}, Users: []stacks.User{{Name: "app"}, {Name: "reader"}},
		Passwords: map[string]string{"app": "app's", "reader": "reads"},
	}
	for range 2 {
		report, err := e.EnsureObjects(t.Context(), from, objects)
		must(t, err)
		if len(report.Unmanaged) > 0 {
			t.Errorf("unmanaged: %v", report.Unmanaged)
		}
	}
	older := objects
	older.RunNumber = 1
	if _, err := e.EnsureObjects(t.Context(), from, older); !errors.Is(err, providers.ErrSuperseded) {
		t.Errorf("an older run: %v", err)
	}
	app, err := query(t, from, "app", "app's")
	must(t, err)
	defer app.Close()
	must(t, app.Query("CREATE TABLE orders.lines (id int PRIMARY KEY, what text)").Exec())
	const rows = 300
	for i := range rows {
		must(t, app.Query("INSERT INTO orders.lines (id, what) VALUES (?, 'x')", i).Exec())
	}

	two, to := start(t, "istanbul", &one)
	in := providers.LinkInput{
		RunNumber: 2, Link: stacks.Link{From: "ankara", To: "istanbul", Mode: stacks.LinkDatacenter, Databases: []string{"orders"}},
		From: from, To: to, Rebuild: rebuild(two), RebuildSource: rebuild(one), MaxLag: time.Minute,
	}
	deadline := time.Now().Add(2 * time.Minute)
	for { // until the first node sees the second
		err := e.JoinRegion(t.Context(), providers.JoinInput{RunNumber: 2, From: from, To: to, Rebuild: rebuild(two)})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	must(t, e.Probe(t.Context(), to))
	_, err = e.EnsureObjects(t.Context(), to, objects)
	must(t, err)
	if st, err := e.CheckLink(t.Context(), in); err != nil || st.State == providers.StateReady {
		t.Fatalf("a link that was never made: %+v, %v", st, err)
	}
	must(t, e.EnsureLink(t.Context(), in))
	must(t, e.EnsureLink(t.Context(), in))
	st, err := e.CheckLink(t.Context(), in)
	if err != nil || st.State != providers.StateReady || st.Lag <= 0 {
		t.Fatalf("link %+v, %v", st, err)
	}
	strict := in
	strict.MaxLag = time.Nanosecond
	if st, err := e.CheckLink(t.Context(), strict); err != nil || st.State != providers.StatePending || !st.Late {
		t.Errorf("a link that is later than it may be: %+v, %v", st, err)
	}
	there, err := query(t, to, "app", "app's")
	must(t, err)
	defer there.Close()
	var count int
	must(t, there.Query("SELECT count(*) FROM orders.lines").Scan(&count))
	if count != rows {
		t.Errorf("%d of %d rows in the region that joined", count, rows)
	}

	changedOutside(t, in, objects)

	must(t, e.RemoveLink(t.Context(), in))
	must(t, cassandra.LeaveAndDestroy(t.Context(), two.Home, two.Owner))
	must(t, e.RemoveLink(t.Context(), in))               // once more, with the region gone
	_, err = e.EnsureObjects(t.Context(), from, objects) // takes the users out of what is gone
	must(t, err)
	admin, err := query(t, from, cassandra.AdminUser, adminPassword)
	must(t, err)
	defer admin.Close()
	iter := admin.Query("SELECT keyspace_name, replication FROM system_schema.keyspaces").Iter()
	var name string
	var replication map[string]string
	for iter.Scan(&name, &replication) {
		if _, left := replication["istanbul"]; left {
			t.Errorf("keyspace %s still spans the region that is gone: %v", name, replication)
		}
		replication = nil
	}
	must(t, iter.Close())
	patiently(t, "what is left", func() error { return admin.Query("SELECT count(*) FROM orders.lines").Scan(&count) })
	if count != rows {
		t.Errorf("%d of %d rows are left", count, rows)
	}
}

// patiently repeats what a busy machine may let fail: the driver gives up a connection that is slow, and opens another a moment later.
func patiently(t *testing.T, what string, do func() error) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// changedOutside has somebody take data centres out of keyspaces and users out of the cluster, rows written meanwhile: it is drift, and what puts
// it back brings those rows too.
func changedOutside(t *testing.T, in providers.LinkInput, objects providers.Objects) {
	t.Helper()
	var e engine.Engine
	both := func() (out []string) {
		for _, ask := range []struct {
			at providers.Target
			in providers.InspectInput
		}{
			{in.From, providers.InspectInput{Objects: objects, Links: []stacks.Link{in.Link}, Peers: []providers.Target{in.To}}},
			{in.To, providers.InspectInput{Objects: objects, Peers: []providers.Target{in.From}}},
		} {
			items, err := e.Inspect(t.Context(), ask.at, ask.in)
			must(t, err)
			for _, i := range items {
				out = append(out, fmt.Sprintf("%s: %s %s.%s %s->%s", ask.at.Region, i.Kind, i.Subject, i.Path, i.Want, i.Found))
			}
		}
		return out
	}
	if found := both(); len(found) > 0 {
		t.Fatalf("drift of what was just made: %q", found)
	}
	admin, err := query(t, in.To, cassandra.AdminUser, adminPassword)
	must(t, err)
	defer admin.Close()
	app, err := query(t, in.From, "app", "app's")
	must(t, err)
	defer app.Close()
	for _, cql := range []string{
		"ALTER KEYSPACE orders WITH replication = {'class': 'NetworkTopologyStrategy', 'ankara': 1}",
		"ALTER KEYSPACE meridian WITH replication = {'class': 'NetworkTopologyStrategy', 'istanbul': 1}",
		"ALTER KEYSPACE system_traces WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
		"ALTER ROLE reader WITH PASSWORD = 'another'",
	} {
		patiently(t, cql, func() error { return admin.Query(cql).Exec() })
	}
	patiently(t, "a row", func() error { return app.Query("INSERT INTO orders.lines (id, what) VALUES (-1, 'meanwhile')").Exec() })
	want := []string{
		"ankara: changed keyspace system_traces.replication.class NetworkTopologyStrategy->SimpleStrategy",
		"ankara: changed keyspace meridian.replication.ankara 1->0",
		"ankara: login user reader. ->",
		"istanbul: changed keyspace orders.replication.istanbul 1->0",
	}
	if found := both(); !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if st, err := e.CheckLink(t.Context(), in); err == nil && st.State == providers.StateReady {
		t.Error("the link is ready")
	}
	for _, at := range []providers.Target{in.From, in.To} {
		patiently(t, "objects", func() error { _, err := e.EnsureObjects(t.Context(), at, objects); return err })
		reader, err := query(t, at, "reader", objects.Passwords["reader"]) // at once, although the node believed in another password a moment ago
		must(t, err)
		reader.Close()
	}
	patiently(t, "the link", func() error { return e.EnsureLink(t.Context(), in) })
	if found := both(); len(found) > 0 {
		t.Errorf("drift after it was put back: %q", found)
	}
	if st, err := e.CheckLink(t.Context(), in); err != nil || st.State != providers.StateReady {
		t.Errorf("link %+v, %v", st, err)
	}
	there, err := query(t, in.To, "app", "app's")
	must(t, err)
	defer there.Close()
	var what string
	if err := there.Query("SELECT what FROM orders.lines WHERE id = -1").Scan(&what); err != nil {
		t.Errorf("the row that was written while the keyspace did not span the region: %v", err)
	}
	patiently(t, "no row", func() error { return there.Query("DELETE FROM orders.lines WHERE id = -1").Exec() })
}

func TestValidateDatabase(t *testing.T) {
	t.Parallel()
	good := stacks.Database{Spec: stacks.DatabaseSpec{
		Databases: []stacks.LogicalDatabase{{Name: "orders"}}, Users: []stacks.User{{Name: "app"}},
		Regions:     []stacks.Region{{Name: "a", Role: stacks.RolePrimary}, {Name: "b", Role: stacks.RoleReplica}},
		Replication: stacks.Replication{Links: []stacks.Link{{To: "b", Mode: stacks.LinkDatacenter}}},
	}}
	if ds := (engine.Engine{}).ValidateDatabase(t.Context(), good); len(ds) > 0 {
		t.Fatalf("%+v", ds)
	}
	for name, c := range map[string]struct {
		change func(*stacks.DatabaseSpec)
		field  string
	}{
		"a long keyspace": {func(s *stacks.DatabaseSpec) { s.Databases = []stacks.LogicalDatabase{{Name: strings.Repeat("k", 49)}} }, "spec.databases[0].name"},
		"a region alone":  {func(s *stacks.DatabaseSpec) { s.Replication = stacks.Replication{} }, "spec.regions[1]"},
		"a dropped link": {func(s *stacks.DatabaseSpec) {
			s.Replication.Links = []stacks.Link{{To: "b", Mode: stacks.LinkDatacenter, Drop: true}}
		}, "spec.replication.links[0].drop"},
		"a link between replicas": {func(s *stacks.DatabaseSpec) {
			s.Replication.Links = []stacks.Link{{From: "b", To: "b", Mode: stacks.LinkDatacenter}}
		}, "spec.replication.links[0].from"},
	} {
		db := good
		c.change(&db.Spec)
		ds := (engine.Engine{}).ValidateDatabase(t.Context(), db)
		if len(ds) != 1 || ds[0].Field != c.field || ds[0].Next == "" {
			t.Errorf("%s: %+v", name, ds)
		}
	}
}
