package stacks_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"meridian/stacks"
)

// face is what Inspect says, in lines.
func face(f stacks.ModuleFace) string {
	var b strings.Builder
	mark := func(is bool, word string) {
		if is {
			b.WriteString(" " + word)
		}
	}
	for _, v := range f.Variables {
		fmt.Fprintf(&b, "variable %s: %s", v.Name, v.Type.FriendlyNameForConstraint())
		mark(v.Required, "required")
		mark(!v.Nullable, "not-null")
		mark(v.Sensitive, "sensitive")
		mark(v.Ephemeral, "ephemeral")
		mark(v.Defaults != nil, "defaults")
		b.WriteString("\n")
	}
	for _, o := range f.Outputs {
		fmt.Fprintf(&b, "output %s:", o.Name)
		mark(o.Sensitive, "sensitive")
		mark(o.Ephemeral, "ephemeral")
		b.WriteString("\n")
	}
	for _, r := range f.Requires {
		fmt.Fprintf(&b, "provider %s: %s %q %v", r.LocalName, r.Source, r.Version, r.Aliases)
		mark(r.Implied, "implied")
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "resources: %s\n", strings.Join(f.Resources, " "))
	return b.String()
}

// TestInspect reads modules in all the ways in which one can be written.
func TestInspect(t *testing.T) {
	for name, test := range map[string]struct{ files, want, fail string }{
		"types": {files: `
-- a.tf --
variable "plain" {}
variable "list" {
  type    = list(string)
  default = []
}
variable "deep" {
  type     = map(object({ a = optional(number, 1), b = set(any) }))
  nullable = false
}
variable "pair" { type = tuple([string, number]) }
variable "hidden" {
  type      = string
  sensitive = true
  ephemeral = true
}`, want: `variable deep: map of object required not-null defaults
variable hidden: string required sensitive ephemeral
variable list: list of string
variable pair: tuple required
variable plain: any type required
resources: 
`},
		"JSON": {files: `
-- main.tf.json --
{
  "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.0"}}},
  "variable": {"a": {"type": "list(string)"}, "b": {"type": "object({x = optional(string, \"y\")})", "default": {}, "nullable": false}},
  "output": {"o": {"value": "${var.a}", "sensitive": true}},
  "resource": {"aws_s3_bucket": {"this": {"bucket": "b"}}}
}`, want: `variable a: list of string required
variable b: object not-null defaults
output o: sensitive
provider aws: hashicorp/aws ">= 5.0" []
resources: aws_s3_bucket
`},
		"providers": {files: `
-- versions.tf --
terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source                = "hashicorp/aws"
      version               = ">= 5.0, < 7.0"
      configuration_aliases = [aws.replica, aws.dr]
    }
    random = "~> 3.0"
    mine     = { source = "registry.example.com/me/mine" }
  }
}
-- main.tf --
resource "google_sql_database_instance" "a" {}
resource "google_thing" "b" { provider = google-beta }
data "azurerm_subnet" "c" {}
ephemeral "vault_kv" "d" {}
resource "terraform_data" "e" {}
provider "tls" {}
resource "aws_db_instance" "f" { provider = aws.replica }
moved {
  from = aws_db_instance.old
  to   = aws_db_instance.f
}
check "health" {
  assert {
    condition     = provider::aws::arn_parse("x") != null
    error_message = "no"
  }
}`, want: `provider aws: hashicorp/aws ">= 5.0, < 7.0" [aws.replica aws.dr]
provider azurerm: hashicorp/azurerm "" [] implied
provider google: hashicorp/google "" [] implied
provider google-beta: hashicorp/google-beta "" [] implied
provider mine: registry.example.com/me/mine "" []
provider random: hashicorp/random "~> 3.0" []
provider terraform: terraform.io/builtin/terraform "" [] implied
provider tls: hashicorp/tls "" [] implied
provider vault: hashicorp/vault "" [] implied
resources: aws_db_instance google_sql_database_instance google_thing terraform_data
`},
		"overrides are one with what they override": {files: `
-- main.tf --
variable "a" { type = string }
output "o" { value = "x" }
-- main_override.tf --
variable "a" {
  type    = number
  default = 1
}
output "o" { sensitive = true }
`, want: `variable a: number
output o: sensitive
resources: 
`},
		"what lies beside and below is not the module's": {files: `
-- main.tf --
output "o" { value = 1 }
-- main.tf.bak --
not HCL {{
-- sub/main.tf --
variable "x" {}
-- README.md --
`, want: "output o:\nresources: \n"},
		"nothing":         {files: "\n-- README.md --\n", fail: "there is no .tf file"},
		"no HCL":          {files: "\n-- a.tf --\nvariable {", fail: "a.tf:1:"},
		"no type":         {files: "\n-- a.tf --\nvariable \"x\" {\n  type = foo\n}", fail: "a.tf:2:"},
		"no such default": {files: "\n-- a.tf --\nvariable \"x\" {\n  type = object({ a = optional(number, []) })\n}", fail: "a.tf:2:"},
	} {
		t.Run(name, func(t *testing.T) {
			var files []stacks.File
			for _, f := range txtar.Parse([]byte(test.files)).Files {
				files = append(files, stacks.File{Path: "modules/x/" + f.Name, Content: f.Data})
			}
			got, err := stacks.Inspect(files, "modules/x")
			switch {
			case test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)):
				t.Errorf("error is %v, want %q", err, test.fail)
			case test.fail == "" && (err != nil || face(got) != test.want):
				t.Errorf("%v\n%s\nwant\n%s", err, face(got), test.want)
			}
		})
	}
}

