package module_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"meridian/providers"
	"meridian/providers/module"
	"meridian/stacks"
)

// TestShapes takes modules in the shape of well-known ones, of terraform's own resources alone, from their spec through the checks and the
// rendering to what the real terraform makes of it: an apply, the endpoint of its outputs, and a second plan that changes nothing.
func TestShapes(t *testing.T) {
	archives, err := filepath.Glob("testdata/shapes/*.txtar")
	if err != nil || len(archives) < 4 {
		t.Fatalf("%d archives: %v", len(archives), err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var files []txtar.File
			byName := map[string][]byte{}
			for _, f := range a.Files {
				byName[f.Name] = f.Data
				if strings.HasPrefix(f.Name, "module/") {
					files = append(files, f)
				}
			}
			if got := applied(t, byName["spec.yaml"], files); got != string(byName["want"]) {
				t.Errorf("it made\n%s\nwant\n%s", got, byName["want"])
			}
		})
	}
}

// TestExample takes the example that users read the same way.
func TestExample(t *testing.T) {
	const dir = "../../examples/module/"
	spec, err := os.ReadFile(dir + "network.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "network/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	if got := applied(t, spec, []txtar.File{{Name: "module/main.tf", Data: text}}); got != "endpoint: none\nchanges: 2\nsensitive: none\n" {
		t.Errorf("it made\n%s", got)
	}
}

// applied takes a spec whose module has these files to what terraform makes of it, and says that in the words of the archives.
func applied(t *testing.T, spec []byte, files []txtar.File) string {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("SKIPPED: no terraform on PATH")
	}
	loaded, ds := stacks.Check(t.Context(), []stacks.Source{{Name: "spec.yaml", Text: spec}}, "", registry())
	if stacks.HasErrors(ds) {
		t.Fatalf("refused:\n%s", report(ds))
	}
	db, err := stacks.Default(t.Context(), loaded[0].Spec, registry())
	if err != nil {
		t.Fatal(err)
	}
	source, _ := db.Spec.Regions[0].Settings["source"].(string)
	in := input(db, 0, shapeOf(t, files, source))
	if ds := loaded[0].Locate(module.New().CheckPackage(in)); stacks.HasErrors(ds) {
		t.Fatalf("refused:\n%s", report(ds))
	}
	call, err := module.New().ModuleCall(in)
	if err != nil {
		t.Fatal(err)
	}
	st, err := stacks.Render(in.Stack, call)
	if err != nil {
		t.Fatal(err)
	}
	w := &workdir{t: t, terraform: terraform, dir: t.TempDir()}
	w.write(st)
	for name := range st.Secrets {
		w.env = append(w.env, "TF_VAR_"+name+"=s3cret-s3cret")
	}
	w.run("apply", "-auto-approve", "-input=false", "-no-color")
	if out := w.run("plan", "-input=false", "-no-color"); !bytes.Contains(out, []byte("No changes")) {
		t.Errorf("the second plan is\n%s", out)
	}
	return w.made(in)
}

// shapeOf is the package of a module's files, with each module of it under a key of its own, as terraform's modules.json names them.
func shapeOf(t *testing.T, files []txtar.File, source string) *stacks.Package {
	t.Helper()
	p := stacks.Package{ModuleSource: stacks.ModuleSource{Source: source}, Dir: stacks.ForeignDir}
	if _, inside, found := strings.Cut(source, "//"); found {
		p.Dir += "/" + inside
	}
	for _, f := range files {
		p.Files = append(p.Files, stacks.File{Path: stacks.ForeignDir + "/" + strings.TrimPrefix(f.Name, "module/"), Content: f.Data})
	}
	p.Modules = calls(t, p.Files, stacks.DatabaseCall, p.Dir)
	p = stacks.NewPackage(p)
	return &p
}

// calls lists the modules that the one in a directory calls by path, as deep as it goes.
func calls(t *testing.T, files []stacks.File, key, dir string) (out []stacks.ModuleEntry) {
	t.Helper()
	for _, f := range files {
		if filepath.Dir(f.Path) != dir {
			continue
		}
		name := ""
		for line := range strings.Lines(string(f.Content)) {
			fields := strings.Fields(line)
			if len(fields) == 3 && fields[0] == "module" {
				name = strings.Trim(fields[1], `"`)
			}
			if name != "" && len(fields) == 3 && fields[0] == "source" {
				source := strings.Trim(fields[2], `"`)
				e := stacks.ModuleEntry{Key: key + "." + name, Source: source, Dir: filepath.Join(dir, source)}
				out = append(append(out, e), calls(t, files, e.Key, e.Dir)...)
				name = ""
			}
		}
	}
	return out
}

// workdir is a stack as the real terraform works on it.
type workdir struct {
	t              *testing.T
	terraform, dir string
	env            []string
}

func (w *workdir) write(st stacks.Stack) {
	w.t.Helper()
	type entry struct{ Key, Source, Dir string }
	var manifest struct{ Modules []entry }
	for _, m := range st.Modules {
		manifest.Modules = append(manifest.Modules, entry{m.Key, m.Source, m.Dir})
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range append(slices.Clone(st.Files), stacks.File{Path: ".terraform/modules/modules.json", Content: text}) {
		path := filepath.Join(w.dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *workdir) run(args ...string) []byte {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.terraform, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), append(w.env, "CHECKPOINT_DISABLE=1")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("terraform %v: %v\n%s", args, err, out)
	}
	return out
}

// made says what an apply made, in the words of the archives.
func (w *workdir) made(in providers.ModuleInput) string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if err != nil {
		w.t.Fatal(err)
	}
	var state struct {
		Outputs map[string]struct {
			Value     any
			Sensitive bool
		}
		Resources []struct {
			Mode      string
			Instances []json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &state); err != nil {
		w.t.Fatal(err)
	}
	outputs, n := map[string]any{}, 0
	for name, o := range state.Outputs {
		outputs[name] = o.Value
		if o.Sensitive {
			w.t.Errorf("output %s of the root is sensitive though nothing of it is a secret", name)
		}
	}
	for _, r := range state.Resources {
		if r.Mode == "managed" {
			n += len(r.Instances)
		}
	}
	where := "none"
	e, err := module.New().Endpoint(providers.EndpointInput{ModuleInput: in, Outputs: outputs})
	if err != nil {
		w.t.Fatal(err)
	}
	if e.Host != "" {
		where = fmt.Sprintf("%s:%d %s", e.Host, e.Port, e.User)
	}
	face, err := stacks.Inspect(in.Package.Files, in.Package.Dir)
	if err != nil {
		w.t.Fatal(err)
	}
	marked := "none"
	for _, o := range face.Outputs {
		if _, exported := outputs[o.Name]; o.Sensitive && exported {
			marked = o.Name
		}
	}
	return fmt.Sprintf("endpoint: %s\nchanges: %d\nsensitive: %s\n", where, n, marked)
}
