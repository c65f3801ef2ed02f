package stacks_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"meridian/stacks"
)

const minimal = `apiVersion: meridian/v1
kind: Database
metadata: {name: %s}
spec:
  engine: {name: postgres}
  regions: [{name: ankara, provider: local, role: primary}]
`

func TestLoadKeepsEachDocumentsText(t *testing.T) {
	a, b := fmt.Sprintf(minimal, "a"), fmt.Sprintf(minimal, "b")
	loaded, ds := stacks.Load([]stacks.Source{
		{Name: "one.yaml", Text: []byte("\ufeff" + a + "--- # the second\n" + b + "...\n# end\n")},
		{Name: "two.yaml", Text: []byte(strings.ReplaceAll(fmt.Sprintf(minimal, "c"), "\n", "\r\n"))},
	}, "shop")
	if len(ds) > 0 {
		t.Fatalf("refused:\n%s", report(t, ds))
	}
	want := []struct{ name, file, text string }{
		{"a", "one.yaml", a}, {"b", "one.yaml", "--- # the second\n" + b}, {"c", "two.yaml", strings.ReplaceAll(fmt.Sprintf(minimal, "c"), "\n", "\r\n")},
	}
	if len(loaded) != len(want) {
		t.Fatalf("%d documents, want %d", len(loaded), len(want))
	}
	for i, w := range want {
		l := loaded[i]
		if l.Spec.Metadata.Name != w.name || l.Spec.Metadata.Namespace != "shop" || l.File != w.file || string(l.Text) != w.text {
			t.Errorf("document %d: %+v of %s: %q", i, l.Spec.Metadata, l.File, l.Text)
		}
		alone, ds := stacks.Load([]stacks.Source{{Name: "alone", Text: l.Text}}, "shop")
		if len(ds) > 0 || len(alone) != 1 || alone[0].Spec.Metadata.Name != w.name {
			t.Errorf("document %d does not load alone: %v", i, ds)
		}
	}
}

func TestLoadFillsInTheNamespace(t *testing.T) {
	for name, c := range map[string]struct{ given, text, want string }{
		"none given": {"", "{name: a}", "default"},
		"given":      {"shop", "{name: a}", "shop"},
		"written":    {"shop", "{name: a, namespace: bank}", "bank"},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, ds := stacks.Load([]stacks.Source{{Name: "a", Text: []byte(strings.Replace(fmt.Sprintf(minimal, "a"), "{name: a}", c.text, 1))}}, c.given)
			if len(ds) > 0 || loaded[0].Spec.Metadata.Namespace != c.want {
				t.Errorf("namespace %q, want %q; %v", loaded[0].Spec.Metadata.Namespace, c.want, ds)
			}
		})
	}
}

// TestLoadPlacesAreInTheFile holds that a place counts from the file's first line, and in characters.
func TestLoadPlacesAreInTheFile(t *testing.T) {
	text := "# ünïcödé\n" + fmt.Sprintf(minimal, "a") + "---\n" + strings.Replace(fmt.Sprintf(minimal, "b"), "metadata: {", "metadata: {labels: {x: \"ö\"}, ", 1)
	loaded, ds := stacks.Load([]stacks.Source{{Name: "f", Text: []byte(text)}}, "")
	if len(ds) > 0 || len(loaded) != 2 {
		t.Fatal(ds)
	}
	line := `metadata: {labels: {x: "ö"}, name: b}`
	got := loaded[1].Locate([]stacks.Diagnostic{{Field: "metadata.name"}, {Field: "metadata.nothing.at[3].all"}, {Summary: "of no field"}, {Field: "metadata.name", File: "x", Line: 3}})
	want := []stacks.Diagnostic{
		{Field: "metadata.name", File: "f", Line: 11, Column: utf8.RuneCountInString(line[:strings.Index(line, "b}")]) + 1, Length: 1, Snippet: line},
		{Field: "metadata.nothing.at[3].all", File: "f", Line: 11, Column: 1, Length: 8, Snippet: line},
		{Summary: "of no field"},
		{Field: "metadata.name", File: "x", Line: 3},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
}

func TestLoadRefusesWhatIsNoText(t *testing.T) {
	for name, c := range map[string]struct {
		text         string
		rule         string
		line, column int
	}{
		"not UTF-8":         {"a: b\nc: \xff\n", "spec.syntax", 2, 4},
		"control character": {"a: \"ö\x01\"\n", "spec.syntax", 1, 6},
		"UTF-16":            {"\xff\xfea\x00", "spec.syntax", 1, 1},
		"one byte too much": {fmt.Sprintf(minimal, "a") + "#" + strings.Repeat("x", stacks.MaxSpecBytes), "spec.size", 1, 1},
		"many documents":    {strings.Repeat("--- a\n", 1001), "spec.size", 1001, 1},
		"a huge file":       {strings.Repeat("# nothing\n", 2<<20), "spec.size", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, ds := stacks.Load([]stacks.Source{{Name: "f", Text: []byte(c.text)}}, "")
			if len(loaded) > 0 || len(ds) != 1 || ds[0].Rule != c.rule || ds[0].Line != c.line || ds[0].Column != c.column {
				t.Errorf("%d documents, %+v", len(loaded), ds)
			}
		})
	}
	full := fmt.Sprintf(minimal, "a")
	full += "#" + strings.Repeat("x", stacks.MaxSpecBytes-len(full)-1)
	if _, ds := stacks.Load([]stacks.Source{{Name: "f", Text: []byte(full)}}, ""); len(full) != 1<<20 || len(ds) > 0 {
		t.Errorf("a spec of exactly 1 MiB is refused: %v", ds)
	}
}

