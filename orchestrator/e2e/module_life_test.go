package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/orchestrator/activities"
	"meridian/providers"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

// foldersModule makes directories with notes. It is no database, and shaped like a module of a network: a map of objects, for_each, a secret that
// it makes itself, an output that lists what was made.
var foldersModule = map[string]string{
	"main.tf": `terraform {
  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}

resource "localdb_directory" "folder" {
  for_each = var.folders

  path  = "${var.root}/${each.key}"
  owner = "somebody-else"
  note  = each.value.note
}

resource "terraform_data" "token" {
  input = var.token
}
`,
	"variables.tf": `variable "root" {
  type = string
}

variable "folders" {
  type = map(object({
    note = optional(string, "nothing")
  }))
}

variable "token" {
  type      = string
  default   = "nobody"
  sensitive = true
}
`,
	"outputs.tf": `output "births" {
  value = join(" ", [for f in localdb_directory.folder : f.birth])
}

output "token" {
  value     = terraform_data.token.output
  sensitive = true
}
`,
}

// folders is the spec of a database without an engine, made of that module.
func (s *site) folders(name, inputs, more, top string) string {
	s.t.Helper()
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: %s}
spec:
  engine: {name: none}
  regions:
    - name: main
      provider: module
      role: primary
      settings:
        source: ./module
        requiredProviders:
          localdb: {source: meridian.internal/meridian/localdb, version: %q}
        inputs:
          root: %s
%s%s%s  deletion: {protect: false}
`, name, s.pluginVersion(), filepath.Join(s.data, "folders-"+name), indent(inputs, 10), indent(more, 8), indent(top, 2))
}

func indent(text string, by int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Repeat(" ", by) + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}

// rootsOf makes the directories that such databases are made in.
func (s *site) rootsOf(names ...string) {
	s.t.Helper()
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(s.data, "folders-"+name), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
}

// mark is what a directory of the plugin says of itself.
type mark struct{ Owner, Note, Birth string }

// markOf reads the mark of a directory, and where it is.
func (s *site) markOf(name, folder string) (m mark, file string) {
	s.t.Helper()
	dir := filepath.Join(s.data, "folders-"+name, folder)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		s.t.Fatalf("%s holds %v: %v", dir, entries, err)
	}
	file = filepath.Join(dir, entries[0].Name())
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		s.t.Fatal(err)
	}
	return m, file
}

const folder = "main: module.database.localdb_directory.folder"

// TestNoDatabase makes what is no database of a module, waits for its own gate, finds what was changed and deleted outside, puts it back, and
// leaves nothing.
func TestNoDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	s.rootsOf("net")
	var asked atomic.Int32
	var open atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if !open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(web.Close)
	spec := s.folders("net", "folders: {a: {note: first}, b: {}}\n", "ready: {gate: http, url: \""+web.URL+"/health\"}\n", "")
	v, err := m.submitWith(spec, foldersModule)
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the gate is asked, twice", func() error {
		if asked.Load() < 2 {
			return errNotYet
		}
		return nil
	})
	if v, err = m.Run(t.Context(), v.ID); err != nil || v.Phase != stacks.PhaseApplying || !strings.Contains(v.Regions[0].Message, "503 Service Unavailable") {
		t.Errorf("while the gate is shut: %s, %+v, %v", v.Phase, v.Regions, err)
	}
	open.Store(true)
	s.wantDone(m, v.ID)
	if got, _ := s.markOf("net", "b"); got.Note != "nothing" {
		t.Errorf("what optional() gives: %+v", got)
	}
	if again := m.doneWith(spec, foldersModule); again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	_, err = m.Connect(t.Context(), orchestrator.ConnectRequest{Namespace: stacks.DefaultNamespace, Name: "net", Region: "main", Actor: "test"})
	wantProblem(t, err, orchestrator.CodeConflict)
	m.wantDrift(m.checkDrift("net"))

	t.Log("a note is changed outside, and a directory is deleted")
	before, file := s.markOf("net", "a")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), `"first"`, `"by hand"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	drift := m.checkDrift("net")
	m.wantDrift(drift, "changed "+folder+`["a"].note`)
	if i := drift.Drift[0]; i.Want != `"first"` || i.Found != `"by hand"` || i.DataBearing != true {
		t.Errorf("it says %+v", i)
	}
	m.mended("net")
	if now, _ := s.markOf("net", "a"); now != before {
		t.Errorf("put back, it is %+v, was %+v", now, before)
	}
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	m.wantDrift(m.checkDrift("net"), "gone "+folder+`["a"]`)
	run := m.remedy("net", true)
	if run.Phase != stacks.PhaseAwaiting || !strings.Contains(run.NeedsApproval, "its data is gone") {
		t.Fatalf("the remedy of what was deleted is %s: it needs %q", run.Phase, run.NeedsApproval)
	}
	m.approve(run)
	s.wantDone(m, run.ID)
	if now, _ := s.markOf("net", "a"); now.Note != "first" || now.Birth == before.Birth {
		t.Errorf("made anew it is %+v, was %+v", now, before)
	}
	m.wantDrift(m.checkDrift("net"))
	m.destroy("net")
	if left, err := os.ReadDir(filepath.Join(s.data, "folders-net")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	m.nothingLeft()
}

