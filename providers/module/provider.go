// Package module is the provider whose places are whatever a Terraform module makes that is not ours: a registry's, one in git, one beside
// the spec. The spec says what goes into it and what its outputs mean.
//
// It must never run terraform, and know nothing of any one module: what it needs to know of one is read from its files.
package module

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

// Name is the provider's word in the spec.
const Name = "module"

// Provider is the provider module.
type Provider struct {
	limits *Limits
}

var (
	_ providers.Provider        = (*Provider)(nil)
	_ providers.Validator       = (*Provider)(nil)
	_ providers.EndpointChecker = (*Provider)(nil)
	_ providers.ModuleSourcer   = (*Provider)(nil)
	_ providers.PackageChecker  = (*Provider)(nil)
	_ providers.ModuleCaller    = (*Provider)(nil)
	_ providers.SecretNames     = (*Provider)(nil)
	_ providers.SecretOutputs   = (*Provider)(nil)
	_ providers.InputRefs       = (*Provider)(nil)
	_ providers.EndpointReader  = (*Provider)(nil)
	_ providers.Gate            = (*Provider)(nil)
	_ providers.LaunchMemory    = (*Provider)(nil)
	_ providers.Locator         = (*Provider)(nil)
)

// New returns the provider, which takes any module.
func New() *Provider { return &Provider{} }

// Name is "module".
func (*Provider) Name() string { return Name }

// LaunchMemory is room for a provider of a large cloud: nobody knows which plugins a module starts.
func (*Provider) LaunchMemory(string) int { return 900 }

// ModuleSource says where the region's module comes from.
func (*Provider) ModuleSource(in providers.ModuleInput) (stacks.ModuleSource, error) {
	s, err := settingsOf(in)
	if err != nil {
		return stacks.ModuleSource{}, err
	}
	source := stacks.ModuleSource{Source: s.Source, Version: s.Version, Install: stacks.Installation{CLIConfig: s.CLIConfig, Mirror: s.Mirror}}
	for _, name := range slices.Sorted(maps.Keys(s.RequiredProviders)) {
		r := s.RequiredProviders[name]
		source.Requires = append(source.Requires, stacks.ProviderRequirement{LocalName: name, Source: sourceOf(name, r.Source), Version: r.Version})
	}
	return source, nil
}

// sourceOf is a provider's source, by its name where none is given.
func sourceOf(name, source string) string { return cmp.Or(source, "hashicorp/"+name) }

// SecretNames names the secrets that the spec's inputs and provider configurations take, and that its endpoint has. Those that the module
// makes itself are not among them.
func (*Provider) SecretNames(in providers.ModuleInput) []string {
	s, err := settingsOf(in)
	if err != nil {
		return nil
	}
	var out []string
	for _, name := range s.secrets() {
		out = append(out, regionSecret(in.Region.Name, name))
	}
	return out
}

func regionSecret(region, name string) string { return "region/" + region + "/" + name }

// madeSecret is the catalog's name of the password that the module made.
func madeSecret(region string) string { return regionSecret(region, "output") }

// SecretOutputs names the output that holds the password, where the module makes it.
func (*Provider) SecretOutputs(in providers.ModuleInput) map[string]string {
	s, err := settingsOf(in)
	if err != nil || s.Outputs.Secret == "" {
		return nil
	}
	return map[string]string{madeSecret(in.Region.Name): s.Outputs.Secret}
}

// InputRefs lists what the inputs take from other databases.
func (*Provider) InputRefs(in providers.ModuleInput) []providers.InputRef {
	s, err := settingsOf(in)
	if err != nil {
		return nil
	}
	at := regionField(in.Database, in.Region.Name) + ".settings."
	var out []providers.InputRef
	s.visit(func(path string, v any) {
		if ref, ok := asRef(v, in.Stack.Namespace); ok {
			out = append(out, providers.InputRef{Field: at + path, OutputRef: ref})
		}
	})
	return out
}

