package stacks_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestDocsNameEverything holds that docs/spec.md names every field of the schema and every rule in the code.
func TestDocsNameEverything(t *testing.T) {
	text, err := os.ReadFile("../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	named := func(what string) {
		if !strings.Contains(string(text), "`"+what+"`") {
			t.Errorf("docs/spec.md does not name `%s`", what)
		}
	}
	fields := 0
	var walk func(path string, s *jsonschema.Schema)
	walk = func(path string, s *jsonschema.Schema) {
		switch {
		case s.Ref != nil:
			walk(path, s.Ref)
		case s.Items2020 != nil && s.Items2020.Ref != nil:
			walk(path+"[]", s.Items2020)
		case len(s.Properties) > 0:
			for name, p := range s.Properties {
				walk(strings.TrimPrefix(path+"."+name, "."), p)
			}
		default:
			fields++
			named(path)
		}
	}
	walk("", compileSchema(t))
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]bool{}
	rule := regexp.MustCompile(`(?:Rule: |refuse\(|kept\(|SeverityError, )"([a-z]+\.[A-Za-z-]+)"`)
	for _, f := range files {
		code, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(f, "_test.go") {
			for _, m := range rule.FindAllStringSubmatch(string(code), -1) {
				rules[m[1]] = true
			}
		}
	}
	for r := range rules {
		named(r)
	}
	if fields < 25 || len(rules) < 40 {
		t.Errorf("only %d fields and %d rules seen", fields, len(rules))
	}
}
