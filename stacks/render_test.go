package stacks_test

import (
	"bytes"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"

	"meridian/modules"
	"meridian/stacks"
)

var ankara = stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "k3x9q2ab", Region: "ankara"}

func localCall() stacks.ModuleCall {
	return stacks.ModuleCall{
		Module: "local-postgres",
		Inputs: map[string]any{
			"name": "orders-ankara", "owner": "default/orders/k3x9q2ab/ankara", "address": "127.4.7.1", "port": int64(5432),
			"data_dir": "/var/lib/meridian/clusters/k3x9q2ab-ankara", "engine_version": "18",
			"settings": map[string]any{"max_connections": "50", "auto_explain.log_analyze": "on"},
		},
		Secrets:     map[string]string{"admin_password": "region/ankara/admin"},
		Outputs:     []string{"port", "host"},
		Providers:   []stacks.ProviderConfig{{ProviderRequirement: stacks.ProviderRequirement{LocalName: "localdb", Source: "meridian.internal/meridian/localdb", Version: "0.1.0-dev.3f2a9c1"}}},
		DataBearing: []string{"localdb_postgres"},
	}
}

// cloudCall is richer than the local provider's: a configured provider, several secrets, nested values, what could be code.
func cloudCall() stacks.ModuleCall {
	c := localCall()
	c.Inputs["name"] = `orders "${file("/etc/passwd")}" %{ if true }x%{ endif }` + "\nnext"
	c.Inputs["settings"] = map[string]string{"for": "x", "null": "y", "true": "z", "\ufeffA": "a byte order mark", "a-b": "$${}", "${var.admin_password}": "key"}
	c.Inputs["address"] = nil
	c.Secrets["replication_password"] = "link/ankara-istanbul"
	c.Providers = append(c.Providers, stacks.ProviderConfig{
		ProviderRequirement: stacks.ProviderRequirement{LocalName: "aws", Source: "hashicorp/aws", Version: "5.100.0"},
		Config: map[string]any{"region": "eu-central-1", "max_retries": 5, "skip_metadata_api_check": true, "factor": 1.5, "allowed_account_ids": []string{"123456789012"},
			"empty": []any{}, "tags": map[string]any{}},
		Blocks: map[string]map[string]any{"assume_role": {"role_arn": "arn:aws:iam::123456789012:role/db", "duration": "1h"}},
	})
	return c
}