// TestOutputsOfAnother submits two databases of which one takes a result of the other that only its apply tells: it waits, and gets it. What
// is sensitive is kept as a secret, given to nobody, and stands nowhere in clear; a spec whose dependency is not there is refused at its line.
func TestOutputsOfAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	s.rootsOf("net", "shop", "spy")
	net := s.folders("net", "folders: {a: {}}\ntoken: {secret: token}\n", "outputs: {export: [births], secret: token}\n", "")
	takes := func(name, output string) string {
		return s.folders(name, "folders:\n  b: {note: {fromDatabase: {name: net, region: main, output: "+output+"}}}\n", "", "dependsOn: [{name: net}]\n")
	}
	shop := takes("shop", "births")
	_, err := m.submitWith(shop, foldersModule)
	var p *orchestrator.Problem
	line := 1 + strings.Count(shop[:strings.Index(shop, "{name: net}]")], "\n")
	if !errors.As(err, &p) || len(p.Diagnostics) != 1 || p.Diagnostics[0].Rule != "depends.unknown" || p.Diagnostics[0].File != "spec.yaml" ||
		p.Diagnostics[0].Line != line || p.Diagnostics[0].Column != 15 {
		t.Fatalf("without what it depends on: %+v", err)
	}

	archive := packed(t, foldersModule)
	document := func(file, text string) orchestrator.Document {
		return orchestrator.Document{File: file, Text: text, Modules: map[string][]byte{"./module": archive}}
	}
	_, err = m.Submit(t.Context(), orchestrator.SubmitRequest{
		Documents: []orchestrator.Document{document("shop.yaml", takes("shop", "token")), document("net.yaml", net)}, Yes: true, Actor: "test",
	})
	refused := func(d stacks.Diagnostic) bool { return d.Rule == "output.sensitive" && d.File == "shop.yaml" }
	if !errors.As(err, &p) || !slices.ContainsFunc(p.Diagnostics, refused) {
		t.Fatalf("wanting a sensitive output of what is submitted beside: %v", err)
	}
	res, err := m.Submit(t.Context(), orchestrator.SubmitRequest{
		Documents: []orchestrator.Document{document("shop.yaml", shop), document("net.yaml", net)}, Yes: true, Actor: "test",
	})
	if err != nil {
		t.Fatalf("submit: %+v", err)
	}
	var ended []time.Time
	for _, run := range res.Runs {
		v := s.wantDone(m, run.ID)
		ended = append(ended, *v.EndedAt)
	}
	if !ended[0].After(ended[1]) {
		t.Errorf("shop ended at %s, before net at %s, which it depends on", ended[0], ended[1])
	}
	of, _ := s.markOf("net", "a")
	if got, _ := s.markOf("shop", "b"); of.Birth == "" || got.Note != of.Birth {
		t.Errorf("shop was given %q, want the birth %q", got.Note, of.Birth)
	}
	if again := m.doneWith(shop, foldersModule); again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}

	for output, rule := range map[string]string{"token": "output.sensitive", "birth": "output.unknown"} {
		spy := takes("spy", output)
		_, err = m.submitWith(spy, foldersModule)
		line := 1 + strings.Count(spy[:strings.Index(spy, "{fromDatabase:")], "\n")
		if !errors.As(err, &p) || len(p.Diagnostics) != 1 || p.Diagnostics[0].Rule != rule || p.Diagnostics[0].Line != line || p.Diagnostics[0].Column == 0 || p.Diagnostics[0].Next == "" {
			t.Errorf("who wants the output %s is told %+v, want %s at line %d", output, err, rule, line)
		}
	}
	ref := providers.InputRef{OutputRef: stacks.OutputRef{Dependency: stacks.Dependency{Namespace: stacks.DefaultNamespace, Name: "net"}, Region: "main", Output: "token"}}
	if _, err := activities.ReadOutputs(t.Context(), m.catalog, m.journal, []providers.InputRef{ref}); err == nil || !strings.Contains(err.Error(), "is sensitive and is not given to other databases") {
		t.Errorf("a plan that wants a sensitive output: %v", err)
	}
	secrets := []secret{}
	for _, name := range []string{"region/main/token", "region/main/output"} {
		text, err := m.catalog.Secret(t.Context(), m.incarnation("net"), name)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret{name, text})
	}
	if secrets[0].text != secrets[1].text {
		t.Error("the output that holds the secret was not kept as it is")
	}
	hay := newHaystack(secrets[0])
	for id, text := range m.payloads() {
		if found := hay.find(text); len(found) > 0 {
			t.Errorf("the history of %s holds %v", id, found)
		}
	}
	_, err = m.Destroy(t.Context(), stacks.DefaultNamespace, "net", "test")
	if !errors.As(err, &p) || !strings.Contains(p.Error(), "is needed by default/shop") {
		t.Errorf("destroying what others need: %v", err)
	}
	for _, name := range []string{"shop", "net"} {
		m.destroy(name)
	}
	m.close() // before its files are read: see store.lockFiles
	s.search(hay)
}

