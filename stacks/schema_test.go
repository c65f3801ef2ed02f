package stacks_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"meridian/stacks"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := stacks.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaGolden(t *testing.T) {
	text, err := stacks.Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", text)
}

// TestSchemaDescribesEveryField holds that no field was added without a description.
func TestSchemaDescribesEveryField(t *testing.T) {
	var walk func(path string, s *jsonschema.Schema)
	seen := map[*jsonschema.Schema]bool{}
	walk = func(path string, s *jsonschema.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		for name, p := range s.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s has no description", path, name)
			}
			walk(path+"."+name, p)
		}
		walk(path, s.Ref)
		if items, ok := s.Items2020, s.Items2020 != nil; ok {
			walk(path, items)
		}
	}
	walk("", compileSchema(t))
	if len(seen) < 20 {
		t.Errorf("only %d schemas seen", len(seen))
	}
}

// values reads every document of a file as plain values.
func values(t *testing.T, text []byte) []any {
	t.Helper()
	var out []any
	for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var v any
		if dec.Decode(&v) != nil {
			return out
		}
		if v != nil {
			out = append(out, v)
		}
	}
}

func TestSchemaAcceptsWhatIsAccepted(t *testing.T) {
	schema := compileSchema(t)
	for _, path := range accepted(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		docs := values(t, text)
		if len(docs) == 0 {
			t.Errorf("%s has no document", path)
		}
		for i, v := range docs {
			if err := schema.Validate(nulls(v)); err != nil {
				t.Errorf("%s, document %d: %v", path, i, err)
			}
		}
	}
}

// nulls leaves out what has no value, as loading does.
func nulls(v any) any {
	if m, ok := v.(map[string]any); ok {
		for k, e := range m {
			if e == nil {
				delete(m, k)
				continue
			}
			m[k] = nulls(e)
		}
	}
	return v
}

// TestSchemaRefusesShapes holds that the schema sees what an editor can see.
func TestSchemaRefusesShapes(t *testing.T) {
	schema := compileSchema(t)
	for _, name := range []string{"fields", "types", "required"} {
		a, err := txtar.ParseFile(filepath.Join("testdata/refused", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			for _, v := range values(t, f.Data) {
				if f.Name != "want" && schema.Validate(v) == nil {
					t.Errorf("%s: %s is accepted", name, f.Name)
				}
			}
		}
	}
}
