package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"meridian/orchestrator"
	"meridian/providers"
	"meridian/providers/aws"
	"meridian/providers/engines/mysql/mariadbtest"
	"meridian/stacks"
)

// awsMySQL makes a MySQL in two regions of AWS, the second a read replica of the first, and a MariaDB beside it: real MariaDB servers stand behind
// all three. A row arrives, an untouched stack stays clean, a password that was changed outside is told, and a destruction leaves nothing.
func awsMySQL(t *testing.T) {
	w := newAWS(t)
	m := w.m
	engine := func(spec, name, version, parameter string) string {
		before, rest, _ := strings.Cut(spec, "engine: {")
		_, after, _ := strings.Cut(rest, "}")
		return fmt.Sprintf("%sengine: {name: %s, version: %q, parameters: {wait_timeout: \"600\", back_log: \"90\", %s}}%s", before, name, version, parameter, after)
	}
	alone := m.submit(strings.Replace(engine(w.spec(w.region("here", virginia, "primary"), "{}"), "mariadb", "11.4", `max_connections: "60"`), "{name: orders}", "{name: shop}", 1))
	spec := engine(w.spec(w.region("here", frankfurt, "primary")+w.region("there", virginia, "replica"), "{mode: physical}"), aws.EngineMySQL, "8.4", `gtid-mode: OFF_PERMISSIVE`)
	v := m.done(spec)
	w.wantReplica(v)
	w.site.wantDone(m, alone.ID)
	engines := map[string]string{}
	for _, i := range append(w.instances(frankfurt), w.instances(virginia)...) {
		engines[*i.DBInstanceIdentifier] = *i.Engine + " " + *i.DBParameterGroups[0].DBParameterGroupName
	}
	orders, shop := m.incarnation("orders"), m.incarnation("shop")
	for name, group := range map[string]string{
		"default-orders-" + orders + "-here": "mysql default-orders-" + orders + "-here-mysql8-4", "default-orders-" + orders + "-there": "mysql default-orders-" + orders + "-there-mysql8-4",
		"default-shop-" + shop + "-here": "mariadb default-shop-" + shop + "-here-mariadb11-4",
	} {
		if engines[name] != group {
			t.Errorf("%s is %q, want %q", name, engines[name], group)
		}
	}
	if _, err := m.tryQuery("shop", "here", "create table parcels (id int primary key)"); err != nil {
		t.Errorf("the owner in MariaDB: %v", err)
	}
	w.wantUntouched(spec, 1)
	m.wantDrift(m.checkDrift("orders"))
	w.noSecret(orders)

	server := w.maria["default/orders/"+orders+"/here"]
	w.must(server.Root(func(db *sql.DB) error {
		_, err := db.Exec("ALTER USER meridian IDENTIFIED BY 'of somebody else'")
		return err
	}))
	found := m.checkDrift("orders")
	if len(found.Drift) == 0 || found.Drift[0].Kind != stacks.DriftLogin {
		t.Errorf("a password that was changed outside: %+v", found)
	}
	password, err := m.catalog.Secret(t.Context(), orders, "region/here/admin")
	w.must(err)
	w.must(server.Root(func(db *sql.DB) error {
		_, err := db.Exec("ALTER USER meridian IDENTIFIED BY PASSWORD '" + mariadbtest.Hash(password) + "'")
		return err
	}))

	again := m.done(strings.Replace(spec, "  databases:", "  adminPasswordVersion: 2\n  databases:", 1))
	for _, c := range again.Changes {
		if c.Region != "here" || len(c.Attributes) != 1 || c.Attributes[0].Path != "password_wo_version" {
			t.Errorf("a new password changes %+v", c)
		}
	}
	for _, region := range []string{"here", "there"} {
		e, password := m.adminOf(region)
		if e.Secret != "region/here/admin/2" {
			t.Errorf("%s takes %s for the password in force", region, e.Secret)
		}
		w.must(w.maria["default/orders/"+orders+"/"+region].As(e.User, password, "", func(db *sql.DB) error { return db.Ping() }))
	}
	m.wantDrift(m.checkDrift("orders"))
	m.destroy("orders")
	m.destroy("shop")
	if left := append(w.instances(frankfurt), w.instances(virginia)...); len(left) > 0 {
		t.Errorf("left in AWS: %+v", left)
	}
}

// mariaReach makes the real MariaDB of an instance whose engine is that or MySQL, once; the replica of one follows it.
func (w *awsWorld) mariaReach(in providers.ModuleInput, e stacks.Endpoint, password string) (stacks.Endpoint, error) {
	id := in.Stack.String()
	if there, ok := w.where[id]; ok { // AWS sets a new password when it is modified, and a replica gets it from its source
		there.Secret = e.Secret
		w.where[id] = there
		return there, w.maria[id].Root(func(db *sql.DB) error {
			if _, is := in.Database.PhysicalSource(in.Region.Name); is {
				return nil
			}
			_, err := db.Exec("ALTER USER meridian IDENTIFIED BY PASSWORD '" + mariadbtest.Hash(password) + "'")
			return err
		})
	}
	c := mariadbtest.Config{Password: password}
	if source, is := in.Database.PhysicalSource(in.Region.Name); is {
		of := in.Stack
		of.Region = source.Name
		if c.Of = w.maria[of.String()]; c.Of == nil {
			return e, errors.New("its source was not made before it")
		}
	}
	s, err := mariadbtest.Run(c)
	if err != nil {
		return e, fmt.Errorf("the real database of %s: %w", id, err)
	}
	w.site.t.Cleanup(s.Kill)
	e.Host, e.Port, e.TLSMode = s.Host, s.Port, "prefer"
	w.maria[id], w.where[id] = s, e
	return e, nil
}

// tryMySQL is tryQuery of a server that speaks MySQL's protocol.
func tryMySQL(v orchestrator.ConnectView, query string) (string, error) {
	c := driver.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName, c.Timeout = "tcp", net.JoinHostPort(v.Host, strconv.Itoa(v.Port)), v.User, v.Password, v.Database, 5*time.Second
	connector, err := driver.NewConnector(c)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	out := ""
	for rows.Next() {
		if err := rows.Scan(&out); err != nil {
			return "", err
		}
	}
	return out, rows.Err()
}
