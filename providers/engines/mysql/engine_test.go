package mysql

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/providers"
	"meridian/providers/engines/mysql/mariadbtest"
	"meridian/stacks"
)

// adminPassword has what a statement could stumble over.
const adminPassword = `Admin'Secret\9"`

const appPassword, otherPassword = `App-Secret'1\`, "Other-Secret-2"

func start(t *testing.T, c mariadbtest.Config) *mariadbtest.Server {
	t.Helper()
	c.Password = adminPassword
	return mariadbtest.Start(t, c)
}

func target(s *mariadbtest.Server, region string) providers.Target {
	return providers.Target{Region: region, Password: adminPassword, Endpoint: stacks.Endpoint{Host: s.Host, Port: s.Port, User: mariadbtest.Admin, TLSMode: "prefer"}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants are the objects of a run.
func wants(run int64) providers.Objects {
	return providers.Objects{
		RunNumber: run, Databases: []stacks.LogicalDatabase{{Name: "shop_a", Owner: "app"}}, Users: []stacks.User{{Name: "app"}, {Name: "reader"}},
		Passwords: map[string]string{"app": appPassword, "reader": otherPassword},
	}
}

// does runs a statement as a user.
func does(s *mariadbtest.Server, user, password, database, statement string) error {
	return s.As(user, password, database, func(db *sql.DB) error {
		_, err := db.Exec(statement)
		return err
	})
}

func asRoot(t *testing.T, s *mariadbtest.Server, statements ...string) {
	t.Helper()
	must(t, s.Root(func(db *sql.DB) error {
		for _, one := range statements {
			if _, err := db.Exec(one); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestObjects makes users, databases and rights on a real server, changes and drops them; no password is in what the server writes down.
func TestObjects(t *testing.T) {
	t.Parallel()
	s := start(t, mariadbtest.Config{})
	at := target(s, "here")
	for name, e := range map[string]*Engine{"mysql": MySQL(), "mariadb": MariaDB()} {
		if e.Name() != name {
			t.Errorf("%s is called %s", name, e.Name())
		}
	}
	e := MariaDB()
	asRoot(t, s, "CREATE DATABASE shopxa", "CREATE TABLE shopxa.t (id INT)", "CREATE USER stranger")
	report, err := e.EnsureObjects(t.Context(), at, wants(1))
	must(t, err)
	if want := []string{"created user app", "created user reader", "created database shop_a", "user app has its rights in database shop_a", "user reader has its rights in database shop_a"}; !slices.Equal(report.Changed, want) {
		t.Errorf("changed %q", report.Changed)
	}
	if want := []string{"database shopxa", "user follower", "user laboratory", "user stranger"}; !slices.Equal(report.Unmanaged, want) {
		t.Errorf("unmanaged %q", report.Unmanaged)
	}
	if report, err = e.EnsureObjects(t.Context(), at, wants(1)); err != nil || len(report.Changed) > 0 {
		t.Errorf("again it changes %q, %v", report.Changed, err)
	}
	for _, c := range []struct {
		what, user, password, database, statement string
		may                                       bool
	}{
		{"the owner makes a table", "app", appPassword, "shop_a", "CREATE TABLE t (id INT PRIMARY KEY)", true},
		{"a user writes", "reader", otherPassword, "shop_a", "INSERT INTO t VALUES (1)", true},
		{"a user makes no table", "reader", otherPassword, "shop_a", "CREATE TABLE u (id INT)", false},
		{"a name is no pattern", "app", appPassword, "", "SELECT * FROM shopxa.t", false},
		{"nobody reads what is Meridian's", "app", appPassword, "", "SELECT * FROM meridian.fence", false},
		{"another password is not let in", "app", otherPassword, "shop_a", "SELECT 1", false},
		{"the owner makes a view", "app", appPassword, "shop_a", "CREATE VIEW v AS SELECT 1", true},
	} {
		if err := does(s, c.user, c.password, c.database, c.statement); (err == nil) != c.may {
			t.Errorf("%s: %v", c.what, err)
		}
	}

	next := wants(2)
	next.Databases[0].Owner = "reader"
	next.Passwords["app"] = "Third-Secret-3"
	report, err = e.EnsureObjects(t.Context(), at, next)
	must(t, err)
	if !slices.Contains(report.Changed, "updated user app") {
		t.Errorf("changed %q", report.Changed)
	}
	if err := does(s, "app", "Third-Secret-3", "shop_a", "CREATE TABLE w (id INT)"); err == nil {
		t.Error("a former owner still owns")
	}
	if err := does(s, "reader", otherPassword, "shop_a", "CREATE TABLE w (id INT)"); err != nil {
		t.Errorf("the new owner: %v", err)
	}

	// A view runs by the rights of app, so that one stays; then its session ends with it.
	next.RunNumber, next.Users[0].Drop = 3, true
	if _, err := e.EnsureObjects(t.Context(), at, next); !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "view shop_a.v") {
		t.Errorf("a definer is dropped: %v", err)
	}
	asRoot(t, s, "DROP VIEW shop_a.v")
	must(t, s.As("app", "Third-Secret-3", "", func(db *sql.DB) error {
		if err := db.Ping(); err != nil {
			return err
		}
		asRoot(t, s, "CREATE PROCEDURE mysql.rds_kill(id BIGINT) SQL SECURITY DEFINER KILL id")
		next.RunNumber, next.Databases[0].Drop = 4, true
		if _, err := e.EnsureObjects(t.Context(), at, next); err != nil {
			t.Error(err)
		}
		conn, err := db.Conn(t.Context())
		if err == nil {
			defer conn.Close()
			err = conn.PingContext(t.Context())
		}
		if err == nil {
			t.Error("a session of a user that was dropped lives")
		}
		return nil
	}))
	must(t, s.Root(func(db *sql.DB) error {
		var left int
		err := db.QueryRow("SELECT (SELECT count(*) FROM mysql.user WHERE user = 'app') + (SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'shop_a')").Scan(&left)
		if left != 0 {
			t.Errorf("%d are left", left)
		}
		return err
	}))
	log, err := os.ReadFile(s.Log)
	must(t, err)
	if !strings.Contains(string(log), "CREATE USER 'app'") {
		t.Fatal("the server writes no statements down")
	}
	for _, secret := range []string{adminPassword, "App-Secret", otherPassword, "Third-Secret-3"} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the server's log holds %s", secret)
		}
	}
}

// TestNamesOfTheServer refuses to make what is the server's.
func TestNamesOfTheServer(t *testing.T) {
	t.Parallel()
	s := start(t, mariadbtest.Config{})
	for _, name := range []string{"root", "rdsadmin", "mysql.sys", "meridian", "meridian_x"} {
		o := wants(1)
		o.Users[0].Name, o.Passwords[name] = name, appPassword
		if _, err := MySQL().EnsureObjects(t.Context(), target(s, "here"), o); !errors.Is(err, providers.ErrPermanent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFence refuses an older run, and ends the session of one that stands still.
func TestFence(t *testing.T) {
	t.Parallel()
	s := start(t, mariadbtest.Config{})
	at, e := target(s, "here"), MySQL()
	stuck, err := newGuard(t.Context(), at, 5)
	must(t, err)
	defer stuck.close()
	if _, err := e.EnsureObjects(t.Context(), at, wants(4)); !errors.Is(err, providers.ErrSuperseded) {
		t.Errorf("an older run: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if _, err := e.EnsureObjects(short, at, wants(5)); err == nil || errors.Is(err, providers.ErrPermanent) {
		t.Errorf("beside another attempt of the same run: %v", err)
	}
	if err := stuck.hold(t.Context()); err != nil {
		t.Errorf("another attempt of the same run took the right away: %v", err)
	}
	_, err = e.EnsureObjects(t.Context(), at, wants(6))
	must(t, err)
	if err := stuck.exec(t.Context(), "CREATE DATABASE late"); err == nil {
		t.Error("a stopped attempt of an older run writes")
	}
	again, err := newGuard(t.Context(), at, 6)
	must(t, err)
	defer again.close()
	if err := again.exec(t.Context(), "UPDATE meridian.fence SET number = 7"); err != nil {
		t.Fatal(err)
	}
	if err := again.hold(t.Context()); !errors.Is(err, providers.ErrSuperseded) {
		t.Errorf("a newer run's number does not end the right: %v", err)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := start(t, mariadbtest.Config{})
	e := MySQL()
	good := target(s, "here")
	must(t, e.Probe(t.Context(), good))
	bad := good
	bad.Password = "Wrong-Secret-4"
	if err := e.Probe(t.Context(), bad); !errors.Is(err, providers.ErrDenied) || strings.Contains(err.Error(), bad.Password) {
		t.Errorf("another password: %v", err)
	}
	asRoot(t, s, "SET GLOBAL read_only = 1")
	if err := e.Probe(t.Context(), good); !errors.Is(err, errReadOnly) || errors.Is(err, providers.ErrPermanent) {
		t.Errorf("read-only: %v", err)
	}
	replica := good
	replica.Follows = true
	must(t, e.Probe(t.Context(), replica))
	plain := good
	plain.Endpoint.TLSMode = "require"
	if err := e.Probe(t.Context(), plain); err == nil {
		t.Error("a server without encryption answers where it is required")
	}
	plain.Endpoint.TLSMode = "sometimes"
	if err := e.Probe(t.Context(), plain); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("an unknown way to encrypt: %v", err)
	}
	s.Kill()
	if err := e.Probe(t.Context(), good); err == nil || errors.Is(err, providers.ErrPermanent) {
		t.Errorf("nobody there: %v", err)
	}
	if err := e.Probe(t.Context(), providers.Target{}); err == nil {
		t.Error("no address")
	}
}

// TestInspect finds what somebody changed inside.
func TestInspect(t *testing.T) {
	t.Parallel()
	s := start(t, mariadbtest.Config{})
	at, e := target(s, "here"), MariaDB()
	o := wants(1)
	o.Databases = append(o.Databases, stacks.LogicalDatabase{Name: "gone", Owner: "app"})
	_, err := e.EnsureObjects(t.Context(), at, o)
	must(t, err)
	in := providers.InspectInput{Objects: o}
	items, err := e.Inspect(t.Context(), at, in)
	if err != nil || len(items) > 0 {
		t.Fatalf("untouched: %+v, %v", items, err)
	}
	asRoot(t, s, "DROP DATABASE gone", "ALTER USER app IDENTIFIED BY 'of somebody'", "DROP USER reader", "REVOKE DROP ON `shop\\_a`.* FROM app")
	items, err = e.Inspect(t.Context(), at, in)
	must(t, err)
	var got []string
	for _, i := range items {
		got = append(got, string(i.Kind)+" "+i.Subject)
	}
	if want := []string{string(stacks.DriftLogin) + " user app", string(stacks.DriftMissing) + " user reader", string(stacks.DriftMissing) + " database gone", string(stacks.DriftChanged) + " user app"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	_, err = e.EnsureObjects(t.Context(), at, o)
	must(t, err)
	if items, err = e.Inspect(t.Context(), at, in); err != nil || len(items) > 0 {
		t.Errorf("after a remedy: %+v, %v", items, err)
	}
	asRoot(t, s, "ALTER USER app ACCOUNT LOCK")
	if items, err = e.Inspect(t.Context(), at, in); err != nil || len(items) != 1 || items[0].Kind != stacks.DriftLogin {
		t.Errorf("a locked user: %+v, %v", items, err)
	}
	_, err = e.EnsureObjects(t.Context(), at, o)
	must(t, err)
	if items, err = e.Inspect(t.Context(), at, in); err != nil || len(items) > 0 {
		t.Errorf("unlocked: %+v, %v", items, err)
	}
}
