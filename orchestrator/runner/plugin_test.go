package runner_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"meridian/persistence/journal"
	"meridian/providers/local/plugin"
	"meridian/providers/local/server"
	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// servePlugin lets terraform, or the shim, start the test's binary as our plugin.
func servePlugin() int {
	if code, over := misbehave(); over {
		return code
	}
	err := providerserver.Serve(context.Background(), plugin.New(), providerserver.ServeOpts{Address: plugin.Address, ProtocolVersion: 6})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// postgres is a stack of one real server, made by our own plugin from the site's mirror.
// The server waits until the gate is open.
func (w *world) postgres() (s stacks.Stack, address string) {
	w.t.Helper()
	ctx := context.Background()
	found, err := server.Find(ctx)
	check(w.t, err)
	if len(found) == 0 {
		w.t.Skip("no PostgreSQL on this machine: .ci/postgres.sh gets one")
	}
	exe, err := os.Executable()
	check(w.t, err)
	laid, err := launch.LayMirror(w.site, exe)
	check(w.t, err)
	root, err := os.MkdirTemp("/tmp", "meridian-runner-")
	check(w.t, err)
	check(w.t, os.Chmod(root, 0o711)) // servers of a root's tests run as somebody else
	h := fnv.New32a()
	fmt.Fprint(h, os.Getpid(), w.t.Name())
	n := h.Sum32()
	ip := fmt.Sprintf("127.%d.%d.%d", 100+n%100, n>>8%254+1, n>>16%254+1)
	home, owner := filepath.Join(root, "db"), "test/"+w.id.String()
	w.t.Cleanup(func() {
		ctx, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		check(w.t, server.Destroy(ctx, home, owner))
		check(w.t, os.RemoveAll(root))
	})
	check(w.t, w.catalog.EnsureSecret(ctx, w.id.Incarnation, "region/ankara/admin"))
	s = w.stack(fmt.Sprintf(`
terraform {
  required_providers {
    localdb = {
      source  = %q
      version = %q
    }
  }
}
variable "admin_password" {
  type      = string
  ephemeral = true
  sensitive = true
}
resource "terraform_data" "gate" {
  provisioner "local-exec" {
    command = "echo begin 0 >> %s; until [ -e %s ]; do sleep 0.02; done"
  }
}
resource "localdb_postgres" "this" {
  depends_on                = [terraform_data.gate]
  name                      = "orders"
  owner                     = %q
  address                   = %q
  port                      = 5432
  data_dir                  = %q
  engine_version            = "%d"
  admin_password_wo         = var.admin_password
  admin_password_wo_version = 1
}
`, laid.Source, laid.Version, w.ledger, w.gate, owner, ip, home, server.Major(found[0].Version)))
	s.Providers = []stacks.ProviderRequirement{{LocalName: "localdb", Source: laid.Source, Version: laid.Version}}
	s.Secrets = map[string]string{"admin_password": "region/ankara/admin"}
	s.DataBearing = []string{"localdb_postgres"}
	return s, net.JoinHostPort(ip, "5432")
}

// postmasters are the processes of the servers of a stack.
func (w *world) postmasters(s stacks.Stack) (out []int) {
	w.t.Helper()
	for _, f := range s.Files {
		for _, m := range dataDir.FindAllSubmatch(f.Content, -1) {
			files, err := filepath.Glob(filepath.Join(string(m[1]), "*", "postmaster.pid"))
			check(w.t, err)
			for _, file := range files {
				text, err := os.ReadFile(file)
				check(w.t, err)
				pid, err := strconv.Atoi(strings.Split(string(text), "\n")[0])
				check(w.t, err)
				out = append(out, pid)
			}
		}
	}
	if len(out) == 0 {
		w.t.Fatal("no server runs")
	}
	return out
}

var dataDir = regexp.MustCompile(`data_dir\s*=\s*"([^"]+)"`)

// TestARealServer plans, applies, finds nothing changed and destroys a server; the server outlives the step and holds nothing of it.
func TestARealServer(t *testing.T) {
	w := newWorld(t)
	s, address := w.postgres()
	w.open()
	r := w.do(w.applyStep(s, w.plan(s)))
	if r.Outcome != journal.OutcomeApplied || len(r.Diagnostics) != 0 {
		t.Fatalf("apply: %+v\n%s", r, w.log())
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("the server does not answer: %v", err)
	}
	check(t, c.Close())
	for _, p := range w.postmasters(s) {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p)); err != nil || strings.TrimSpace(string(text)) != "0" {
			t.Errorf("oom_score_adj of the server is %q, %v: it inherits that of terraform", text, err)
		}
	}
	w.clean()
	w.end()
	w.submit(true)
	if same := w.do(w.put(journal.StepPlan, s, nil)); same.Outcome != journal.OutcomeUnchanged || same.Launches != 1 {
		t.Errorf("plan of the same: %+v", same)
	}
	gone := w.do(w.put(journal.StepPlan, s, func(st *journal.Step) { st.Destroy = true }))
	if len(gone.Changes) != 2 || !gone.Changes[0].Dangerous() {
		t.Errorf("the plan to destroy: %+v", gone.Changes)
	}
	w.planned(gone, s)
	if r := w.do(w.applyStep(s, gone)); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("destroy: %+v\n%s", r, w.log())
	}
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Error("the server still answers")
	}
	w.clean()
}

// TestIdlePluginIsEnded: a plugin that has nothing to do outlives a killed terraform and would hold the stack's lock for ever.
func TestIdlePluginIsEnded(t *testing.T) {
	w := newWorld(t)
	s, address := w.postgres()
	step := w.applyStep(s, w.plan(s))
	cmd := w.spawn("step", "--step", step)
	w.until("terraform waits at the gate", func() bool { return w.lines("begin") > 0 })
	w.until("a plugin lives", func() bool {
		return slices.ContainsFunc(w.processes("other"), func(p proc) bool { return strings.Contains(p.args, "terraform-provider-localdb") })
	})
	w.kill("terraform", syscall.SIGKILL)
	if code := w.wait(cmd); code != terraform.ExitDone {
		t.Fatalf("exit code %d\n%s", code, w.log())
	}
	if r := w.result(step); r.Outcome != journal.OutcomeInterrupted {
		t.Errorf("result: %+v", r)
	}
	w.clean() // no plugin, no lock
	w.open()
	w.end()
	w.submit(true)
	if r := w.do(w.applyStep(s, w.plan(s))); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("apply again: %+v\n%s", r, w.log())
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("the server does not answer: %v", err)
	}
	check(t, c.Close())
	w.clean()
}
