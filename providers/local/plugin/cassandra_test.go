package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/providers/local/cassandra"
)

// nodeStack is a stack around one Cassandra node.
type nodeStack struct {
	*stack
	node cassandra.Spec
}

func newNodeStack(t *testing.T) *nodeStack {
	t.Helper()
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	s := &nodeStack{stack: rootOf(t, "local-cassandra")}
	s.node = cassandra.Spec{
		Home: filepath.Join(s.root(), "node"), Owner: "test/default/parcels/abc/" + t.Name(), Cluster: "parcels", Datacenter: "ankara",
		Address: loopback(t), Port: 9042, StoragePort: 7000, EngineVersion: "5.0", Settings: map[string]string{"concurrent_reads": "8"},
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if spec, err := cassandra.MarkedSpec(s.node.Home); err == nil {
			if err := cassandra.Destroy(ctx, spec.Home, spec.Owner); err != nil {
				t.Error(err)
			}
		}
	})
	s.write()
	s.must("init", "-input=false")
	return s
}

// write renders the stack with its present arguments.
func (s *nodeStack) write() {
	s.t.Helper()
	settings, err := json.Marshal(s.node.Settings)
	if err != nil {
		s.t.Fatal(err)
	}
	text := fmt.Sprintf(`
variable "admin_password" {
  type      = string
  ephemeral = true
  sensitive = true
}
module "database" {
  source         = "./modules/local-cassandra"
  owner          = %q
  cluster        = %q
  datacenter     = %q
  address        = %q
  port           = %d
  storage_port   = %d
  seeds          = [%q]
  data_dir       = %q
  engine_version = %q
  settings       = jsondecode(%q)
  admin_password = var.admin_password
}
output "host" { value = module.database.host }
`, s.node.Owner, s.node.Cluster, s.node.Datacenter, s.node.Address, s.node.Port, s.node.StoragePort,
		net.JoinHostPort(s.node.Address, fmt.Sprint(s.node.StoragePort)), s.node.Home, s.node.EngineVersion, settings)
	if err := os.WriteFile(filepath.Join(s.dir, "main.tf"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *nodeStack) wantNode(want cassandra.State) cassandra.Sight {
	s.t.Helper()
	sight, err := cassandra.Look(s.t.Context(), s.node.Home, s.node.Owner)
	if err != nil {
		s.t.Fatal(err)
	}
	if sight.State != want {
		s.t.Fatalf("the node is %s (%s), want %s", sight.State, sight.Message, want)
	}
	return sight
}

// TestLifeOfACassandraNode makes a node, changes it, kills it, changes its file by hand, forgets it, imports it and destroys it; an untouched one
// plans nothing at every step, and what no node can be is refused at the plan.
func TestLifeOfACassandraNode(t *testing.T) {
	t.Parallel()
	s := newNodeStack(t)
	const address = "module.database.localdb_cassandra.this"
	s.must("plan", "-out=p.tfplan", "-input=false")
	s.must("apply", "-input=false", "p.tfplan")
	first := s.wantNode(cassandra.StateRunning)
	s.wantClean()
	for _, args := range [][]string{{"show", "-json", "p.tfplan"}, {"show", "-json"}, {"state", "pull"}} {
		cmd, out := s.command(args...)
		mustNot(t, cmd.Run())
		if strings.Contains(out.String(), password) {
			t.Errorf("terraform %v tells the password", args)
		}
	}

	good := s.node
	for name, c := range map[string]struct {
		change func(*cassandra.Spec)
		says   string
	}{
		"another owner":    {func(n *cassandra.Spec) { n.Owner = "somebody/else" }, "does not change its owner"},
		"a public address": {func(n *cassandra.Spec) { n.Address = "10.0.0.1" }, "loopback"},
		"a managed name":   {func(n *cassandra.Spec) { n.Settings = map[string]string{"cluster_name": "x"} }, "decided by Meridian"},
		"a relative path":  {func(n *cassandra.Spec) { n.Home = "node" }, "absolute path"},
		"the same ports":   {func(n *cassandra.Spec) { n.StoragePort = n.Port }, "want two from"},
	} {
		s.node = good
		c.change(&s.node)
		s.write()
		if code, out := s.plan(); code != 1 || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
	s.node = good
	s.node.Datacenter = "izmir"
	s.write()
	s.wantChange("must be replaced", "forces replacement")
	s.node = good

	s.node.Settings = map[string]string{"concurrent_reads": "9"}
	s.write()
	s.wantChange("update in-place", "concurrent_reads")
	s.apply()
	s.wantClean()
	changed := s.wantNode(cassandra.StateRunning)
	if changed.PID == first.PID {
		t.Error("a setting that a start reads was changed without one")
	}

	for _, lost := range []string{"import", "create"} {
		mustNot(t, os.Remove(filepath.Join(s.dir, "terraform.tfstate")))
		if lost == "import" {
			s.must("import", "-input=false", address, s.node.Home)
		} else {
			s.apply() // with no state at all: the create adopts it
		}
		s.wantClean()
		if now := s.wantNode(cassandra.StateRunning); now.PID != changed.PID {
			t.Errorf("forgotten, then found again by %s: the node was started again", lost)
		}
	}

	mustNot(t, cassandra.Kill(t.Context(), s.node.Home, s.node.Owner))
	conf := filepath.Join(s.node.Home, "conf", "cassandra.yaml")
	s.wantChange(`"stopped"`, `"running"`, "update in-place")
	s.apply()
	s.wantClean()
	text, err := os.ReadFile(conf)
	mustNot(t, err)
	mustNot(t, os.WriteFile(conf, []byte(strings.Replace(string(text), "concurrent_reads: 9", "concurrent_reads: 10", 1)), 0o644))
	s.wantChange("update in-place", `"10"`, `"9"`)

	s.must("destroy", "-auto-approve")
	s.wantNode(cassandra.StateAbsent)
	if _, err := os.Stat(s.node.Home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory stays: %v", err)
	}
	for _, id := range []string{"/nonexistent/node", "hello"} {
		if code, out := s.run("import", "-input=false", address, id); code == 0 {
			t.Errorf("import of %s: %s", id, out)
		}
	}
}
