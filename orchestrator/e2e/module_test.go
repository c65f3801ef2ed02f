package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/orchestrator"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// packed are the files of a module, packed as the client does it.
func packed(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var list []stacks.File
	for path, text := range files {
		list = append(list, stacks.File{Path: path, Content: []byte(text), Exec: strings.HasSuffix(path, ".sh")})
	}
	archive, err := stacks.PackFiles(list)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// submitWith submits a spec with the local module ./module.
func (m *meridian) submitWith(spec string, module map[string]string) (orchestrator.RunView, error) {
	m.site.t.Helper()
	doc := orchestrator.Document{File: "spec.yaml", Text: spec}
	if module != nil {
		doc.Modules = map[string][]byte{"./module": packed(m.site.t, module)}
	}
	res, err := m.Submit(context.Background(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{doc}, Yes: true, Actor: "test"})
	if err != nil {
		return orchestrator.RunView{}, err
	}
	return res.Runs[0], nil
}

// doneWith is done with a local module.
func (m *meridian) doneWith(spec string, module map[string]string) orchestrator.RunView {
	m.site.t.Helper()
	v, err := m.submitWith(spec, module)
	if err != nil {
		m.site.t.Fatalf("submit: %v\n%+v", err, err)
	}
	return m.site.wantDone(m, v.ID)
}

// pluginVersion is the version of our plugin in the site's mirror.
func (s *site) pluginVersion() string {
	s.t.Helper()
	text, err := exec.Command(filepath.Join(bin, "meridian-runner"), terraform.VerbFind, "--data", s.data).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	var found terraform.FindAnswer
	if err := json.Unmarshal(text, &found); err != nil {
		s.t.Fatal(err)
	}
	return found.Plugins[0].Version
}

// postgresModule makes a real PostgreSQL and is shaped like the well-known modules of clouds: a wrapper around a nested module, an object with
// optional attributes, a sensitive variable, outputs of which one is sensitive, a validation, a count.
var postgresModule = map[string]string{
	"main.tf": `terraform {
  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}

module "instance" {
  source = "./modules/instance"
  count  = var.create ? 1 : 0

  name     = var.identifier
  server   = var.server
  password = var.password
}
`,
	"variables.tf": `variable "identifier" {
  type = string
  validation {
    condition     = length(var.identifier) < 40
    error_message = "The identifier is too long."
  }
}

variable "create" {
  type    = bool
  default = true
}

variable "server" {
  type = object({
    address  = string
    port     = optional(number, 5432)
    data_dir = string
    settings = optional(map(string), {})
    version  = string
    owner    = string
  })
}

variable "password" {
  type      = string
  sensitive = true
  ephemeral = true
}
`,
	"outputs.tf": `output "db_instance_endpoint" {
  value = try("${module.instance[0].host}:${module.instance[0].port}", null)
}

output "db_instance_username" {
  value     = try(module.instance[0].user, null)
  sensitive = true
}

output "servers" {
  value = [for i in module.instance : { host = i.host, id = i.id }]
}
`,
	"modules/instance/main.tf": `terraform {
  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}

variable "name" {}
variable "server" {}
variable "password" {
  ephemeral = true
}

resource "localdb_postgres" "this" {
  name                      = var.name
  owner                     = var.server.owner
  address                   = var.server.address
  port                      = var.server.port
  data_dir                  = var.server.data_dir
  engine_version            = var.server.version
  settings                  = var.server.settings
  admin_password_wo         = var.password
  admin_password_wo_version = 1
}

output "host" {
  value = localdb_postgres.this.address
}

output "port" {
  value = localdb_postgres.this.port
}

output "user" {
  value = localdb_postgres.this.admin_user
}

output "id" {
  value = localdb_postgres.this.system_identifier
}
`,
}

// newestMajor is the newest PostgreSQL of this machine.
func newestMajor(t testing.TB) string {
	t.Helper()
	found, err := pgserver.Find(context.Background())
	if err != nil || len(found) == 0 {
		t.Fatalf("no PostgreSQL: %v", err)
	}
	return stacks.Major(found[0].Version)
}

// postgresRegion is the settings of a region of that module.
func (s *site) postgresRegion(address string) string {
	return fmt.Sprintf(`      settings:
        source: ./module
        requiredProviders:
          localdb: {source: meridian.internal/meridian/localdb, version: %q}
        inputs:
          identifier: orders-module
          password: {secret: admin}
          server:
            address: %s
            data_dir: %s
            owner: somebody-else
            version: %q
            settings: {wal_level: logical, max_wal_senders: "20", max_replication_slots: "20"}
        outputs: {endpoint: db_instance_endpoint, user: db_instance_username, export: [servers]}
        endpoint: {secret: admin, database: postgres, tls: disable}
`, s.pluginVersion(), address, filepath.Join(s.data, "servers", "module"), newestMajor(s.t))
}

// TestMixedProviders makes a database whose primary is a module that nobody of Meridian wrote and whose replica is one of ours, with rows that
// flow between them; the same spec again changes nothing; a destroy leaves nothing.
func TestMixedProviders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	if err := os.MkdirAll(filepath.Join(s.data, "servers"), 0o711); err != nil {
		t.Fatal(err)
	}
	spec := orders("orders", "    - {name: ankara, provider: local, role: primary}\n",
		"    - name: ankara\n      provider: module\n      role: primary\n"+s.postgresRegion("127.77.1.9"))
	v := m.doneWith(spec, postgresModule)
	if len(v.Links) != 1 || v.Links[0].Phase != "verified" {
		t.Fatalf("links = %+v", v.Links)
	}
	if got := m.query("orders", "ankara", "select current_user"); got != "orders_app" {
		t.Errorf("the user of the spec is %s", got)
	}
	again := m.doneWith(spec, postgresModule)
	if again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	m.destroy("orders")
	m.nothingLeft()
}
