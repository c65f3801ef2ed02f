package module_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"meridian/providers"
	"meridian/providers/engines/none"
	"meridian/providers/module"
	"meridian/stacks"
)

var update = flag.Bool("update", false, "write the golden parts of the archives anew")

// engine is a database of which nothing is known.
type engine struct{}

func (engine) Name() string { return "postgres" }

// registry is a Meridian with this one provider.
func registry() *providers.Registry {
	return providers.NewRegistry([]providers.Provider{module.New()}, []providers.Engine{engine{}, none.Engine{}})
}

// packageOf is the package that a module's files make, as the resolver leaves it.
func packageOf(t *testing.T, files []txtar.File) *stacks.Package {
	t.Helper()
	p := stacks.Package{ModuleSource: stacks.ModuleSource{Source: "./module"}, Dir: stacks.ForeignDir}
	dirs := []string{p.Dir}
	for _, f := range files {
		path := stacks.ForeignDir + "/" + strings.TrimPrefix(f.Name, "module/")
		p.Files = append(p.Files, stacks.File{Path: path, Content: f.Data})
		if dir := filepath.Dir(path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
			p.Modules = append(p.Modules, stacks.ModuleEntry{Key: "database." + filepath.Base(dir), Source: "./" + filepath.Base(dir), Dir: dir})
		}
	}
	needs, err := stacks.PackageNeeds(p.Files, dirs, nil)
	if err != nil {
		return &p // what is wrong with it is for CheckPackage to say
	}
	for _, n := range needs {
		p.Providers = append(p.Providers, stacks.ProviderRequirement{Source: n.Source, Version: "1.2.3"})
	}
	p = stacks.NewPackage(p)
	return &p
}

// input is what a region's capabilities are asked with.
func input(db stacks.Database, i int, p *stacks.Package) providers.ModuleInput {
	return providers.ModuleInput{
		Stack:    stacks.StackID{Namespace: db.Metadata.Namespace, Name: db.Metadata.Name, Incarnation: "abcd1234", Region: db.Spec.Regions[i].Name},
		Database: db, Region: db.Spec.Regions[i], Package: p,
	}
}

// check says all that a person is told of a spec, whose regions have the module of the archive.
func check(t *testing.T, spec []byte, files []txtar.File) []stacks.Diagnostic {
	t.Helper()
	loaded, ds := stacks.Check(t.Context(), []stacks.Source{{Name: "spec.yaml", Text: spec}}, "", registry())
	if stacks.HasErrors(ds) {
		return ds
	}
	effective, err := stacks.Default(t.Context(), loaded[0].Spec, registry())
	if err != nil {
		t.Fatal(err)
	}
	for i := range effective.Spec.Regions {
		ds = append(ds, loaded[0].Locate(module.New().CheckPackage(input(effective, i, packageOf(t, files))))...)
	}
	slices.SortStableFunc(ds, func(a, b stacks.Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ds
}

// report is what a person is told, in short.
func report(ds []stacks.Diagnostic) []byte {
	var b bytes.Buffer
	for _, d := range ds {
		fmt.Fprintf(&b, "%s:%d:%d: %s: %s: %s", d.File, d.Line, d.Column, d.Severity, d.Rule, d.Summary)
		for _, more := range []string{d.Detail, d.Next} {
			if more != "" {
				fmt.Fprintf(&b, "; %s", more)
			}
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

// TestRefused reads each archive under testdata/refused: specs, the module that all of them use, and behind each spec, as want/NAME, all that a
// person is told of it.
func TestRefused(t *testing.T) {
	archives, err := filepath.Glob("testdata/refused/*.txtar")
	if err != nil || len(archives) < 5 {
		t.Fatalf("%d archives: %v", len(archives), err)
	}
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var files, out []txtar.File
		wants := map[string][]byte{}
		for _, f := range a.Files {
			switch {
			case strings.HasPrefix(f.Name, "module/"):
				files, out = append(files, f), append(out, f)
			case strings.HasPrefix(f.Name, "want/"):
				wants[f.Name] = f.Data
			}
		}
		for _, f := range a.Files {
			if strings.HasPrefix(f.Name, "module/") || strings.HasPrefix(f.Name, "want/") {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+f.Name, func(t *testing.T) {
				ds := check(t, f.Data, files)
				if len(ds) == 0 {
					t.Error("nothing was said")
				}
				for _, d := range ds {
					if d.File == "" || d.Line == 0 || d.Column == 0 || d.Rule == "" || d.Severity == stacks.SeverityError && d.Next == "" && d.Rule != "spec.required" {
						t.Errorf("incomplete: %+v", d)
					}
				}
				got := report(ds)
				out = append(out, f, txtar.File{Name: "want/" + f.Name, Data: got})
				if !*update && !bytes.Equal(got, wants["want/"+f.Name]) {
					t.Errorf("it says\n%s\nwant\n%s", got, wants["want/"+f.Name])
				}
			})
		}
		if *update {
			a.Files = out
			if err := os.WriteFile(path, txtar.Format(a), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