// ModuleCall makes the call of the region's module. Inputs were checked when the spec was submitted.
func (*Provider) ModuleCall(in providers.ModuleInput) (stacks.ModuleCall, error) {
	s, err := settingsOf(in)
	if err != nil {
		return stacks.ModuleCall{}, err
	}
	if in.Package == nil {
		return stacks.ModuleCall{}, fmt.Errorf("region %s: its module was not fetched: submit the spec again: %w", in.Region.Name, providers.ErrPermanent)
	}
	face, err := stacks.Inspect(in.Package.Files, in.Package.Dir)
	if err != nil {
		return stacks.ModuleCall{}, fmt.Errorf("module of %s: %w: %w", in.Region.Name, err, providers.ErrPermanent)
	}
	b := builder{in: in, face: face, variables: map[string]stacks.SecretVariable{}}
	call := stacks.ModuleCall{Inputs: map[string]any{}, DataBearing: s.DataBearing}
	for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
		v, _ := face.Variable(name)
		if call.Inputs[name], err = b.value(s.Inputs[name], !v.Ephemeral); err != nil {
			return call, fmt.Errorf("input %s of %s: %w", name, in.Region.Name, err)
		}
	}
	foreign := &stacks.ForeignCall{Package: *in.Package, Passes: s.passes(face)}
	for _, address := range slices.Sorted(maps.Keys(s.Providers)) {
		block := stacks.ProviderBlock{Config: map[string]any{}}
		block.Name, block.Alias, _ = strings.Cut(address, ".")
		for _, name := range slices.Sorted(maps.Keys(s.Providers[address])) {
			if block.Config[name], err = b.value(s.Providers[address][name], false); err != nil {
				return call, fmt.Errorf("provider %s of %s: %w", address, in.Region.Name, err)
			}
		}
		foreign.Configs = append(foreign.Configs, block)
	}
	foreign.Variables = b.variables
	if call.Providers, err = s.requirements(face, *in.Package); err != nil {
		return call, fmt.Errorf("region %s: %w: %w", in.Region.Name, err, providers.ErrPermanent)
	}
	open, secret := s.exports()
	call.Outputs, foreign.Sensitive = open, secret
	for _, name := range open {
		if o, ok := face.Output(name); ok && o.Sensitive {
			foreign.Marked = append(foreign.Marked, name)
		}
	}
	if call.DataBearing == nil { // nobody said what holds no data
		call.DataBearing = resourceTypes(*in.Package)
	}
	call.Foreign = foreign
	return call, nil
}

// resourceTypes lists the types of all resources of a package, each once.
func resourceTypes(p stacks.Package) []string {
	var out []string
	for _, dir := range dirsOf(p) {
		if face, err := stacks.Inspect(p.Files, dir); err == nil { // a module that cannot be read, terraform refuses
			out = append(out, face.Resources...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func dirsOf(p stacks.Package) []string {
	out := []string{p.Dir}
	for _, m := range p.Modules {
		out = append(out, m.Dir)
	}
	return out
}

// builder turns what the spec says into values of a module call.
type builder struct {
	in        providers.ModuleInput
	face      stacks.ModuleFace
	variables map[string]stacks.SecretVariable
}

// value replaces references by what they stand for. kept says that a secret goes into a variable that is not ephemeral.
func (b builder) value(v any, kept bool) (any, error) {
	if name, ok := asSecret(v); ok {
		variable := "secret_" + strings.NewReplacer("-", "_", ".", "_").Replace(name)
		if !kept {
			variable += "_once"
		}
		b.variables[variable] = stacks.SecretVariable{Secret: regionSecret(b.in.Region.Name, name), Kept: kept}
		return stacks.Variable(variable), nil
	}
	if ref, ok := asRef(v, b.in.Stack.Namespace); ok {
		given, ok := b.in.Values[ref.String()]
		if !ok {
			return nil, fmt.Errorf("output %s of %s, region %s, is not there yet: apply that database first: %w", ref.Output, ref.Dependency, ref.Region, providers.ErrPermanent)
		}
		return given, nil
	}
	if plain, ok := asLiteral(v); ok {
		return plain, nil
	}
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var err error
			if out[i], err = b.value(e, kept); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			var err error
			if out[k], err = b.value(e, kept); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}
