package terraform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/stacks"
)

const realSecret = "hunter2-very-secret"

const firstConfig = `
variable "pw" {
  type      = string
  ephemeral = true
}
variable "token" {
  type      = string
  sensitive = true
  default   = "` + realSecret + `"
}
variable "broken" {
  default = false
}
resource "terraform_data" "a" {
  input = {
    n      = 1
    half   = 3.5
    tenth  = 0.1
    big    = 123456789012345678901234567890
    html   = "<a & b>"
    list   = [1, 2, 3]
    nested = [{ name = "x", token = var.token }, { name = "y", token = "plain" }]
    none   = null
    "a b"  = { empty = {}, list = [] }
  }
}
resource "terraform_data" "each" {
  for_each         = toset(["k/1", "two.x[0]"])
  input            = terraform_data.a.id
  triggers_replace = ["v1", { deep = "v1" }]
}
resource "terraform_data" "gone" { input = "gone" }
resource "terraform_data" "forgotten" { input = "forgotten" }
resource "terraform_data" "old" { input = var.token }
module "m" {
  source = "./m"
  for_each = { "k.1" = "x" }
  in = each.value
}
output "id" { value = terraform_data.a.id }
output "token" {
  value     = var.token
  sensitive = true
}
output "list" { value = [1, 2.5, "x"] }
output "dropped" { value = "dropped" }
`

const firstModule = `
variable "in" {}
resource "terraform_data" "inner" {
  count = 2
  input = "${var.in}${count.index}"
}
`

// TestReadPlanEqualsShow goes through a stack's life; at each plan, both readers must agree (in realTerraform.plan).
func TestReadPlanEqualsShow(t *testing.T) {
	tf := newRealTerraform(t, map[string]string{"pw": realSecret + "-ephemeral"})
	tf.write(t, "main.tf", firstConfig)
	tf.write(t, "m/main.tf", firstModule)
	tf.write(t, ModulesFile, string(ModulesJSON([]stacks.ModuleEntry{{Key: "m", Source: "./m", Dir: "m"}})))

	create := tf.plan(t)
	if create.Mode != PlanNormal || create.Errored || create.TerraformVersion == "" {
		t.Errorf("plan is %+v", create)
	}
	a := changeOf(t, create, "terraform_data.a")
	if a.Action != stacks.ActionCreate || !a.DataBearing || a.Dangerous() || a.Type != "terraform_data" {
		t.Errorf("create is %+v", a)
	}
	for path, want := range map[string]stacks.AttributeChange{
		"id":                    {Unknown: true},
		"input.n":               {After: "1"},
		"input.half":            {After: "3.5"},
		"input.tenth":           {After: "0.1"},
		"input.big":             {After: "123456789012345678901234567890"},
		"input.html":            {After: `"<a & b>"`},
		"input.list":            {After: "[1,2,3]"},
		"input.nested[0].name":  {After: `"x"`},
		"input.nested[0].token": {Sensitive: true},
		"input.nested[1].token": {After: `"plain"`},
		`input["a b"].empty`:    {After: "{}"},
	} {
		want.Path = path
		if got := attributeOf(t, a, path); got != want {
			t.Errorf("%s is %+v, want %+v", path, got, want)
		}
	}
	if inner := changeOf(t, create, `module.m["k.1"].terraform_data.inner[1]`); inner.Type != "terraform_data" {
		t.Errorf("type of a resource in a module is %q", inner.Type)
	}
	if token := attributeOf(t, changeOf(t, create, "output.token"), "value"); !token.Sensitive || token.After != "" {
		t.Errorf("a sensitive output shows as %+v", token)
	}
	if text := indented(t, create); strings.Contains(text, realSecret) {
		t.Errorf("a secret in the changes:\n%s", text)
	}
	tf.apply(t)
	if same := tf.plan(t); len(same.Changes) != 0 || len(same.Drift) != 0 {
		t.Errorf("nothing changed, and the plan has %+v, drift %+v", same.Changes, same.Drift)
	}

	second := strings.NewReplacer(
		"n      = 1", "n      = 2", "list   = [1, 2, 3]", "list   = [1, 3]", `deep = "v1"`, `deep = "v2"`,
		`resource "terraform_data" "gone" { input = "gone" }`, `import {
  to = terraform_data.imported
  id = "given"
}
resource "terraform_data" "imported" {}`,
		`resource "terraform_data" "forgotten" { input = "forgotten" }`, `removed {
  from = terraform_data.forgotten
  lifecycle {
    destroy = false
  }
}`,
		`resource "terraform_data" "old" { input = var.token }`, `moved {
  from = terraform_data.old
  to   = terraform_data.new
}
resource "terraform_data" "new" { input = var.token }`,
		`"k.1" = "x"`, `"k.2" = "x"`, `token = "plain"`, `token = var.token`, `output "dropped" { value = "dropped" }`, "",
	).Replace(firstConfig)
	tf.write(t, "main.tf", second)
	change := tf.plan(t)
	for address, want := range map[string]stacks.Action{
		"terraform_data.a":                        stacks.ActionUpdate,
		`terraform_data.each["k/1"]`:              stacks.ActionReplace,
		`terraform_data.each["two.x[0]"]`:         stacks.ActionReplace,
		"terraform_data.gone":                     stacks.ActionDelete,
		"terraform_data.forgotten":                stacks.ActionForget,
		"terraform_data.imported":                 stacks.ActionNoop,
		"terraform_data.new":                      stacks.ActionNoop,
		`module.m["k.1"].terraform_data.inner[0]`: stacks.ActionDelete,
		`module.m["k.2"].terraform_data.inner[0]`: stacks.ActionCreate,
		"output.dropped":                          stacks.ActionDelete,
	} {
		if got := changeOf(t, change, address); got.Action != want {
			t.Errorf("%s: %s, want %s", address, got.Action, want)
		}
	}
	if c := changeOf(t, change, "terraform_data.new"); c.PreviousAddress != "terraform_data.old" {
		t.Errorf("a move is %+v", c)
	}
	if c := changeOf(t, change, "terraform_data.imported"); !c.Importing {
		t.Errorf("an import is %+v", c)
	}
	for _, address := range []string{"terraform_data.gone", "terraform_data.forgotten", `terraform_data.each["k/1"]`} {
		if c := changeOf(t, change, address); !c.Dangerous() {
			t.Errorf("%s of something data-bearing is not dangerous", c.Action)
		}
	}
	each := changeOf(t, change, `terraform_data.each["k/1"]`)
	if got := attributeOf(t, each, "triggers_replace[1].deep"); !got.Forces || got.Before != `"v1"` || got.After != `"v2"` {
		t.Errorf("what forces the replacement is %+v", got)
	}
	if each.Reason != "replace_because_cannot_update" {
		t.Errorf("reason is %q", each.Reason)
	}
	if got := attributeOf(t, changeOf(t, change, "terraform_data.a"), "input.list"); got.Before != "[1,2,3]" || got.After != "[1,3]" {
		t.Errorf("a list is %+v", got)
	}
	if text := indented(t, change); strings.Contains(text, realSecret) {
		t.Errorf("a secret in the changes:\n%s", text)
	}
	tf.apply(t)

	destroy := tf.plan(t, "-destroy")
	if destroy.Mode != PlanDestroy {
		t.Errorf("mode is %q", destroy.Mode)
	}
	for _, c := range destroy.Changes {
		if c.Action != stacks.ActionDelete {
			t.Errorf("destroy plans %s of %s", c.Action, c.Address)
		}
	}
	if tf.plan(t, "-refresh-only").Mode != PlanRefreshOnly {
		t.Error("refresh-only is not told")
	}
}

