package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

func TestPlanMakesAnArtifact(t *testing.T) {
	w := newWorld(t)
	s := w.items(3, 0)
	step := w.put(journal.StepPlan, s, nil)
	r := w.do(step)
	if r.Outcome != journal.OutcomeChanges || r.ExitCode != 2 || r.Serial != 1 || r.Launches != 1 {
		t.Fatalf("plan: %+v\n%s", r, w.log())
	}
	a, err := w.journal.Artifact(context.Background(), r.Artifact)
	check(t, err)
	if a.Run != w.run.ID || a.StateSerial != 1 || a.StackDigest != s.Digest || a.WorkPath != w.site.WorkDir(w.id) || a.Terraform == "" || a.Template == "" {
		t.Errorf("artifact: %+v", a)
	}
	created := 0
	for _, c := range a.Changes {
		if c.Action == stacks.ActionCreate && c.Type == "terraform_data" && c.Region == "ankara" && c.DataBearing {
			created++
		}
	}
	if created != 3 {
		t.Errorf("changes: %+v", a.Changes)
	}
	names := map[string]bool{}
	for _, f := range a.Files {
		names[f.Path] = true
	}
	if !names[terraform.PlanFile] || !names["main.tf"] || names[terraform.StateFileName] {
		t.Errorf("files of the artifact: %v", names)
	}
	if text := w.events(step); !strings.Contains(text, `"planned_change"`) || !strings.Contains(text, `"change_summary"`) {
		t.Errorf("events: %s", text)
	}
	if w.lines("begin") != 0 {
		t.Error("a plan made something")
	}
	w.clean()
}

func TestApplyThenNothingChanged(t *testing.T) {
	w := newWorld(t)
	s := w.items(3, 0)
	apply := w.applyStep(s, w.plan(s))
	r := w.do(apply)
	if r.Outcome != journal.OutcomeApplied || r.ExitCode != 0 || r.Serial <= 1 {
		t.Fatalf("apply: %+v\n%s", r, w.log())
	}
	st, file := w.state()
	if st.Serial != r.Serial || len(file.Resources) != 3 || file.Outputs["count"] != 3.0 {
		t.Errorf("state %d: %+v", st.Serial, file)
	}
	if w.lines("end") != 3 {
		t.Errorf("made %d of 3", w.lines("end"))
	}
	if text := w.events(apply); strings.Count(text, `"apply_complete"`) != 3 {
		t.Errorf("events: %s", text)
	}
	w.clean()

	// Started again, it finds its result and touches nothing.
	if again := w.do(apply); !again.FinishedAt.Equal(r.FinishedAt) {
		t.Errorf("the second start wrote another result: %+v", again)
	}
	w.end()
	w.submit(true)
	same := w.do(w.put(journal.StepPlan, s, nil))
	if same.Outcome != journal.OutcomeUnchanged || same.Artifact != "" || same.Launches != 1 {
		t.Errorf("plan of the same: %+v", same)
	}
	w.clean()
}

func TestDestroyLeavesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.items(2, 0)
	w.do(w.applyStep(s, w.plan(s)))
	w.end()
	w.submit(true)
	plan := w.do(w.put(journal.StepPlan, s, func(st *journal.Step) { st.Destroy = true }))
	for _, c := range plan.Changes {
		if strings.HasPrefix(c.Address, "terraform_data") && !c.Dangerous() {
			t.Errorf("not dangerous: %+v", c)
		}
	}
	w.planned(plan, s)
	r := w.do(w.applyStep(s, plan))
	if r.Outcome != journal.OutcomeApplied {
		t.Fatalf("destroy: %+v", r)
	}
	if _, file := w.state(); len(file.Resources) != 0 {
		t.Errorf("state: %+v", file.Resources)
	}
	w.clean()
	for _, path := range []string{w.site.RunnerLock(w.id), w.site.StackLock(w.id)} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestFailedApplySaysWhyAndKeepsTheState(t *testing.T) {
	w := newWorld(t)
	s := w.stack(`
resource "terraform_data" "good" {}
resource "terraform_data" "bad" {
  depends_on = [terraform_data.good]
  provisioner "local-exec" {
    command = "echo this one cannot be made >&2; exit 3"
  }
}
`)
	r := w.do(w.applyStep(s, w.plan(s)))
	if r.Outcome != journal.OutcomeFailed || r.ExitCode != 1 || r.Retryable {
		t.Fatalf("apply: %+v", r)
	}
	d := r.Diagnostics[0]
	if d.Severity != stacks.SeverityError || d.Address != "terraform_data.bad" || d.File != "main.tf" || d.Line == 0 {
		t.Errorf("diagnostic: %+v", d)
	}
	if _, file := w.state(); len(file.Resources) != 2 || !file.Resources[0].Tainted {
		t.Errorf("state: %+v", file.Resources)
	}
	w.clean()
}

