package stacks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"meridian/stacks"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file under testdata, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (accept it with -update); got\n%s", path, got)
	}
}

// capabilities is a Meridian with two providers and two engines.
type capabilities struct{}

var versions = map[string][]string{
	"local postgres":  {"18.4", "16.14", "15.18"},
	"other postgres":  {"16.9", "15.18"},
	"local cassandra": nil,
}

func (capabilities) ProviderNames() []string { return []string{"broken", "local", "other"} }
func (capabilities) EngineNames() []string   { return []string{"cassandra", "postgres"} }

func (capabilities) HasDatabase(string) bool { return true }

func (capabilities) EngineVersions(_ context.Context, provider, engine string) ([]string, error) {
	if provider == "broken" {
		return nil, fmt.Errorf("no %s is installed", engine)
	}
	return versions[provider+" "+engine], nil
}

func (capabilities) ValidateDatabase(context.Context, stacks.Database) []stacks.Diagnostic {
	return nil
}

func (capabilities) MajorVersion(engine, version string) string {
	if engine == "mysql" {
		return stacks.MajorOf(version, 2)
	}
	return stacks.Major(version)
}

func (capabilities) ReservedNames(engine string) stacks.Reserved {
	if engine == "cassandra" {
		return stacks.Reserved{Databases: []string{"system"}, Users: []string{"token"}, Prefixes: []string{"system_"}}
	}
	return stacks.Reserved{Databases: []string{"postgres"}, Users: []string{"public"}, Prefixes: []string{"pg_"}}
}

func (capabilities) LinkModes(engine, from, to string) []stacks.LinkMode {
	if engine == "cassandra" {
		return []stacks.LinkMode{stacks.LinkDatacenter}
	}
	if from == "other" && to == "other" {
		return []stacks.LinkMode{stacks.LinkLogical, stacks.LinkPhysical}
	}
	return []stacks.LinkMode{stacks.LinkLogical}
}

func (capabilities) GlobalMode(engine, provider string) stacks.LinkMode {
	if engine == "postgres" && provider == "other" {
		return stacks.LinkPhysical
	}
	return ""
}

func (capabilities) ValidateRegion(_ context.Context, db stacks.Database, r stacks.Region) []stacks.Diagnostic {
	if _, ok := db.Spec.Engine.Parameters["max_conections"]; ok && r.Provider == "local" {
		return []stacks.Diagnostic{{Severity: stacks.SeverityError, Rule: "parameter.unknown", Field: "spec.engine.parameters.max_conections",
			Summary: `postgres has no parameter "max_conections"`, Next: `did you mean "max_connections"?`}}
	}
	if r.Provider == "other" {
		return stacks.DecodeSettings(r.Settings, fmt.Sprintf("spec.regions[%d].settings", slices.IndexFunc(db.Spec.Regions, func(o stacks.Region) bool { return o.Name == r.Name })), &otherSettings{})
	}
	return nil
}

// otherSettings are those of provider other: one field of each kind.
type otherSettings struct {
	Size    string `yaml:"size" required:"true"`
	Storage struct {
		GiB       int64   `yaml:"gib"`
		Iops      float64 `yaml:"iops"`
		Encrypted *bool   `yaml:"encrypted"`
		Key       *string `yaml:"key"`
	} `yaml:"storage"`
	Networks []any             `yaml:"networks"`
	Tags     map[string]string `yaml:"tags"`
	Every    stacks.Duration   `yaml:"every"`
	Zones    []string          `yaml:"zones"`
}

// report is what a person reads of the diagnostics, with the rules before.
func report(t *testing.T, ds []stacks.Diagnostic) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, d := range ds {
		fmt.Fprintf(&b, "%s ", d.Rule)
	}
	b.WriteString("\n\n")
	if err := stacks.PrintDiagnostics(&b, ds, false); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRefusedGolden reads each archive under testdata/refused: specs, and all that a person is told of them.
func TestRefusedGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/refused/*.txtar")
	if err != nil || len(archives) < 10 {
		t.Fatalf("%d archives: %v", len(archives), err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
			if i < 0 {
				a.Files, i = append(a.Files, txtar.File{Name: "want"}), len(a.Files)
			}
			_, ds := stacks.Check(t.Context(), sources(a.Files[:i]), "", capabilities{})
			if !stacks.HasErrors(ds) {
				t.Error("nothing was refused")
			}
			for _, d := range ds {
				if d.File == "" || d.Line == 0 || d.Column == 0 || d.Rule == "" || d.Summary == "" {
					t.Errorf("incomplete: %+v", d)
				}
			}
			a.Files[i].Data = report(t, ds)
			golden(t, path, txtar.Format(a))
		})
	}
}

func sources(files []txtar.File) []stacks.Source {
	var out []stacks.Source
	for _, f := range files {
		out = append(out, stacks.Source{Name: f.Name, Text: f.Data})
	}
	return out
}

// accepted lists the specs that must be accepted: those of the tests and those that users read.
func accepted(t *testing.T) []string {
	t.Helper()
	own, err := filepath.Glob("testdata/accepted/*.yaml")
	if err != nil || len(own) == 0 {
		t.Fatalf("%d specs: %v", len(own), err)
	}
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples: %v", len(examples), err)
	}
	return append(own, examples...)
}

func load(t *testing.T, path string) []stacks.Loaded {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	loaded, ds := stacks.Check(t.Context(), []stacks.Source{{Name: path, Text: text}}, "", capabilities{})
	if len(ds) > 0 {
		t.Fatalf("refused:\n%s", report(t, ds))
	}
	return loaded
}

// TestEffectiveGolden makes the effective specs of all that is accepted.
func TestEffectiveGolden(t *testing.T) {
	for _, path := range accepted(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var all bytes.Buffer
			for _, l := range load(t, path) {
				effective, err := stacks.Default(t.Context(), l.Spec, capabilities{})
				if err != nil {
					t.Fatal(err)
				}
				text, err := json.MarshalIndent(effective, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				all.Write(append(text, '\n'))
				var back stacks.Database
				if err := json.Unmarshal(text, &back); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(back, effective) {
					t.Errorf("JSON changed it:\n%+v\n%+v", effective, back)
				}
				again, err := stacks.Default(t.Context(), back, capabilities{})
				if err != nil || !reflect.DeepEqual(again, effective) {
					t.Errorf("a default changed an effective spec (%v):\n%+v\n%+v", err, effective, again)
				}
				if ds := stacks.CheckChange(effective, again, capabilities{}); len(ds) > 0 {
					t.Errorf("no change is refused:\n%s", report(t, ds))
				}
			}
			golden(t, "testdata/effective/"+filepath.Base(path)+".json", all.Bytes())
		})
	}
}
