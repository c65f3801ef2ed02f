package workflows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"meridian/orchestrator/activities"
)

// TestFakesAreLikeTheActivities keeps the canned activities honest: each real one has one, with the same signature.
func TestFakesAreLikeTheActivities(t *testing.T) {
	fakes := (&world{}).functions()
	for _, r := range activities.New(activities.Options{}).Registrations() {
		if got, want := reflect.TypeOf(fakes[r.Name]), reflect.TypeOf(r.Func); got != want {
			t.Errorf("%s is canned as %v, the real one is %v", r.Name, got, want)
		}
		delete(fakes, r.Name)
	}
	for name := range fakes {
		t.Errorf("%s is canned and not registered", name)
	}
}

// TestEveryActivityHasAUse wants each name of the contract registered once and used by a workflow.
func TestEveryActivityHasAUse(t *testing.T) {
	used := map[string]bool{}
	for _, file := range sources(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "activities" {
					used[s.Sel.Name] = true
				}
			}
			return true
		})
	}
	registered := map[string]int{}
	for _, r := range activities.New(activities.Options{}).Registrations() {
		registered[r.Name]++
	}
	names := names(t, "../activities")
	if len(names) != len(registered) {
		t.Errorf("%d names in the contract, %d activities registered", len(names), len(registered))
	}
	for constant, name := range names {
		if registered[name] != 1 {
			t.Errorf("%s is registered %d times", constant, registered[name])
		}
		if constant != "Name"+name {
			t.Errorf("%s says %q", constant, name)
		}
		if !used[constant] {
			t.Errorf("no workflow uses activities.%s", constant)
		}
	}
}

// names are the constants Name... of a package and what they say.
func names(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range sources(t, dir) {
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, id := range v.Names {
				if text, ok := value(v, i); ok && strings.HasPrefix(id.Name, "Name") {
					out[id.Name] = text
				}
			}
			return true
		})
	}
	if len(out) == 0 {
		t.Fatalf("no name found in %s", dir)
	}
	return out
}

func value(v *ast.ValueSpec, i int) (string, bool) {
	if i >= len(v.Values) {
		return "", false
	}
	lit, ok := v.Values[i].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	return strings.Trim(lit.Value, `"`), true
}

// sources are the parsed files of a package, without its tests.
func sources(t *testing.T, dir string) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, file)
	}
	return out
}

// TestInputsOpenWithTheContract wants a contract version as the first field of whatever enters an activity or a workflow, so that a
// worker of another version knows what it reads.
func TestInputsOpenWithTheContract(t *testing.T) {
	inputs := []reflect.Type{
		reflect.TypeFor[DatabaseInput](), reflect.TypeFor[RunInput](), reflect.TypeFor[RegionInput](),
	}
	for _, r := range activities.New(activities.Options{}).Registrations() {
		f := reflect.TypeOf(r.Func)
		if f.NumIn() != 2 {
			t.Errorf("%s takes %d arguments, want a context and one input", r.Name, f.NumIn())
			continue
		}
		inputs = append(inputs, f.In(1))
	}
	for _, in := range inputs {
		first := in.Field(0)
		for first.Anonymous {
			first = first.Type.Field(0)
		}
		if first.Name != "Contract" || first.Type.Kind() != reflect.Int {
			t.Errorf("%v opens with %s %v, want Contract int", in, first.Name, first.Type)
		}
	}
}

// TestOnlyPlainFieldsEnterHistories wants inputs and results of words, numbers, yes and no: nothing that could carry a plan, a state or
// an error's text, and nothing whose order a map decides.
func TestOnlyPlainFieldsEnterHistories(t *testing.T) {
	types := []reflect.Type{reflect.TypeFor[DatabaseInput](), reflect.TypeFor[RunInput](), reflect.TypeFor[RegionInput]()}
	for _, r := range activities.New(activities.Options{}).Registrations() {
		f := reflect.TypeOf(r.Func)
		for i := 1; i < f.NumIn(); i++ {
			types = append(types, f.In(i))
		}
		for i := range f.NumOut() - 1 {
			types = append(types, f.Out(i))
		}
	}
	for _, typ := range types {
		plain(t, typ.String(), typ)
	}
}

func plain(t *testing.T, path string, typ reflect.Type) {
	t.Helper()
	switch typ.Kind() {
	case reflect.String, reflect.Int, reflect.Bool:
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			t.Errorf("%s is bytes", path)
		}
		plain(t, path+"[]", typ.Elem())
	case reflect.Struct:
		for f := range typ.Fields() {
			if slices.Contains([]string{"Message", "Error", "Plan", "State", "Password", "Secret", "Path"}, f.Name) {
				t.Errorf("%s.%s does not belong in a history", path, f.Name)
			}
			plain(t, path+"."+f.Name, f.Type)
		}
	default:
		t.Errorf("%s is %v, want plain fields", path, typ)
	}
}
