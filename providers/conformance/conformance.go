// Package conformance is the suite that every provider passes: what the rest of Meridian relies on, whatever the cloud.
//
// It must never reach a cloud: it asks the capabilities that are pure or look, and of the others only a provider whose cloud a World stands for.
package conformance

import (
	"encoding/json"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

// Suite is a provider and what it is tried with.
type Suite struct {
	Provider providers.Provider
	// Database is an effective spec with at least two regions of this provider.
	Database stacks.Database
	// Outputs are what the module of a region might have for outputs.
	Outputs func(p stacks.Placement) map[string]any
	// Source is the place of the region that the others join, where they join one.
	Source stacks.Placement
	// Package is what the regions' source led to, for a provider whose modules are not ours.
	Package *stacks.Package
	// Blind says that nobody can look up what a region's module makes: a person is asked.
	Blind bool
	// BadParameters maps parameters that the engine has not, or not so, to a value.
	BadParameters map[string]string
	// World makes what stands for the cloud; nil where nothing does. The database's regions look as Database says.
	World func(*testing.T) World
}

// Run runs the suite. A capability that the provider has not is skipped, by name.
func Run(t *testing.T, s Suite) {
	t.Helper()
	t.Run("name", s.name)
	t.Run("versions", s.versions)
	t.Run("validation", s.validation)
	t.Run("placement", s.placement)
	t.Run("module call", s.moduleCall)
	t.Run("endpoint", s.endpoint)
	t.Run("locate", s.locate)
	t.Run("statuses", s.statuses)
	t.Run("inventory", s.inventory)
	t.Run("removal", s.removal)
	t.Run("troubles", s.troubles)
	t.Run("rejection", s.rejection)
}

func has[T any](t *testing.T, p providers.Provider) T {
	t.Helper()
	c, err := providers.As[T](p)
	if err != nil {
		t.Skip(err)
	}
	return c
}

func (s Suite) name(t *testing.T) {
	name := s.Provider.Name()
	if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, " ./_") {
		t.Fatalf("%q cannot be a word of the spec", name)
	}
	for _, r := range s.Database.Spec.Regions {
		if r.Provider != name {
			t.Fatalf("the suite's region %s is of provider %s", r.Name, r.Provider)
		}
	}
}

func (s Suite) versions(t *testing.T) {
	p := has[providers.EngineVersions](t, s.Provider)
	got, err := p.EngineVersions(t.Context(), s.Database.Spec.Engine.Name)
	if err != nil || len(got) == 0 {
		t.Fatalf("%v, %v", got, err)
	}
	if !slices.IsSortedFunc(got, func(a, b string) int { return compare(t, b, a) }) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Fatalf("not newest first, each once: %v", got)
	}
	if _, err := p.EngineVersions(t.Context(), "no-such-engine"); err == nil {
		t.Fatal("an unknown engine has versions")
	}
}

func compare(t *testing.T, a, b string) int {
	t.Helper()
	return slices.Compare(numbers(t, a), numbers(t, b))
}

func numbers(t *testing.T, version string) []int {
	t.Helper()
	var out []int
	for _, part := range strings.Split(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			t.Fatalf("version %q is not exact: %v", version, err)
		}
		out = append(out, n)
	}
	return out
}

func (s Suite) validation(t *testing.T) {
	p := has[providers.Validator](t, s.Provider)
	for _, r := range s.Database.Spec.Regions {
		if ds := p.ValidateRegion(t.Context(), s.Database, r); len(ds) > 0 {
			t.Fatalf("a good region is refused: %+v", ds)
		}
	}
	for name, value := range s.BadParameters {
		db := s.clone(t)
		db.Spec.Engine.Parameters = map[string]string{name: value}
		ds := p.ValidateRegion(t.Context(), db, db.Spec.Regions[0])
		if len(ds) != 1 {
			t.Fatalf("parameter %s=%s: want one diagnostic, have %+v", name, value, ds)
		}
		if d := ds[0]; d.Severity != stacks.SeverityError || d.Field != "spec.engine.parameters."+name || d.Rule == "" || d.Summary == "" || d.Next == "" {
			t.Fatalf("parameter %s: a diagnostic tells what, where and what next: %+v", name, d)
		}
	}
	db := s.clone(t)
	db.Spec.Regions[1].Location = "no-such-location"
	ds := p.ValidateRegion(t.Context(), db, db.Spec.Regions[1])
	if len(ds) != 1 || !strings.HasPrefix(ds[0].Field, "spec.regions[1]") {
		t.Fatalf("an unknown location: %+v", ds)
	}
}