// foreignCall is a call of a module that is not ours, with all that such a call can have.
func foreignCall() stacks.ModuleCall {
	return stacks.ModuleCall{
		Inputs: map[string]any{
			"name": `${path.cwd} %{ if true }x%{ endif } "quoted"` + "\n", "password": stacks.Variable("secret_admin_once"), "nothing": nil,
			"nested": map[string]any{"a b": []any{true, 1.5, map[string]any{"token": stacks.Variable("secret_token")}}, "empty": map[string]any{}, "none": []any{}},
		},
		Outputs: []string{"host", "user"}, DataBearing: []string{"aws_db_instance"},
		Providers: []stacks.ProviderConfig{{ProviderRequirement: stacks.ProviderRequirement{LocalName: "aws", Source: "hashicorp/aws", Version: "5.100.0"}}},
		Foreign: &stacks.ForeignCall{
			Package: stacks.NewPackage(stacks.Package{
				ModuleSource: stacks.ModuleSource{Source: "git::https://git.example.com/db.git//instance?ref=v1", Version: ""}, Resolved: "0123abcd", Dir: "modules/database/instance",
				Files:     []stacks.File{{Path: "modules/database/instance/main.tf", Content: []byte("# theirs\n")}, {Path: "modules/database.label/run.sh", Content: []byte("true\n"), Exec: true}},
				Modules:   []stacks.ModuleEntry{{Key: "database.label", Source: "../label", Dir: "modules/database.label"}},
				Providers: []stacks.ProviderRequirement{{Source: "hashicorp/aws", Version: "5.100.0"}, {Source: "hashicorp/random", Version: "3.7.2"}},
			}),
			Variables: map[string]stacks.SecretVariable{"secret_admin_once": {Secret: "region/ankara/admin"}, "secret_token": {Secret: "region/ankara/token", Kept: true}},
			Configs: []stacks.ProviderBlock{
				{Name: "aws", Config: map[string]any{"region": "eu-central-1", "default_tags": map[string]any{"tags": map[string]any{"who": "${me}"}}}},
				{Name: "aws", Alias: "west", Config: map[string]any{"region": "us-west-2", "token": stacks.Variable("secret_admin_once")}},
			},
			Passes: map[string]string{"aws": "aws", "aws.replica": "aws.west"}, Sensitive: []string{"password"}, Marked: []string{"user"},
		},
	}
}

// TestRenderForeign holds a stack of a module that is not ours to its golden, and to terraform's own idea of it where that is installed.
func TestRenderForeign(t *testing.T) {
	st, err := stacks.Render(ankara, foreignCall())
	if err != nil {
		t.Fatal(err)
	}
	again, err := stacks.Render(ankara, foreignCall())
	if err != nil || again.Digest != st.Digest {
		t.Errorf("it is not the same twice: %v", err)
	}
	a := &txtar.Archive{Comment: fmt.Appendf(nil, "secrets %v\nkept %v\nmodules %+v\nproviders %+v\n", st.Secrets, st.Kept, st.Modules, st.Providers)}
	dir := t.TempDir()
	for _, f := range st.Files {
		a.Files = append(a.Files, txtar.File{Name: f.Path, Data: f.Content})
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "testdata/rendered/foreign.txtar", txtar.Format(a))
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("no terraform on PATH")
	}
	if out, err := exec.CommandContext(t.Context(), terraform, "-chdir="+dir, "fmt", "-check", "-diff", "main.tf", "versions.tf", "variables.tf", "outputs.tf").CombinedOutput(); err != nil {
		t.Errorf("terraform fmt: %v\n%s", err, out)
	}
}

// TestRenderForeignRefuses what cannot be written as Terraform without becoming something else.
func TestRenderForeignRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*stacks.ModuleCall)
		want   string
	}{
		"a file beside modules/":    {func(c *stacks.ModuleCall) { c.Foreign.Package.Files[0].Path = "main.tf" }, "lies outside of modules/"},
		"a file that leads out":     {func(c *stacks.ModuleCall) { c.Foreign.Package.Files[0].Path = "modules/../main.tf" }, "lies outside of modules/"},
		"a variable's name":         {func(c *stacks.ModuleCall) { c.Foreign.Variables["a b"] = stacks.SecretVariable{Secret: "x"} }, "cannot hold the secret"},
		"a provider's name":         {func(c *stacks.ModuleCall) { c.Foreign.Configs[0].Name = `x" {` }, "the name is not unique or none"},
		"two of one address":        {func(c *stacks.ModuleCall) { c.Foreign.Configs[1].Alias = "" }, "the name is not unique or none"},
		"a provider that is passed": {func(c *stacks.ModuleCall) { c.Foreign.Passes["aws"] = "a.b.c" }, "cannot be passed"},
		"an output's name":          {func(c *stacks.ModuleCall) { c.Foreign.Sensitive = []string{"a-b c"} }, "no identifier"},
		"an input's name":           {func(c *stacks.ModuleCall) { c.Inputs["a b"] = 1.0 }, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			call := foreignCall()
			test.change(&call)
			if _, err := stacks.Render(ankara, call); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}
