package cassandra_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	return func(ctx context.Context, database, from string) error {
		return cassandra.Rebuild(ctx, s.Home, s.Owner, database, from)
	}
}

func query(t *testing.T, to providers.Target, user, password string) (*gocql.Session, error) {
	t.Helper()
	c := gocql.NewCluster(to.Endpoint.Host)
	c.Port, c.ProtoVersion, c.DisableInitialHostLookup, c.Consistency = to.Endpoint.Port, 4, true, gocql.LocalQuorum
	c.Timeout, c.ConnectTimeout = 20*time.Second, 10*time.Second
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.HostFilter = gocql.WhiteListHostFilter(to.Endpoint.Host) // the other region is none of this session's
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
		From: from, To: to, Rebuild: rebuild(two), MaxLag: time.Minute,
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
	there, err := query(t, to, "app", "app's")
	must(t, err)
	defer there.Close()
	var count int
	must(t, there.Query("SELECT count(*) FROM orders.lines").Scan(&count))
	if count != rows {
		t.Errorf("%d of %d rows in the region that joined", count, rows)
	}

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
	must(t, admin.Query("SELECT count(*) FROM orders.lines").Scan(&count))
	if count != rows {
		t.Errorf("%d of %d rows are left", count, rows)
	}
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
		"a reserved keyspace": {func(s *stacks.DatabaseSpec) { s.Databases = []stacks.LogicalDatabase{{Name: "system_mine"}} }, "spec.databases[0].name"},
		"a reserved user":     {func(s *stacks.DatabaseSpec) { s.Users = []stacks.User{{Name: "token"}} }, "spec.users[0].name"},
		"a region alone":      {func(s *stacks.DatabaseSpec) { s.Replication = stacks.Replication{} }, "spec.regions[1]"},
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