func TestBrokenStackFailsItsPlan(t *testing.T) {
	w := newWorld(t)
	r := w.do(w.put(journal.StepPlan, w.stack(`resource "terraform_data" "x" { inputt = 1 }`), nil))
	if r.Outcome != journal.OutcomeFailed || r.Retryable || len(r.Diagnostics) == 0 || r.Diagnostics[0].File != "main.tf" {
		t.Fatalf("plan: %+v", r)
	}
	w.clean()
}

func TestCheckTakesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.items(2, 0)
	w.do(w.applyStep(s, w.plan(s)))
	before, err := w.journal.Head(context.Background(), w.id)
	check(t, err)
	for name, c := range map[string]struct {
		stack stacks.Stack
		want  journal.Outcome
	}{
		"unchanged": {s, journal.OutcomeUnchanged},
		"changes":   {w.items(4, 0), journal.OutcomeChanges},
		"broken":    {w.stack("resource"), journal.OutcomeFailed},
	} {
		r := w.do(w.put(journal.StepCheck, c.stack, nil))
		if r.Outcome != c.want || r.Artifact != "" {
			t.Errorf("%s: %+v", name, r)
		}
		if c.want == journal.OutcomeChanges && len(r.Changes) == 0 {
			t.Errorf("%s: no changes", name)
		}
	}
	after, err := w.journal.Head(context.Background(), w.id)
	check(t, err)
	if after != before {
		t.Errorf("a check moved the head: %+v, then %+v", before, after)
	}
	w.clean()
	if left, _ := os.ReadDir(w.site.CheckDir("")); len(left) > 0 {
		t.Errorf("a check left %v", left)
	}
}

// TestCheckOfAStackThatIsYetToBeBorn wants a plan that creates, and neither a head nor a secret made for it.
func TestCheckOfAStackThatIsYetToBeBorn(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	id := w.id
	id.Region = "izmir"
	s := w.stack("variable \"password\" {\n  type      = string\n  ephemeral = true\n}\n\nresource \"terraform_data\" \"item\" {}\n")
	s.ID, s.Secrets = id, map[string]string{"password": "region/izmir/admin"}
	if r := w.do(w.put(journal.StepCheck, s, nil)); r.Outcome != journal.OutcomeChanges || len(r.Changes) != 1 || r.Changes[0].Action != stacks.ActionCreate {
		t.Errorf("the check found %+v", r)
	}
	if _, err := w.journal.Head(ctx, id); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a head was made: %v", err)
	}
	if _, err := w.catalog.Secret(ctx, id.Incarnation, "region/izmir/admin"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("a secret was made: %v", err)
	}
}

func TestFindTemplateAndShow(t *testing.T) {
	w := newWorld(t)
	s := w.items(1, 0)
	step := w.put(journal.StepPlan, s, nil)
	plan := w.do(step)
	exe, err := os.Executable()
	check(t, err)
	verb := func(into any, args ...string) {
		t.Helper()
		out, err := exec.Command(exe, append([]string{args[0], "--data", w.site.Root}, args[1:]...)...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		check(t, json.Unmarshal(out, into))
	}
	var found terraform.FindAnswer
	verb(&found, "find")
	if found.Terraform.Path == "" || found.Terraform.Version == "" || found.Terraform.Product == "" {
		t.Errorf("find: %+v", found)
	}
	var made terraform.TemplateAnswer
	verb(&made, "template", "--step", step)
	if made.Hash == "" {
		t.Errorf("template: %+v", made)
	}
	var shown struct {
		Changes []struct{ Address string } `json:"resource_changes"`
	}
	verb(&shown, "show", "--artifact", plan.Artifact)
	if len(shown.Changes) != 1 || shown.Changes[0].Address != "terraform_data.item[0]" {
		t.Errorf("show: %+v", shown)
	}
	w.clean()
}