func (s Suite) clone(t *testing.T) stacks.Database {
	t.Helper()
	text, err := json.Marshal(s.Database)
	if err != nil {
		t.Fatal(err)
	}
	var db stacks.Database
	if err := json.Unmarshal(text, &db); err != nil {
		t.Fatal(err)
	}
	return db
}

func (s Suite) placement(t *testing.T) {
	p := has[providers.Placer](t, s.Provider)
	var taken []string
	homes := map[string]bool{}
	for i := range 100 {
		id := stacks.StackID{Namespace: "default", Name: "db" + strconv.Itoa(i/2), Incarnation: "abcd1234", Region: s.Database.Spec.Regions[i%2].Name}
		place, err := p.Place(t.Context(), providers.PlaceInput{Engine: s.Database.Spec.Engine.Name, Stack: id, Taken: taken})
		if err != nil {
			t.Fatal(err)
		}
		hostPort := net.JoinHostPort(place.Address, strconv.Itoa(place.Port))
		if slices.Contains(taken, hostPort) {
			t.Fatalf("%s was given twice", hostPort)
		}
		values, err := json.Marshal(place.Values)
		if err != nil {
			t.Fatal(err)
		}
		if homes[string(values)] {
			t.Fatalf("two regions got %s", values)
		}
		homes[string(values)] = true
		if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", hostPort); err != nil {
			t.Fatalf("the place is not free: %v", err)
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		taken = append(taken, hostPort)
	}
	// What answers is passed over, though nobody said that it is taken.
	id := stacks.StackID{Namespace: "default", Name: "busy", Incarnation: "abcd1234", Region: "r"}
	first, err := p.Place(t.Context(), providers.PlaceInput{Engine: s.Database.Spec.Engine.Name, Stack: id})
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(first.Address, strconv.Itoa(first.Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	second, err := p.Place(t.Context(), providers.PlaceInput{Engine: s.Database.Spec.Engine.Name, Stack: id})
	if err != nil || (second.Address == first.Address && second.Port == first.Port) {
		t.Fatalf("%+v was given while something listens there: %v", second, err)
	}
}

// input makes what a region's module call is made from.
func (s Suite) input(t *testing.T, i int) providers.ModuleInput {
	t.Helper()
	db := s.clone(t)
	in := providers.ModuleInput{
		Stack:    stacks.StackID{Namespace: db.Metadata.Namespace, Name: db.Metadata.Name, Incarnation: "abcd1234", Region: db.Spec.Regions[i].Name},
		Database: db, Region: db.Spec.Regions[i], Source: s.Source, Package: s.Package,
	}
	if p, err := providers.As[providers.Placer](s.Provider); err == nil {
		if in.Placement, err = p.Place(t.Context(), providers.PlaceInput{Engine: s.Database.Spec.Engine.Name, Stack: in.Stack}); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func (s Suite) moduleCall(t *testing.T) {
	p := has[providers.ModuleCaller](t, s.Provider)
	first, second := s.input(t, 0), s.input(t, 1)
	call, err := p.ModuleCall(first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.ModuleCall(first)
	if err != nil || !reflect.DeepEqual(call, again) {
		t.Fatalf("the same region makes another call: %v", err)
	}
	other, err := p.ModuleCall(second)
	if err != nil || reflect.DeepEqual(call.Inputs, other.Inputs) {
		t.Fatalf("two regions make the same call: %v", err)
	}
	for name, value := range call.Inputs {
		_, variable := value.(stacks.Variable)
		if !variable && strings.Contains(name, "password") && !strings.HasSuffix(name, "_version") || !variable && strings.Contains(name, "secret") {
			t.Errorf("input %s may hold a secret; secrets go by Secrets", name)
		}
		if _, twice := call.Secrets[name]; twice {
			t.Errorf("%s is an input and a secret", name)
		}
	}
	var named []string
	if n, err := providers.As[providers.SecretNames](s.Provider); err == nil {
		named = n.SecretNames(first)
	}
	secrets := maps.Clone(call.Secrets)
	if call.Foreign != nil {
		secrets = map[string]string{}
		for variable, v := range call.Foreign.Variables {
			secrets[variable] = v.Secret
		}
	}
	for variable, secret := range secrets {
		if !slices.Contains(named, secret) {
			t.Errorf("secret %s of %s is not among SecretNames %v: nobody would make it", secret, variable, named)
		}
	}
	if len(call.DataBearing) == 0 || len(call.Outputs) == 0 || len(call.Providers) == 0 {
		t.Errorf("a database bears data, has outputs and a provider: %+v", call)
	}
	for _, r := range call.Providers {
		if r.Version == "" || strings.ContainsAny(r.Version, "<>=~ ") {
			t.Errorf("provider %s is not pinned: %q", r.Source, r.Version)
		}
	}
	stack, err := stacks.Render(first.Stack, call)
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	same, err := stacks.Render(first.Stack, again)
	if err != nil || stack.Digest != same.Digest {
		t.Fatalf("rendering is not stable: %v", err)
	}
}

// locate looks for what was never made, and for what nobody knows.
func (s Suite) locate(t *testing.T) {
	p := has[providers.Locator](t, s.Provider)
	in := s.input(t, 0)
	call, err := has[providers.ModuleCaller](t, s.Provider).ModuleCall(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range call.DataBearing {
		found, err := p.Locate(t.Context(), providers.LocateInput{ModuleInput: in, Address: "module.database." + typ + ".this", Type: typ})
		want := providers.FoundAbsent
		if s.Blind {
			want = providers.FoundUnknown
		}
		if err != nil || found.State != want || found.ImportID != "" || found.Evidence == "" {
			t.Errorf("a %s that was never made: %+v, %v", typ, found, err)
		}
	}
	found, err := p.Locate(t.Context(), providers.LocateInput{ModuleInput: in, Address: "no_such_type.x", Type: "no_such_type"})
	if err != nil || found.State != providers.FoundUnknown || found.Evidence == "" {
		t.Errorf("a type that nobody knows: %+v, %v", found, err)
	}
}

func (s Suite) endpoint(t *testing.T) {
	p := has[providers.EndpointReader](t, s.Provider)
	in := providers.EndpointInput{ModuleInput: s.input(t, 0)}
	if _, err := p.Endpoint(in); err == nil {
		t.Fatal("an endpoint from no outputs")
	}
	in.Outputs = s.Outputs(in.Placement)
	e, err := p.Endpoint(in)
	if err != nil {
		t.Fatal(err)
	}
	if e.Host == "" || e.Port == 0 || e.User == "" || e.Secret == "" || e.TLSMode == "" {
		t.Fatalf("incomplete: %+v", e)
	}
	if n, err := providers.As[providers.SecretNames](s.Provider); err == nil && !slices.Contains(n.SecretNames(in.ModuleInput), e.Secret) {
		t.Fatalf("the endpoint's secret %s is none of the region's", e.Secret)
	}
	// The state is JSON: its numbers may arrive as any of Go's.
	text, err := json.Marshal(in.Outputs)
	if err != nil {
		t.Fatal(err)
	}
	in.Outputs = nil
	if err := json.Unmarshal(text, &in.Outputs); err != nil {
		t.Fatal(err)
	}
	if decoded, err := p.Endpoint(in); err != nil || decoded != e {
		t.Fatalf("%+v, %v; want %+v", decoded, err, e)
	}
}
