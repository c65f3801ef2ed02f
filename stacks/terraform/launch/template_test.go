package launch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestStackWithoutInit takes a stack with our plugin and a module through its life: no init in its directory, drift found, secrets kept.
func TestStackWithoutInit(t *testing.T) {
	site := newSite(t)
	binary := realBinary(t, site)
	provider := lay(t, site)
	modules := []stacks.ModuleEntry{{Key: "database", Source: "./m", Dir: "m"}}
	s, tmpl := stageStack(t, site, binary, modules, provider)
	plugins := filepath.Join(provider.Source, provider.Version, platform())
	if there, err := filepath.EvalSymlinks(filepath.Join(s.dir, terraform.DataDirName, "providers", plugins)); err != nil || there != filepath.Join(site.Mirror(), plugins) {
		t.Errorf("the staged plugin is %s, %v", there, err)
	}
	target := filepath.Join(t.TempDir(), "object")
	s.write(t, "main.tf", pluginConfig(provider, `module "database" {
  source = "./m"
  pw     = var.pw
}
output "path" { value = module.database.path }
`))
	module := func(body string) {
		s.write(t, "m/main.tf", `terraform {
  required_providers {
    localdb = { source = "`+provider.Source+`" }
  }
}
variable "pw" {
  type      = string
  ephemeral = true
}
resource "localdb_file" "x" {
  path      = "`+target+`"
  secret_wo = var.pw
`+body+`}
output "path" { value = localdb_file.x.path }
`)
	}
	first := `  content  = "one"
  secret   = "first-sensitive-text"
  ratio    = 0.25
  settings = { a = "1", "b c" = "2" }
  rules    = [{ port = 1, key = "first-rule-key" }, { port = 2 }]
`
	module(first)
	created := s.plan(t, 2, PlanOptions{})
	change := created.Changes[0]
	if change.Address != "module.database.localdb_file.x" || change.Action != stacks.ActionCreate || !change.DataBearing {
		t.Errorf("created is %s", pretty(t, created))
	}
	text := pretty(t, created)
	for _, secret := range []string{secretText, "first-sensitive-text", "first-rule-key"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s in %s", secret, text)
		}
	}
	if !strings.Contains(text, `settings[\"b c\"]`) || !strings.Contains(text, `"0.25"`) {
		t.Errorf("values are missing in %s", text)
	}
	s.apply(t)
	if content, err := os.ReadFile(target); err != nil || !strings.Contains(string(content), `"one"`) {
		t.Errorf("the object holds %s, %v", content, err)
	}
	if same := s.plan(t, 0, PlanOptions{Check: true}); len(same.Changes)+len(same.Drift) != 0 {
		t.Errorf("nothing changed: %s", pretty(t, same))
	}

	if err := os.WriteFile(target, []byte(`{"Content": "drifted", "Secret": "drifted-secret-text"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	drifted := s.plan(t, 2, PlanOptions{Check: true})
	want := []stacks.AttributeChange{{Path: "content", Before: `"one"`, After: `"drifted"`}, {Path: "secret", Sensitive: true}}
	if len(drifted.Drift) != 1 || !slices.Equal(drifted.Drift[0].Attributes, want) {
		t.Errorf("drift is %s", pretty(t, drifted))
	}

	module(strings.NewReplacer("first-", "second-", "port = 2", "port = 3", `"one"`, "null").Replace(first))
	if text := pretty(t, s.plan(t, 2, PlanOptions{})); strings.Contains(text, "first-") || strings.Contains(text, "second-") {
		t.Errorf("a sensitive text in %s", text)
	}
	s.apply(t)
	target2 := target + "2"
	s.write(t, "m/main.tf", strings.NewReplacer(target, target2, "second-", "third-").Replace(readText(t, filepath.Join(s.dir, "m/main.tf"))))
	replacement := s.plan(t, 2, PlanOptions{})
	if text := pretty(t, replacement); strings.Contains(text, "second-") || strings.Contains(text, "third-") {
		t.Errorf("a sensitive text in %s", text)
	}
	replaced := replacement.Changes[0]
	if replaced.Action != stacks.ActionReplace || !replaced.Dangerous() {
		t.Errorf("a moved path is %s", pretty(t, replaced))
	}
	for _, a := range replaced.Attributes {
		if a.Forces != (a.Path == "path") {
			t.Errorf("forces: %+v", a)
		}
	}
	destroyed := s.plan(t, 2, PlanOptions{Destroy: true})
	if destroyed.Mode != terraform.PlanDestroy || destroyed.Changes[0].Action != stacks.ActionDelete {
		t.Errorf("destroy is %s", pretty(t, destroyed))
	}
	s.apply(t)
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the object is still there: %v", err)
	}

	lockBefore := readText(t, filepath.Join(tmpl.Dir, terraform.LockFileName))
	if lockAfter := readText(t, filepath.Join(s.dir, terraform.LockFileName)); lockAfter != lockBefore {
		t.Errorf("the lock file moved: %s", lockAfter)
	}
}

// TestOwnLockFile proves that terraform takes the lock file that we write ourselves.
func TestOwnLockFile(t *testing.T) {
	site := newSite(t)
	binary := realBinary(t, site)
	provider := lay(t, site)
	s, _ := stageStack(t, site, binary, nil, provider)
	s.write(t, "main.tf", pluginConfig(provider, ""))
	dir := filepath.Join(site.Mirror(), provider.Source, provider.Version, platform())
	sum, err := dirhash.HashDir(dir, "", dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	for name, hash := range map[string]string{"right": sum, "wrong": "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="} {
		s.write(t, terraform.LockFileName, string(terraform.LockFile(map[stacks.ProviderRequirement][]string{provider: {hash}})))
		want := map[string]int{"right": 0, "wrong": 1}[name]
		if out, code := s.run(t, PlanArgs(PlanOptions{})...); code != want {
			t.Errorf("%s hash: exit %d: %s", name, code, out)
		}
	}
}

func TestEnsureTemplate(t *testing.T) {
	site := newSite(t)
	binary := realBinary(t, site)
	provider := lay(t, site)
	in := TemplateInput{Site: site, Binary: binary, Providers: []stacks.ProviderRequirement{provider}, Environ: environ(t)}
	made := make([]Template, 4)
	var group sync.WaitGroup
	for i := range made {
		group.Go(func() {
			var err error
			if made[i], err = EnsureTemplate(t.Context(), in); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	tmpl := made[0]
	for _, m := range made {
		if m != tmpl || m.Hash != TemplateHash(in) {
			t.Errorf("at once: %+v and %+v", tmpl, m)
		}
	}
	if names := namesIn(t, site.Templates()); names != ".lock "+tmpl.Hash {
		t.Errorf("the templates are %s", names)
	}
	if names := namesIn(t, tmpl.Dir); names != terraform.DataDirName+" "+terraform.LockFileName {
		t.Errorf("the template holds %s", names)
	}
	// Once made, it needs no terraform ...
	noBinary := in
	noBinary.Binary.Path = "/nonexistent/terraform"
	if again, err := EnsureTemplate(t.Context(), noBinary); err != nil || again != tmpl {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	// ... until what it links to is gone.
	if err := os.RemoveAll(filepath.Join(site.Mirror(), provider.Source)); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureTemplate(t.Context(), in); err == nil {
		t.Error("a template without its plugin is taken")
	}
	lay(t, site)
	if again, err := EnsureTemplate(t.Context(), in); err != nil || again != tmpl || !again.usable() {
		t.Errorf("remade: %+v, %v", again, err)
	}
	if names := namesIn(t, site.Templates()); names != ".lock "+tmpl.Hash {
		t.Errorf("the templates are %s", names)
	}
}

func TestTemplateHash(t *testing.T) {
	one := stacks.ProviderRequirement{LocalName: "a", Source: "acme/a", Version: "1.0.0"}
	two := stacks.ProviderRequirement{LocalName: "b", Source: "acme/b", Version: "1.0.0"}
	base := TemplateInput{Binary: terraform.Binary{Path: "/x", Version: "1.11.4", Product: "terraform"}, Providers: []stacks.ProviderRequirement{one, two}}
	variant := func(change func(*TemplateInput)) string {
		in := base
		in.Providers = append([]stacks.ProviderRequirement(nil), base.Providers...)
		change(&in)
		return TemplateHash(in)
	}
	for name, c := range map[string]struct {
		change func(*TemplateInput)
		same   bool
	}{
		"order":      {func(in *TemplateInput) { in.Providers[0], in.Providers[1] = two, one }, true},
		"twice":      {func(in *TemplateInput) { in.Providers = append(in.Providers, one) }, true},
		"local name": {func(in *TemplateInput) { in.Providers[0].LocalName = "z" }, true},
		"path":       {func(in *TemplateInput) { in.Binary.Path = "/y" }, true},
		"builtin": {func(in *TemplateInput) {
			in.Providers = append(in.Providers, stacks.ProviderRequirement{Source: "terraform.io/builtin/terraform"})
		}, true},
		"binary version":   {func(in *TemplateInput) { in.Binary.Version = "1.11.5" }, false},
		"product":          {func(in *TemplateInput) { in.Binary.Product = "tofu" }, false},
		"provider version": {func(in *TemplateInput) { in.Providers[0].Version = "1.0.1" }, false},
		"one less":         {func(in *TemplateInput) { in.Providers = in.Providers[:1] }, false},
	} {
		if same := variant(c.change) == TemplateHash(base); same != c.same {
			t.Errorf("%s: same %v, want %v", name, same, c.same)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	site := newSite(t)
	binary := realBinary(t, site)
	two := []stacks.ProviderRequirement{{Source: terraform.LocalDBSource, Version: "1.0.0"}, {Source: terraform.LocalDBSource, Version: "2.0.0"}}
	if _, err := EnsureTemplate(t.Context(), TemplateInput{Site: site, Binary: binary, Providers: two}); err == nil || !strings.Contains(err.Error(), "1.0.0 and 2.0.0") {
		t.Errorf("two versions: %v", err)
	}
	_, err := EnsureTemplate(t.Context(), TemplateInput{Site: site, Binary: binary, Providers: two[:1], Environ: environ(t)})
	if err == nil || !strings.Contains(err.Error(), terraform.LocalDBSource) {
		t.Errorf("a missing plugin: %v", err)
	}
	if names := namesIn(t, site.Templates()); names != ".lock" {
		t.Errorf("left behind: %s", names)
	}
}

// TestBuiltinStack needs no plugin, so no init; its terraform must not even be there to make the template.
func TestBuiltinStack(t *testing.T) {
	site := newSite(t)
	binary := realBinary(t, site)
	s, tmpl := stageStack(t, site, terraform.Binary{Path: "/nonexistent", Version: binary.Version, Product: binary.Product}, nil)
	s.binary = binary
	s.write(t, "main.tf", `resource "terraform_data" "bad" {
  provisioner "local-exec" { command = "exit 1" }
}`)
	if out, code := s.run(t, PlanArgs(PlanOptions{})...); code != 2 {
		t.Fatalf("plan: exit %d: %s", code, out)
	}
	if out, code := s.run(t, ApplyArgs()...); code != 1 {
		t.Fatalf("apply: exit %d: %s", code, out)
	}
	tainted := func() bool {
		t.Helper()
		state, err := terraform.ReadState([]byte(readText(t, filepath.Join(s.dir, terraform.StateFileName))))
		if err != nil || len(state.Resources) != 1 {
			t.Fatalf("state %+v, %v", state, err)
		}
		return state.Resources[0].Tainted
	}
	if !tainted() {
		t.Fatal("nothing to untaint")
	}
	if err := Untaint(t.Context(), s.call(), "terraform_data.bad"); err != nil || tainted() {
		t.Errorf("untaint: %v, tainted %v", err, tainted())
	}
	if err := Untaint(t.Context(), s.call(), "terraform_data.other"); err == nil || !strings.Contains(err.Error(), "terraform_data.other") {
		t.Errorf("untaint of nothing: %v", err)
	}
	if err := os.Remove(filepath.Join(s.dir, terraform.PlanFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := ShowPlan(t.Context(), s.call()); err == nil {
		t.Error("show of no plan")
	}

	if err := os.Mkdir(filepath.Join(site.Templates(), tempPrefix+"dead"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Prune(t.Context(), site, func(hash string) bool { return hash == tmpl.Hash }); err != nil || namesIn(t, site.Templates()) != ".lock "+tmpl.Hash {
		t.Errorf("pruned to %s, %v", namesIn(t, site.Templates()), err)
	}
	if err := Prune(t.Context(), site, func(string) bool { return false }); err != nil || namesIn(t, site.Templates()) != ".lock" {
		t.Errorf("pruned to %s, %v", namesIn(t, site.Templates()), err)
	}
	if out, code := s.run(t, PlanArgs(PlanOptions{})...); code != 0 {
		t.Errorf("a staged stack depends on its template: exit %d: %s", code, out)
	}
}