// secretMaker is a module that makes its database's password by itself, and marks it as sensitive.
var secretMaker = map[string]string{"main.tf": `terraform {
  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}

variable "server" {
  type = any
}

resource "terraform_data" "password" {
  input = uuid()

  lifecycle {
    ignore_changes = [input]
  }
}

resource "localdb_postgres" "this" {
  name                      = "made"
  owner                     = "somebody-else"
  address                   = var.server.address
  port                      = 5432
  data_dir                  = var.server.data_dir
  engine_version            = var.server.version
  admin_password_wo         = terraform_data.password.output
  admin_password_wo_version = 1
}

output "cluster" {
  value = {
    hosts = [localdb_postgres.this.address]
    port  = tostring(localdb_postgres.this.port)
    login = { user = localdb_postgres.this.admin_user, password = terraform_data.password.output }
  }
  sensitive = true
}

output "hosts" {
  value = [localdb_postgres.this.address]
}

output "port" {
  value = tostring(localdb_postgres.this.port)
}

output "user" {
  value = localdb_postgres.this.admin_user
}
`}

// TestPasswordOfAModule takes the administrator's password from inside a sensitive output of the module: the database is reached with it,
// checked, and its password stands nowhere in clear.
func TestPasswordOfAModule(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	if err := os.MkdirAll(filepath.Join(s.data, "servers"), 0o711); err != nil {
		t.Fatal(err)
	}
	spec := fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: orders}
spec:
  engine: {name: postgres, version: %q}
  databases: [{name: orders, owner: orders_app}]
  users: [{name: orders_app}]
  regions:
    - name: ankara
      provider: module
      role: primary
      settings:
        source: ./module
        requiredProviders:
          localdb: {source: meridian.internal/meridian/localdb, version: %q}
        inputs:
          server: {address: 127.77.1.10, data_dir: %s, version: %q}
        outputs: {host: hosts.0, port: port, user: user, secret: cluster.login.password}
        endpoint: {tls: disable}
        ready: {gate: command, command: [sh, -c, "echo \"$MERIDIAN_OUTPUTS\" | grep -q '\"port\":\"5432\"'"]}
  deletion: {protect: false}