// TestReadPlanErrored reads what an errored plan leaves: a file, marked.
func TestReadPlanErrored(t *testing.T) {
	tf := newRealTerraform(t, nil)
	tf.write(t, "main.tf", `
variable "broken" { default = false }
resource "terraform_data" "good" { input = 1 }
resource "terraform_data" "bad" {
  depends_on = [terraform_data.good]
  lifecycle {
    precondition {
      condition     = !var.broken
      error_message = "broken on purpose"
    }
  }
}
`)
	if p := tf.plan(t, "-var=broken=true"); !p.Errored {
		t.Errorf("an errored plan is %+v", p)
	}
}

// TestRealStale takes the typed failures from terraform's own mouth, and the empty state's promise (hashicorp/terraform#27721).
func TestRealStale(t *testing.T) {
	tf := newRealTerraform(t, nil)
	tf.write(t, "main.tf", `resource "terraform_data" "one" { input = 1 }`)
	id := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "a1", Region: "ankara"}
	born := EmptyState(id)
	tf.write(t, StateFileName, string(born))
	tf.plan(t)
	tf.apply(t)
	state, err := os.ReadFile(filepath.Join(tf.dir, StateFileName))
	if err != nil {
		t.Fatal(err)
	}
	after, err := ReadState(state)
	if err != nil {
		t.Fatal(err)
	}
	before, err := ReadState(born)
	if err != nil {
		t.Fatal(err)
	}
	if after.Lineage != before.Lineage || after.Serial <= before.Serial || len(after.Resources) != 1 {
		t.Errorf("born %+v, applied %+v", before, after)
	}
	out, code := tf.run(t, "apply", "-json", "-input=false", PlanFile)
	diags := diagnosticsOf(t, out)
	if code != 1 || !errors.Is(ErrorOf(diags), ErrStale) || Classify(diags) {
		t.Errorf("a second apply: exit %d, %+v", code, diags)
	}
	if diags[0].Next == "" {
		t.Error("no advice")
	}
}

// TestRealDiagnostic reads a provisioner's failure with its place.
func TestRealDiagnostic(t *testing.T) {
	tf := newRealTerraform(t, nil)
	tf.write(t, "main.tf", `resource "terraform_data" "bad" {
  provisioner "local-exec" {
    command = "echo it went wrong; exit 3"
  }
}
`)
	tf.plan(t)
	out, code := tf.run(t, "apply", "-json", "-input=false", PlanFile)
	diags := diagnosticsOf(t, out)
	if code != 1 || len(diags) != 1 {
		t.Fatalf("exit %d: %s", code, out)
	}
	d := diags[0]
	if d.Severity != stacks.SeverityError || d.Address != "terraform_data.bad" || d.File != "main.tf" || d.Line != 2 ||
		!strings.Contains(d.Snippet, "local-exec") || !strings.Contains(d.Detail, "it went wrong") {
		t.Errorf("diagnostic is %+v", d)
	}
	state, err := os.ReadFile(filepath.Join(tf.dir, StateFileName))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadState(state)
	if err != nil || len(s.Resources) != 1 || !s.Resources[0].Tainted {
		t.Errorf("state is %+v, %v", s, err)
	}
}