func render(t *testing.T, call stacks.ModuleCall) stacks.Stack {
	t.Helper()
	st, err := stacks.Render(ankara, call)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestRenderGolden(t *testing.T) {
	for name, call := range map[string]stacks.ModuleCall{"local": localCall(), "cloud": cloudCall()} {
		t.Run(name, func(t *testing.T) {
			st := render(t, call)
			a := &txtar.Archive{Comment: []byte("A rendered stack; the module's own files are left out.\n")}
			for _, f := range st.Files {
				if !strings.HasPrefix(f.Path, "modules/") {
					a.Files = append(a.Files, txtar.File{Name: f.Path, Data: f.Content})
				}
			}
			golden(t, "testdata/rendered/"+name+".txtar", txtar.Format(a))
			for range 5 {
				if again := render(t, call); !reflect.DeepEqual(again, st) {
					t.Error("the same call gave another stack")
				}
			}
		})
	}
}

func TestRenderCarriesTheModule(t *testing.T) {
	st := render(t, localCall())
	files, err := modules.Files("local-postgres")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	have := map[string][]byte{}
	for _, f := range st.Files {
		have[f.Path] = f.Content
	}
	for _, f := range files {
		if !bytes.Equal(have["modules/local-postgres/"+f.Path], f.Content) {
			t.Errorf("%s is not the module's", f.Path)
		}
	}
	if !slices.IsSortedFunc(st.Files, func(a, b stacks.File) int { return strings.Compare(a.Path, b.Path) }) {
		t.Error("files are not in order of path")
	}
	want := []stacks.ModuleEntry{{Dir: "."}, {Key: "database", Source: "./modules/local-postgres", Dir: "modules/local-postgres"}}
	if !reflect.DeepEqual(st.Modules, want) {
		t.Errorf("modules %+v", st.Modules)
	}
	if len(st.Providers) != 1 || st.Providers[0] != localCall().Providers[0].ProviderRequirement || st.ID != ankara ||
		!maps.Equal(st.Secrets, localCall().Secrets) || !slices.Equal(st.DataBearing, []string{"localdb_postgres"}) {
		t.Errorf("%+v", st)
	}
}

// TestRenderDigest holds that whatever changes a file changes the digest.
func TestRenderDigest(t *testing.T) {
	base := render(t, localCall()).Digest
	seen := map[string]string{base: "nothing"}
	for name, change := range map[string]func(*stacks.ModuleCall){
		"an input":        func(c *stacks.ModuleCall) { c.Inputs["port"] = int64(5433) },
		"a nested input":  func(c *stacks.ModuleCall) { c.Inputs["settings"].(map[string]any)["max_connections"] = "51" },
		"a secret's name": func(c *stacks.ModuleCall) { c.Secrets["admin_password"] = "region/ankara/other" },
		"an output":       func(c *stacks.ModuleCall) { c.Outputs = append(c.Outputs, "version") },
		"a version":       func(c *stacks.ModuleCall) { c.Providers[0].Version = "0.1.1" },
	} {
		call := localCall()
		change(&call)
		d := render(t, call).Digest
		if len(d) != 64 || seen[d] != "" {
			t.Errorf("changing %s gives the digest of changing %s", name, seen[d])
		}
		seen[d] = name
	}
}

func TestRenderRefuses(t *testing.T) {
	for name, change := range map[string]func(*stacks.StackID, *stacks.ModuleCall){
		"a name with a line break":    func(id *stacks.StackID, _ *stacks.ModuleCall) { id.Name = "a\nresource" },
		"an incarnation with a slash": func(id *stacks.StackID, _ *stacks.ModuleCall) { id.Incarnation = "../x" },
		"an unknown module":           func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Module = "../stacks" },
		"an input that is code":       func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Inputs["a = 1\nb"] = "x" },
		"an input named source":       func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Inputs["source"] = "x" },
		"an input of another type":    func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Inputs["x"] = struct{}{} },
		"an input not a number":       func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Inputs["x"] = []any{math.NaN()} },
		"an input that is no UTF-8":   func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Inputs["x"] = map[string]any{"\xff": 1} },
		"a secret that is an input":   func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Inputs["admin_password"] = "x" },
		"a secret's name with quotes": func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Secrets["x"] = `a"b` },
		"an output twice":             func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Outputs = []string{"host", "host"} },
		"an output that is code":      func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Outputs = []string{`x" {}`} },
		"a version range":             func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Providers[0].Version = "~> 1.0" },
		"a provider twice":            func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Providers = append(c.Providers, c.Providers[0]) },
		"a source with a line break":  func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Providers[0].Source = "a/b\n" },
		"a setting named alias":       func(_ *stacks.StackID, c *stacks.ModuleCall) { c.Providers[0].Config = map[string]any{"alias": "x"} },
	} {
		t.Run(name, func(t *testing.T) {
			id, call := ankara, localCall()
			change(&id, &call)
			if st, err := stacks.Render(id, call); err == nil || len(st.Files) > 0 {
				t.Errorf("rendered: %v", err)
			}
		})
	}
}

// moduleInputs parses main.tf and evaluates the arguments of its one block without any variable or function: all must be constants.
func moduleInputs(t interface {
	Helper()
	Fatalf(string, ...any)
}, st stacks.Stack, secrets map[string]string) map[string]cty.Value {
	t.Helper()
	i := slices.IndexFunc(st.Files, func(f stacks.File) bool { return f.Path == "main.tf" })
	parsed, diags := hclsyntax.ParseConfig(st.Files[i].Content, "main.tf", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, st.Files[i].Content)
	}
	body := parsed.Body.(*hclsyntax.Body)
	if len(body.Attributes) > 0 || len(body.Blocks) != 1 || body.Blocks[0].Type != "module" || len(body.Blocks[0].Body.Blocks) > 0 {
		t.Fatalf("not one module call:\n%s", st.Files[i].Content)
	}
	out := map[string]cty.Value{}
	for name, attr := range body.Blocks[0].Body.Attributes {
		if _, secret := secrets[name]; secret || name == "source" {
			continue
		}
		v, diags := attr.Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatalf("%s is no constant: %v\n%s", name, diags, st.Files[i].Content)
		}
		out[name] = v
	}
	return out
}

