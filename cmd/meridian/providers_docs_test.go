package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// can says in a word what a provider is able to do, and asks its type.
type can struct {
	word string
	has  func(p providers.Provider) bool
}

func is[T any](p providers.Provider) bool {
	_, err := providers.As[T](p)
	return err == nil
}

// abilities are the rows of the table.
var abilities = []can{
	{"checks a spec before anything is touched", is[providers.Validator]},
	{"knows which versions it can run", is[providers.EngineVersions]},
	{"proves its credentials before a plan", is[providers.Preflighter]},
	{"makes a region from a module", is[providers.ModuleCaller]},
	{"makes physical replicas of PostgreSQL", func(p providers.Provider) bool {
		r, err := providers.As[providers.ReplicaMaker](p)
		return err == nil && r.MakesReplicas("postgres")
	}},
	{"makes one global database of several regions of PostgreSQL", func(p providers.Provider) bool {
		g, err := providers.As[providers.GlobalMaker](p)
		return err == nil && g.GlobalMode("postgres") != ""
	}},
	{"measures the lag of its replicas itself", is[providers.LagMeter]},
	{"tells how far an apply is", is[providers.ApplyProgress]},
	{"has a control plane that says when a region is ready", is[providers.ControlPlane]},
	{"finds again what an interrupted apply made", is[providers.Locator]},
	{"lists what it has of this Meridian", is[providers.Inventory]},
	{"removes what no state knows", is[providers.Remover]},
	{"raises a region's storage by itself, which is no drift", is[providers.SelfGrower]},
	{"gives its administrators new passwords, of PostgreSQL", func(p providers.Provider) bool {
		r, err := providers.As[providers.PasswordRotator](p)
		return err == nil && r.RotatesPassword("postgres")
	}},
	{"protects against destruction, lifted in a step of its own", is[providers.ProtectionLifter]},
}

const tableBegin, tableEnd = "<!-- the table of abilities: made by make generate -->\n", "<!-- end of the table -->\n"

// TestDocsSayWhatProvidersDo holds the table in docs/providers.md to the registry: it says of each provider what its type can do.
func TestDocsSayWhatProvidersDo(t *testing.T) {
	r, err := newRegistry(t.TempDir(), "docs", []terraform.Plugin{{Source: terraform.LocalDBSource, Version: "0.0.0"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| what it does |")
	for _, name := range r.ProviderNames() {
		fmt.Fprintf(&b, " `%s` |", name)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(r.ProviderNames())) + "\n")
	for _, a := range abilities {
		fmt.Fprintf(&b, "| %s |", a.word)
		for _, name := range r.ProviderNames() {
			p, err := r.Provider(name)
			if err != nil {
				t.Fatal(err)
			}
			word := "no"
			if a.has(p) {
				word = "yes"
			}
			fmt.Fprintf(&b, " %s |", word)
		}
		b.WriteString("\n")
	}
	for _, engine := range r.EngineNames() {
		if !r.HasDatabase(engine) {
			continue
		}
		fmt.Fprintf(&b, "| links of `%s` between two of its regions |", engine)
		for _, name := range r.ProviderNames() {
			if !runs(t, r, name, engine) {
				b.WriteString(" does not run it |")
				continue
			}
			var modes []string
			for _, m := range r.LinkModes(engine, name, name) {
				modes = append(modes, string(m))
			}
			fmt.Fprintf(&b, " %s |", strings.Join(append(modes, []string{"none"}[:1-min(1, len(modes))]...), ", "))
		}
		b.WriteString("\n")
	}
	const path = "../../docs/providers.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	want := before + tableBegin + b.String() + tableEnd + after
	if *updateScripts && want != string(text) {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s does not say what providers do (accept it with make generate):\n%s", path, b.String())
	}
	if r.LinkModes("postgres", "aws", "local")[0] != stacks.LinkLogical {
		t.Error("no logical link from aws to local")
	}
}

// runs asks a provider whether it runs an engine at all.
func runs(t *testing.T, r *providers.Registry, provider, engine string) bool {
	t.Helper()
	p, err := r.Provider(provider)
	if err != nil {
		t.Fatal(err)
	}
	v, err := providers.As[providers.Validator](p)
	if err != nil {
		return true
	}
	db := stacks.Database{Spec: stacks.DatabaseSpec{Engine: stacks.Engine{Name: engine}}}
	return !slices.ContainsFunc(v.ValidateRegion(t.Context(), db, stacks.Region{Provider: provider}), func(d stacks.Diagnostic) bool { return d.Rule == "engine.unsupported" })
}
