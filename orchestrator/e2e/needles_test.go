package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"meridian/orchestrator"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// needlesModule is a module of somebody else that puts secrets wherever it can: into attributes and outputs of its state, into what its provider says
// when it fails, and into what a program of its prints.
var needlesModule = map[string]string{
	"main.tf": `terraform {
  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}

resource "terraform_data" "kept" {
  input = var.token
}

resource "terraform_data" "made" {
  input = sensitive("made-${uuid()}")
  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "told" {
  provisioner "local-exec" {
    command     = "echo said $TOLD and $MADE; echo $MADE >&2"
    environment = {
      TOLD = nonsensitive(var.token)
      MADE = nonsensitive(terraform_data.made.output)
    }
  }
}

resource "localdb_directory" "wrong" {
  count      = var.wrong ? 1 : 0
  depends_on = [terraform_data.told]

  path  = "/proc/${terraform_data.made.output}-${var.token}"
  owner = "somebody-else"
  note  = "nothing"
}

resource "terraform_data" "slow" {
  count      = var.wrong ? 0 : 1
  depends_on = [terraform_data.told]
  provisioner "local-exec" {
    command = "touch ${var.gate}.begun; until [ -e ${var.gate} ]; do sleep 0.05; done"
  }
}
`,
	"variables.tf": `variable "token" {
  type      = string
  sensitive = true
}

variable "wrong" {
  type = bool
}

variable "gate" {
  type = string
}
`,
	"outputs.tf": `output "token" {
  value     = { inside = [terraform_data.kept.output] }
  sensitive = true
}

output "made" {
  value     = terraform_data.made.output
  sensitive = true
}
`,
}