// same reports whether an HCL value is what was given. Terraform's strings are normalised (NFC), so they are compared as cty has them.
func same(v cty.Value, want any) bool {
	switch want := want.(type) {
	case nil:
		return v.IsNull()
	case string:
		return v.Type() == cty.String && v.RawEquals(cty.StringVal(want))
	case bool:
		return v.Type() == cty.Bool && v.True() == want
	case int64:
		return v.Type() == cty.Number && v.RawEquals(cty.NumberIntVal(want))
	case []any:
		if !v.Type().IsTupleType() || v.LengthInt() != len(want) {
			return false
		}
		for i, e := range v.AsValueSlice() {
			if !same(e, want[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		keys := map[string]any{}
		for k, e := range want {
			keys[cty.StringVal(k).AsString()] = e
		}
		if !v.Type().IsObjectType() || v.LengthInt() != len(keys) {
			return false
		}
		for k, e := range v.AsValueMap() {
			if given, ok := keys[k]; !ok || len(keys) == len(want) && !same(e, given) {
				return false
			}
		}
		return true
	}
	return false
}

// TestRenderValuesSurvive holds that any value, however deep and whatever its texts, is read back as it was given.
func TestRenderValuesSurvive(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([$%"\\{}]|null|for|true|\n|a){0,12}`))
	scalar := rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Int64(), func(i int64) any { return i }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Just[any](nil))
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return scalar
		}
		return rapid.OneOf(scalar, rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(s []any) any { return s }),
			rapid.Map(rapid.MapOfN(text, value(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	rapid.Check(t, func(t *rapid.T) {
		call := localCall()
		call.Inputs = rapid.MapOfN(rapid.StringMatching(`in_[a-z_0-9-]{1,8}`), value(3), 0, 5).Draw(t, "inputs")
		st, err := stacks.Render(ankara, call)
		if err != nil {
			t.Fatalf("%v", err)
		}
		got := moduleInputs(t, st, call.Secrets)
		if len(got) != len(call.Inputs) {
			t.Fatalf("%d inputs of %d", len(got), len(call.Inputs))
		}
		for name, want := range call.Inputs {
			if !same(got[name], want) {
				t.Fatalf("%s is %#v, want %#v", name, got[name], want)
			}
		}
	})
}

// FuzzRender holds that no text of a user becomes code, wherever it stands.
func FuzzRender(f *testing.F) {
	for _, s := range []string{"", "x", "${path.module}", "%{ for x in [] }", `"`, "\\", "\n}\nresource \"a\" \"b\" {", "$${", "$", "null", "for", "#", "/*", "<<EOT\nx\nEOT\n", "\u2028", "é", "e\u0301", "\x00", "\xff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		call := localCall()
		call.Inputs = map[string]any{"text": text, "map": map[string]any{key: text, "other": []any{text, map[string]any{key: key}}}}
		call.Providers[0].Config = map[string]any{"root": text}
		st, err := stacks.Render(ankara, call)
		if !utf8.ValidString(key) || !utf8.ValidString(text) {
			if err == nil {
				t.Fatal("rendered what is no UTF-8")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got := moduleInputs(t, st, call.Secrets)
		for name, want := range call.Inputs {
			if !same(got[name], want) {
				t.Errorf("%s is %#v, want %#v", name, got[name], want)
			}
		}
	})
}

// TestRenderFormat holds that terraform would not write the files otherwise.
func TestRenderFormat(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("there is no terraform to ask")
	}
	dir := t.TempDir()
	for _, f := range render(t, cloudCall()).Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), terraform, "fmt", "-check", "-diff", "-recursive", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "CHECKPOINT_DISABLE=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
