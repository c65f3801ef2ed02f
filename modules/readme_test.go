package modules_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryResourceCanBeFoundAgain holds the table in README.md to the modules: a row for each type of each module, and no other.
func TestEveryResourceCanBeFoundAgain(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| `([a-z0-9_]+)` \\| (.+) \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		if strings.TrimSpace(m[3]) == "" || strings.TrimSpace(m[4]) == "" {
			t.Errorf("the row of %s in %s does not say how it is found again", m[2], m[1])
		}
		rows[m[1]+" "+m[2]] = true
	}
	files, err := filepath.Glob("*/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	types := map[string]bool{}
	for _, f := range files {
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^resource "([a-z0-9_]+)"`).FindAllStringSubmatch(string(source), -1) {
			types[filepath.Dir(f)+" "+m[1]] = true
		}
	}
	for typ := range types {
		if !rows[typ] {
			t.Errorf("README.md has no row for %s: how is one found again after a kill?", typ)
		}
	}
	for row := range rows {
		if !types[row] {
			t.Errorf("README.md has a row for %s, which no module has", row)
		}
	}
}