// holds lists what of the secrets lies in which file of a directory, by its path from there.
func holds(t testing.TB, dir string, hay *haystack) map[string][]finding {
	t.Helper()
	out := map[string][]finding{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a file of something that runs may vanish
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if found := hay.find(text); len(found) > 0 {
			rel, _ := filepath.Rel(dir, path)
			out[rel] = found
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNoSecretOfAModuleInClear has a module of somebody else put secrets into its state, into the error of its provider and into what its program
// prints; has an apply of it fail, and another one killed in the middle with the server, its runner, its shim and terraform; and then looks for these
// secrets in every byte under the data directory, the server's log, every history, argument and answer. They are in clear in the work directory
// while a step is not over, and nowhere else.
func TestNoSecretOfAModuleInClear(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	processes := watchProcesses(t)
	gate := filepath.Join(s.aside(), "gate")
	srv := s.serve()
	spec := func(wrong bool) orchestrator.Document {
		text := fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: needles}
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
        inputs: {token: {secret: token}, wrong: %t, gate: %q}
        outputs: {secret: made}
  deletion: {protect: false}
`, s.pluginVersion(), wrong, gate)
		return orchestrator.Document{File: "spec.yaml", Text: text, Modules: map[string][]byte{"./module": packed(t, needlesModule)}}
	}
	submit := func(wrong bool) orchestrator.RunView {
		t.Helper()
		res, err := srv.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{spec(wrong)}, Yes: true, Actor: "test"})
		if err != nil {
			t.Fatalf("submit: %+v", err)
		}
		return res.Runs[0]
	}

	t.Log("the provider fails, and says what it was given")
	failed := srv.wait(submit(true).ID)
	if failed.Phase != stacks.PhaseFailed {
		t.Fatalf("run is %s: %s\n%s", failed.Phase, failed.Message, logOf(srv, failed.ID))
	}
	m := s.look()
	incarnation := m.newest("needles").Incarnation
	token, err := m.catalog.Secret(t.Context(), incarnation, "region/main/token")
	if err != nil {
		t.Fatal(err)
	}
	id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: "needles", Incarnation: incarnation, Region: "main"}
	state, err := m.journal.LatestState(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`made-[0-9a-f-]{36}`).FindString(string(state.Payload))
	if made == "" || !strings.Contains(string(state.Payload), token) {
		t.Fatalf("the state does not have them: the search would find nothing: %s\n%s", failed.Message, logOf(srv, failed.ID))
	}
	hay := newHaystack(secret{"token", token}, secret{"made", made})
	if text := logOf(srv, failed.ID); !strings.Contains(text, "said (sensitive value) and (sensitive value)") || !strings.Contains(text, "/proc/(sensitive value)-(sensitive value)") {
		t.Errorf("what was said is not in the run's log:\n%s", text)
	}
	if err := m.store.Close(); err != nil { // before its files are read: see store.lockFiles
		t.Fatal(err)
	}
	for path, found := range holds(t, s.data, hay) {
		t.Errorf("after a failed apply, %s holds %v", path, found)
	}

	t.Log("everything is killed in the middle of an apply")
	run := submit(false)
	s.eventually("an object is being made", func() error {
		_, err := os.Stat(gate + ".begun")
		return err
	})
	srv.kill()
	s.eventually("nothing of it lives", func() error {
		for _, pid := range s.processes() {
			_ = kill(pid)
		}
		if len(s.processes()) > 0 {
			return errNotYet
		}
		return nil
	})
	work := 0
	for path, found := range holds(t, s.data, hay) {
		if !strings.HasPrefix(path, "work"+string(filepath.Separator)) {
			t.Errorf("after the kill, %s holds %v", path, found)
			continue
		}
		work++
		for dir := filepath.Join(s.data, "work"); ; dir = filepath.Join(dir, strings.Split(path, string(filepath.Separator))[1]) {
			info, err := os.Stat(dir)
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v, want 0700", dir, info.Mode(), err)
			}
			if filepath.Base(dir) != "work" {
				break
			}
		}
	}
	if _, err := os.Stat(filepath.Join(terraform.Site{Root: s.data}.SpoolDir(id), "attempt.json")); work == 0 || err != nil {
		t.Errorf("%d files of the work directory hold a secret, and there is a spool: %v: the search finds nothing", work, err)
	}

	t.Log("it goes on")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	srv = s.serve()
	if v := srv.wait(run.ID); v.Phase == stacks.PhaseAwaiting {
		if text, err := command("run", "answer", v.ID, "--data", s.data, "--all", "--absent").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	srv.wantDone(run.ID)
	heard := &heard{srv: srv}
	heard.cli("drift", "check", "needles")
	for _, path := range []string{
		"/databases/default/needles", "/runs/" + failed.ID, "/runs/" + failed.ID + "/logs?limit=5000", "/runs/" + run.ID, "/runs/" + run.ID + "/logs?limit=5000",
	} {
		heard.get(path)
	}
	for _, args := range [][]string{
		{"describe", "needles"}, {"run", "logs", failed.ID}, {"run", "logs", run.ID}, {"run", "watch", run.ID}, {"state", "list", "needles", "main"},
		{"state", "show", "needles", "main"}, {"drift", "show", "needles"},
	} {
		heard.cli(args...)
	}
	for where, text := range heard.texts {
		if found := hay.find(text); len(found) > 0 {
			t.Errorf("%s tells %v", where, found)
		}
	}
	pulled, err := command("state", "pull", "needles", "main", "--with-secrets", "--data", s.data).Output()
	if err != nil || len(hay.find(pulled)) != 2 {
		t.Errorf("a state that was asked for has %v of them, %v: the search finds nothing", hay.find(pulled), err)
	}
	srv.stop()
	for _, dir := range []string{s.data, s.aside()} {
		for path, found := range holds(t, dir, hay) {
			t.Errorf("in the end, %s holds %v", path, found)
		}
	}
	for _, gone := range []string{"work", "check", "spool"} {
		if left, err := os.ReadDir(filepath.Join(s.data, gone)); len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s holds %v, %v", gone, left, err)
		}
	}
	processes.stop()
	seen := map[string]bool{}
	for sight := range processes.seen {
		if found := hay.find([]byte(sight.args)); len(found) > 0 {
			t.Errorf("the arguments of a %s hold %v", sight.program, found)
		}
		if found := hay.find([]byte(sight.environ)); len(found) > 0 {
			seen[sight.program] = true
		}
	}
	if seen["meridian"] || !seen["terraform"] {
		t.Errorf("secrets were in the environment of %v, want terraform and what it starts", seen)
	}

	live := s.start()
	histories := live.payloads()
	live.close()
	if len(histories) < 4 {
		t.Errorf("%d histories, want those of funnel, runs and regions", len(histories))
	}
	for id, text := range histories {
		if found := hay.find(text); len(found) > 0 {
			t.Errorf("the history of %s holds %v", id, found)
		}
	}
}
