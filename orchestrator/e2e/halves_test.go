package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/orchestrator"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

// movingModule makes directories that another generation replaces.
func movingModule(lifecycle string) map[string]string {
	files := maps.Clone(foldersModule)
	files["main.tf"] = strings.NewReplacer(`${each.key}"`, `${each.key}-${var.generation}"`, "note  = each.value.note\n", "note  = each.value.note\n"+lifecycle).Replace(files["main.tf"])
	files["variables.tf"] += "\nvariable \"generation\" {\n  type = number\n}\n"
	return files
}

// TestKilledBetweenTheHalves kills terraform and its plugins while it replaces what somebody approved to be replaced: in the delete that comes
// first, in the create that comes last, and the other way round. The run finishes both halves under that one yes, whatever it has to ask of
// what nobody can look up; it makes nothing twice and leaves nothing of the old.
func TestKilledBetweenTheHalves(t *testing.T) {
	ledgerFile()
	const newFirst = "\n  lifecycle {\n    create_before_destroy = true\n  }\n"
	for name, c := range map[string]struct {
		lifecycle, op string
		ended         string // another operation that has come to its end before the kill, at least once
	}{
		"in the delete, which is first": {"", "delete", ""},
		"in the create, which is last":  {"", "create", "delete"},
		"in the create, which is first": {newFirst, "create", ""},
		"in the delete, which is last":  {newFirst, "delete", "create"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.rootsOf("net")
			srv := s.serve()
			allow := ""
			submit := func(generation int) orchestrator.RunView {
				t.Helper()
				spec := s.folders("net", fmt.Sprintf("folders: {a: {}, b: {}, c: {}}\ngeneration: %d\n", generation), "", allow)
				res, err := srv.Submit(t.Context(), orchestrator.SubmitRequest{
					Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec, Modules: map[string][]byte{"./module": packed(t, movingModule(c.lifecycle))}}}, Actor: "test",
				})
				if err != nil {
					t.Fatalf("submit: %+v", err)
				}
				return srv.wait(res.Runs[0].ID)
			}
			approve := func(v orchestrator.RunView) {
				t.Helper()
				if _, err := srv.Approve(t.Context(), v.ID, v.PlanDigest, "ada"); err != nil {
					t.Fatal(err)
				}
			}
			v := submit(1)
			approve(v)
			srv.wantDone(v.ID)
			srv.stop()
			before := len(s.ledger())
			srv = s.serve(func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, pgserver.EnvDelay+"=4s") })
			allow = "allowReplace: [main]\n"
			v = submit(2)
			if v.Phase != stacks.PhaseAwaiting || len(v.Changes) < 3 || v.Changes[0].Action != stacks.ActionReplace {
				t.Fatalf("the replacement is %s: %s, %+v", v.Phase, v.Message, v.Changes)
			}
			approve(v)
			s.eventually("terraform is between the halves", func() error {
				begun, ended := map[string]int{}, map[string]int{}
				for _, l := range s.ledger()[before:] {
					switch l.Phase {
					case "begin":
						begun[l.Op]++
					case "end":
						ended[l.Op]++
					}
				}
				if begun[c.op] == ended[c.op] || c.ended != "" && ended[c.ended] == 0 {
					return errNotYet
				}
				return nil
			})
			if s.killAll("terraform apply", "terraform-provider-localdb") == 0 {
				t.Fatal("nothing to kill")
			}
			var removed []string
			for v = srv.wait(v.ID); v.Phase == stacks.PhaseAwaiting && v.Reason == "Question"; v = srv.wait(v.ID) {
				for _, q := range v.Questions { // who looks sees which of them are there
					name := q.Address[len(q.Address)-3 : len(q.Address)-2]
					answer := orchestrator.AnswerRequest{Run: v.ID, Address: q.Address, Kind: "absent", Actor: "ada"}
					switch dir := filepath.Join(s.data, "folders-net", name+"-2"); {
					case strings.Contains(q.Question, "beside the object that it replaces"):
						if err := os.RemoveAll(dir); err != nil { // as it asks for: the state still has the old one there
							t.Fatal(err)
						}
						removed = append(removed, dir)
					case exists(filepath.Join(dir, "meridian.json")):
						answer.Kind, answer.ImportID = "adopt", dir
					}
					t.Logf("answer: %s %s", q.Address, answer.Kind)
					if _, err := srv.Answer(t.Context(), answer); err != nil {
						t.Fatal(err)
					}
				}
			}
			if v.Phase == stacks.PhaseAwaiting {
				t.Fatalf("it wants another yes: %s %s\n%+v\n%s", v.NeedsApproval, v.Message, v.Changes, logOf(srv, v.ID))
			}
			v = srv.wantDone(v.ID)
			s.finishedOnce(removed...)
			var left []string
			dirs, err := os.ReadDir(filepath.Join(s.data, "folders-net"))
			for _, d := range dirs {
				left = append(left, d.Name())
			}
			if fmt.Sprint(left) != "[a-2 b-2 c-2]" {
				t.Errorf("there are %v (%v)", left, err)
			}
			audits, err := s.look().catalog.Audits(t.Context(), stacks.DefaultNamespace, "net", 0)
			if err != nil {
				t.Fatal(err)
			}
			said := map[string]int{}
			for _, a := range audits {
				if a.RunID == v.ID {
					said[a.Verb]++
				}
			}
			if said["approve"] != 1 || said["carry-over"] == 0 {
				t.Errorf("audit %v, want one yes that was carried over", said)
			}
			allow = ""
			if again := submit(2); again.Phase != stacks.PhaseDone || again.HasChanges {
				t.Errorf("the same spec again is %s and has changes: %+v", again.Phase, again.Changes)
			}
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