// hostile returns inputs of about n bytes that are known to hurt parsers of YAML.
func hostile(n int) map[string]string {
	rep := func(s string) string { return strings.Repeat(s, n/len(s)) }
	head := "apiVersion: meridian/v1\nkind: Database\nmetadata: {name: a}\nspec:\n"
	in := map[string]string{
		"brackets":          rep("["),
		"braces":            rep("{a: "),
		"dashes":            rep("- "),
		"question marks":    rep("? "),
		"blank block lines": "a: |\n" + rep("\n"),
		"block of spaces":   "a: |\n" + rep("  \n"),
		"open quote":        "a: \"" + rep("b\n "),
		"many keys":         head,
		"one long line":     head + "  users: [" + rep("{x: y},") + "]",
		"bad users":         head + "  users: [" + rep("{name: A},") + "]",
		"long key":          head + "  " + rep("k") + ": 1",
		"long name":         strings.Replace(head, "{name: a}", "{name: "+rep("A")+"}", 1),
		"long snippet":      head + "  users: [" + rep("{name: A},") + "\n]",
		"anchors":           rep("&a [") + rep("]"),
		"alias to itself":   head + "  users: &a [*a, *a]",
		"aliases": head + "  databases: &d [" + strings.Repeat("{name: x},", n/40) + "]\n  users: *d\n  regions: &r [{name: &n a, provider: *n}]\n" +
			"  replication: {links: [&l {to: a, databases: &s [" + strings.Repeat("a,", n/8) + "]}," + strings.Repeat("*l,", n/8) + "]}",
		"laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n" + func() string {
			var b strings.Builder
			for c := 'b'; c <= 'i'; c++ {
				fmt.Fprintf(&b, "%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
			}
			return head + "  users: *i\n" + b.String()
		}(),
		"many links":     head + "  regions: [{name: a, provider: local, role: primary}, {name: b, provider: local, role: replica}]\n  replication: {links: [" + rep("{to: b, mode: logical},") + "]}",
		"many owners":    head + "  databases: [" + strings.Repeat("{name: b, owner: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac},", n/80) + "]\n",
		"many documents": rep("---\na: [\n"),
		"comments":       rep("# a\n"),
		"carriage":       rep("a: b\r"),
	}
	var keys strings.Builder
	keys.WriteString(head)
	for i := 0; keys.Len() < n; i++ {
		fmt.Fprintf(&keys, "  k%d: v\n", i)
	}
	in["many keys"] = keys.String()
	return in
}

// TestLoadIsBounded reads hostile inputs near the limit: quickly, in memory that is in proportion, with few diagnostics.
func TestLoadIsBounded(t *testing.T) {
	const most = 30 * time.Second // a quadratic step takes minutes; the slowest of these takes less than 1 s on an idle machine
	for name, text := range hostile(stacks.MaxSpecBytes / 2) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, ds := stacks.Check(t.Context(), []stacks.Source{{Name: "f", Text: []byte(text)}}, "", capabilities{})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if took > most {
				t.Errorf("took %s", took)
			}
			if peak := int64(after.Sys-before.Sys) >> 20; peak > 700 { // less than before: something was given back
				t.Errorf("grew by %d MiB", peak)
			}
			told := 0
			for _, d := range ds {
				told += len(d.Summary) + len(d.Detail) + len(d.Next) + len(d.Snippet)
			}
			if len(ds) == 0 || len(ds) > 1300 || told > 1<<20 {
				t.Errorf("%d diagnostics of %d bytes", len(ds), told)
			}
			t.Logf("%s, %d diagnostics, %d MiB allocated", took, len(ds), (after.TotalAlloc-before.TotalAlloc)>>20)
		})
	}
}

// FuzzLoad holds that no input panics, that each diagnostic has its place in the text, and that what is accepted has an effective spec.
func FuzzLoad(f *testing.F) {
	archives, err := filepath.Glob("testdata/refused/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if file.Name != "want" {
				f.Add(file.Data)
			}
		}
	}
	shapes, err := os.ReadFile("testdata/accepted/shapes.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shapes)
	for _, text := range hostile(200) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		loaded, ds := stacks.Check(t.Context(), []stacks.Source{{Name: "f", Text: text}}, "", capabilities{})
		lines := 1 + strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + strings.Count(string(text), "\u0085") +
			strings.Count(string(text), "\u2028") + strings.Count(string(text), "\u2029")
		for _, d := range ds {
			if d.File != "f" || d.Line < 1 || d.Line > lines || d.Column < 1 || d.Rule == "" || d.Summary == "" {
				t.Errorf("incomplete: %+v", d)
			}
			if n := utf8.RuneCountInString(d.Snippet); d.Snippet != "" && d.Column+d.Length-1 > n+1 {
				t.Errorf("beyond the line of %d: %+v", n, d)
			}
		}
		report(t, ds)
		if stacks.HasErrors(ds) {
			return
		}
		for _, l := range loaded {
			if _, err := stacks.Default(t.Context(), l.Spec, capabilities{}); err != nil {
				t.Errorf("accepted, and has no effective spec: %v", err)
			}
		}
	})
}