`, newestMajor(t), s.pluginVersion(), filepath.Join(s.data, "servers", "made"), newestMajor(t))
	m.doneWith(spec, secretMaker)
	if got := m.query("orders", "ankara", "select current_user"); got != "orders_app" {
		t.Errorf("the user of the spec is %s", got)
	}
	if again := m.doneWith(spec, secretMaker); again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	m.wantDrift(m.checkDrift("orders"))
	m.asAdmin("orders", "ankara", "postgres", "ALTER ROLE orders_app PASSWORD 'somebody-elses-password'")
	m.wantDrift(m.checkDrift("orders"), "login ankara: user orders_app")
	m.mended("orders")
	password, err := m.catalog.Secret(t.Context(), m.incarnation("orders"), "region/ankara/output")
	if err != nil {
		t.Fatal(err)
	}
	hay := newHaystack(secret{"region/ankara/output", password})
	for id, text := range m.payloads() {
		if found := hay.find(text); len(found) > 0 {
			t.Errorf("the history of %s holds %v", id, found)
		}
	}
	m.destroy("orders")
	m.nothingLeft()
	m.close() // before its files are read: see store.lockFiles
	s.search(hay)
}

// TestModuleKilledInACreate kills terraform with its plugins while a module makes its objects: what is in the state is untouched, and each
// object that was in flight is asked about with evidence. One command answers, and nothing is made twice.
func TestModuleKilledInACreate(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	s.rootsOf("net")
	srv := s.serve(func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, pgserver.EnvDelay+"=20s") })
	spec := s.folders("net", "folders: {a: {}, b: {}, c: {}}\n", "", "")
	submit := func() orchestrator.RunView {
		t.Helper()
		res, err := srv.Submit(t.Context(), orchestrator.SubmitRequest{
			Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec, Modules: map[string][]byte{"./module": packed(t, foldersModule)}}}, Yes: true, Actor: "test",
		})
		if err != nil {
			t.Fatalf("submit: %+v", err)
		}
		return res.Runs[0]
	}
	run := submit()
	s.inFlight("create", 3)
	if s.killAll("terraform apply", "terraform-provider-localdb") == 0 {
		t.Fatal("nothing to kill")
	}
	v := srv.wait(run.ID)
	if v.Phase != stacks.PhaseAwaiting || len(v.Questions) != 3 {
		t.Fatalf("run is %s (%s): %s, %+v\n%s", v.Phase, v.Reason, v.Message, v.Questions, logOf(srv, v.ID))
	}
	for i, q := range v.Questions {
		if want := fmt.Sprintf("module.database.localdb_directory.folder[%q]", string(rune('a'+i))); q.Address != want || !strings.Contains(q.Evidence, "the module ./module") {
			t.Errorf("asks about %s with evidence %q, want about %s", q.Address, q.Evidence, want)
		}
	}
	// Who looks sees which of them are there.
	there := 0
	for _, q := range v.Questions {
		name := q.Address[len(q.Address)-3 : len(q.Address)-2]
		if _, err := os.Stat(filepath.Join(s.data, "folders-net", name, "meridian.json")); err == nil {
			there++
			text, err := command("run", "answer", v.ID, "--data", s.data, "--resource", q.Address, "--adopt", filepath.Join(s.data, "folders-net", name)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
	}
	if there < 3 {
		text, err := command("run", "answer", v.ID, "--data", s.data, "--all", "--absent").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	srv.wantDone(v.ID)
	s.finishedOnce()
	for _, name := range []string{"a", "b", "c"} {
		if got, _ := s.markOf("net", name); got.Owner != "somebody-else" {
			t.Errorf("%s is %+v", name, got)
		}
	}
	if again := srv.wait(submit().ID); again.Phase != stacks.PhaseDone || again.HasChanges {
		t.Errorf("the same spec again is %s and has changes: %+v", again.Phase, again.Changes)
	}
}
