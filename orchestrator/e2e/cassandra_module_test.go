package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"meridian/orchestrator"
	"meridian/providers/local/cassandra"
)

// clusterModule makes a real Cassandra node and is shaped like the modules of managed clusters: what the caller says comes in one object, and what
// it makes goes out as one, contact points first.
var clusterModule = map[string]string{"main.tf": `terraform {
  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}

variable "cluster" {
  type = object({
    name       = string
    datacenter = optional(string, "dc-of-the-module")
    address    = string
    data_dir   = string
    settings   = optional(map(string), {})
  })
}

variable "superuser_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

resource "localdb_cassandra" "node" {
  owner             = "somebody-else"
  cluster           = var.cluster.name
  datacenter        = var.cluster.datacenter
  address           = var.cluster.address
  port              = 9042
  storage_port      = 7000
  seeds             = ["${var.cluster.address}:7000"]
  data_dir          = var.cluster.data_dir
  engine_version    = "5.0"
  settings          = var.cluster.settings
  admin_password_wo = var.superuser_password
}

output "cluster" {
  value = {
    contact_points = [localdb_cassandra.node.address]
    port           = localdb_cassandra.node.port
    superuser      = localdb_cassandra.node.admin_user
  }
}
`}

// clusterRegion is a region of that module.
func (s *site) clusterRegion(region, role, address string) string {
	return fmt.Sprintf(`    - name: %s
      provider: module
      role: %s
      settings:
        source: ./module
        requiredProviders:
          localdb: {source: meridian.internal/meridian/localdb, version: %q}
        inputs:
          superuser_password: {secret: admin}
          cluster: {name: theirs, address: %s, data_dir: %s}
        outputs: {host: cluster.contact_points.0, port: cluster.port, user: cluster.superuser}
        endpoint: {secret: admin, database: system, tls: disable}
`, region, role, s.pluginVersion(), address, filepath.Join(s.data, "servers", "module-"+region))
}

// TestCassandraOfAModule has engine cassandra work on a cluster that somebody's module makes: its gates, keyspaces and users, the drift of a
// password and of the node itself, the removal. A second region, which nobody would fill, is refused at its line.
func TestCassandraOfAModule(t *testing.T) {
	t.Parallel()
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	s := newSite(t)
	s.patience = nodesPatience
	m := s.start()
	first := s.clusterRegion("ankara", "primary", "127.78.3.1")
	spec := parcels("    - {name: ankara, provider: local, role: primary}\n    - {name: istanbul, provider: local, role: replica}\n", first,
		"  replication:\n    maxLag: 10s\n    mode: datacenter\n", "", `    parameters: {concurrent_reads: "16"}`+"\n", "")
	for name, second := range map[string]string{"of the module": s.clusterRegion("istanbul", "replica", "127.78.3.2"), "of ours": "    - {name: istanbul, provider: local, role: replica}\n"} {
		two := strings.Replace(spec, first, first+second, 1)
		two = strings.Replace(two, "  deletion:", "  replication: {links: [{to: istanbul, mode: datacenter}]}\n  deletion:", 1)
		_, err := m.submitWith(two, clusterModule)
		var p *orchestrator.Problem
		line := 1 + strings.Count(two[:strings.Index(two, "  replication: {links")], "\n")
		if !errors.As(err, &p) || len(p.Diagnostics) == 0 || p.Diagnostics[0].Rule != "link.mode" || p.Diagnostics[0].Line != line || p.Diagnostics[0].Column == 0 {
			t.Errorf("a second region %s: %v, want link.mode at line %d", name, err, line)
		}
	}

	m.doneWith(spec, clusterModule)
	app := m.cql("ankara")
	if err := app.Query("CREATE TABLE lines (id int PRIMARY KEY, what text)").Exec(); err != nil {
		t.Fatal(err)
	}
	if err := app.Query("INSERT INTO lines (id, what) VALUES (1, 'kept')").Exec(); err != nil {
		t.Fatal(err)
	}
	var dc, replication string
	if err := m.cqlAdmin("parcels", "ankara").Query("SELECT data_center FROM system.local").Scan(&dc); err != nil || dc != "dc-of-the-module" {
		t.Errorf("the data centre is %q, %v", dc, err)
	}
	if err := app.Query("SELECT replication['dc-of-the-module'] FROM system_schema.keyspaces WHERE keyspace_name = 'parcels'").Scan(&replication); err != nil || replication != "1" {
		t.Errorf("the keyspace has %q copies there, %v", replication, err)
	}
	if again := m.doneWith(spec, clusterModule); again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	m.wantDrift(m.checkDrift("parcels"))

	t.Log("a user's password is changed outside")
	admin := m.cqlAdmin("parcels", "ankara")
	s.eventually("Cassandra takes another password, which it does once in 5 s", func() error {
		return admin.Query("ALTER ROLE parcels_app WITH PASSWORD = 'somebody-elses-password'").Exec()
	})
	m.wantDrift(m.checkDrift("parcels"), "login ankara: user parcels_app")
	m.mended("parcels")

	t.Log("the node is killed")
	if err := cassandra.Kill(t.Context(), filepath.Join(s.data, "servers", "module-ankara"), "somebody-else"); err != nil {
		t.Fatal(err)
	}
	m.wantDrift(m.checkDrift("parcels"), "unreachable ankara: endpoint", "changed ankara: module.database.localdb_cassandra.node.status")
	m.mended("parcels")
	var what string
	if err := m.cql("ankara").Query("SELECT what FROM lines WHERE id = 1").Scan(&what); err != nil || what != "kept" {
		t.Errorf("the row is %q, %v", what, err)
	}

	m.destroy("parcels")
	m.nothingLeft()
	if left := m.nodes(); len(left) > 0 {
		t.Errorf("nodes are left: %v", left)
	}
}
