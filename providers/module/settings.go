package module

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

// settings are what a region of this provider says.
type settings struct {
	Source  string `yaml:"source" required:"true"`
	Version string `yaml:"version"`
	// Inputs are the module's arguments. {secret: NAME}, {fromDatabase: ...} and {literal: ...} stand for what they name.
	Inputs map[string]any `yaml:"inputs"`
	// Providers are configurations by their address in the stack: "aws", "aws.west".
	Providers map[string]map[string]any `yaml:"providers"`
	// ModuleProviders says which of them the module gets under which of its own addresses; by default those of the same address.
	ModuleProviders   map[string]string      `yaml:"moduleProviders"`
	RequiredProviders map[string]requirement `yaml:"requiredProviders"`
	Outputs           outputs                `yaml:"outputs"`
	Endpoint          endpoint               `yaml:"endpoint"`
	Ready             ready                  `yaml:"ready"`
	// DataBearing lists the types of resources that hold data; by default all.
	DataBearing []string `yaml:"dataBearing"`
	CLIConfig   string   `yaml:"cliConfig"`
	Mirror      string   `yaml:"mirror"`
}

type requirement struct {
	Source  string `yaml:"source"`
	Version string `yaml:"version"`
}

// outputs say which output of the module means what; each may be followed by a path into its value: "cluster.endpoint", "hosts.0".
type outputs struct {
	Host string `yaml:"host"`
	Port string `yaml:"port"`
	// Endpoint holds "host:port".
	Endpoint string `yaml:"endpoint"`
	User     string `yaml:"user"`
	// Secret is a sensitive output that holds the password.
	Secret   string `yaml:"secret"`
	Database string `yaml:"database"`
	// Export lists outputs that other databases may take.
	Export []string `yaml:"export"`
}

// endpoint is what the module has no output for.
type endpoint struct {
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	User string `yaml:"user"`
	// Secret names the secret that an input gave to the module.
	Secret   string `yaml:"secret"`
	Database string `yaml:"database"`
	TLS      string `yaml:"tls"`
}

// The gates of readiness.
const (
	gateTCP     = "tcp"
	gateHTTP    = "http"
	gateCommand = "command"
	gateNone    = "none"
)

// ready is the region's own gate.
type ready struct {
	Gate string `yaml:"gate"`
	// URL, or the output that holds it, answers with Status (any of 200 to 299 where it is 0).
	URL    string `yaml:"url"`
	Output string `yaml:"output"`
	Status int    `yaml:"status"`
	// Command ends with exit code 0 once the region is ready.
	Command []string        `yaml:"command"`
	Timeout stacks.Duration `yaml:"timeout"`
}

// defaultTimeout bounds one look of a gate.
const defaultTimeout = stacks.Duration(10 * time.Second)

var (
	secretShape  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)
	addressShape = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)?$`)
)

// settingsOf reads the settings of a region that passed validation.
func settingsOf(in providers.ModuleInput) (settings, error) {
	var s settings
	if ds := stacks.DecodeSettings(in.Region.Settings, "settings", &s); stacks.HasErrors(ds) {
		return s, fmt.Errorf("region %s: %s: %w", in.Region.Name, ds[0].Summary, providers.ErrPermanent)
	}
	return s, nil
}

// only returns the value of a map's one key.
func only(v any, key string) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return nil, false
	}
	inner, ok := m[key]
	return inner, ok
}

// asSecret reads {secret: NAME}.
func asSecret(v any) (string, bool) {
	inner, ok := only(v, "secret")
	name, text := inner.(string)
	return name, ok && text
}

// asLiteral reads {literal: VALUE}: a value that looks like a reference and is none.
func asLiteral(v any) (any, bool) { return only(v, "literal") }

// asRef reads {fromDatabase: {name, namespace, region, output}}.
func asRef(v any, namespace string) (stacks.OutputRef, bool) {
	inner, ok := only(v, "fromDatabase")
	m, isMap := inner.(map[string]any)
	if !ok || !isMap {
		return stacks.OutputRef{}, false
	}
	text := func(key string) string { s, _ := m[key].(string); return s }
	return stacks.OutputRef{
		Dependency: stacks.Dependency{Namespace: cmp.Or(text("namespace"), namespace, stacks.DefaultNamespace), Name: text("name")},
		Region:     text("region"), Output: text("output"),
	}, true
}

// visit calls f with every value of inputs and providers, and its path within the settings; what is inside of a reference is not visited.
func (s settings) visit(f func(path string, v any)) {
	for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
		walk("inputs."+name, s.Inputs[name], f)
	}
	for _, address := range slices.Sorted(maps.Keys(s.Providers)) {
		for _, name := range slices.Sorted(maps.Keys(s.Providers[address])) {
			walk("providers."+address+"."+name, s.Providers[address][name], f)
		}
	}
}

func walk(path string, v any, f func(path string, v any)) {
	f(path, v)
	for _, word := range []string{"secret", "fromDatabase", "literal"} {
		if _, ok := only(v, word); ok {
			return
		}
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			walk(fmt.Sprintf("%s[%d]", path, i), e, f)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			walk(path+"."+k, v[k], f)
		}
	}
}

// secrets lists the names of the secrets that Meridian makes for the region, sorted, each once.
func (s settings) secrets() []string {
	var out []string
	s.visit(func(_ string, v any) {
		if name, ok := asSecret(v); ok {
			out = append(out, name)
		}
	})
	if s.Endpoint.Secret != "" {
		out = append(out, s.Endpoint.Secret)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// exports lists the outputs that the root exports: openly, and as sensitive.
func (s settings) exports() (open, secret []string) {
	for _, o := range slices.Concat([]string{s.Outputs.Host, s.Outputs.Port, s.Outputs.Endpoint, s.Outputs.User, s.Outputs.Database, s.Ready.Output}, s.Outputs.Export) {
		if name, _, _ := strings.Cut(o, "."); name != "" {
			open = append(open, name)
		}
	}
	if name, _, _ := strings.Cut(s.Outputs.Secret, "."); name != "" {
		secret = append(secret, name)
	}
	slices.Sort(open)
	return slices.Compact(open), secret
}

// passes says which provider of the stack the module gets for each of its own.
func (s settings) passes(face stacks.ModuleFace) map[string]string {
	out := maps.Clone(s.ModuleProviders)
	if out == nil {
		out = map[string]string{}
	}
	for _, r := range face.Requires {
		for _, address := range slices.Concat([]string{r.LocalName}, r.Aliases) {
			if _, said := out[address]; said {
				continue
			}
			if _, there := s.Providers[address]; there {
				out[address] = address
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// names lists the names of the providers that the stack itself speaks of.
func (s settings) names(face stacks.ModuleFace) []string {
	var out []string
	add := func(address string) {
		name, _, _ := strings.Cut(address, ".")
		out = append(out, name)
	}
	for address := range s.Providers {
		add(address)
	}
	for _, outside := range s.passes(face) {
		add(outside)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// source finds what a provider's name in the stack stands for: what the spec says, else what the module calls so.
func (s settings) source(face stacks.ModuleFace, name string) (string, bool) {
	if r, ok := s.RequiredProviders[name]; ok {
		return sourceOf(name, r.Source), true
	}
	i := slices.IndexFunc(face.Requires, func(r stacks.ModuleRequirement) bool { return r.LocalName == name })
	if i < 0 {
		return "", false
	}
	return face.Requires[i].Source, true
}

// requirements are the stack's own required providers, of the exact versions of the package.
func (s settings) requirements(face stacks.ModuleFace, p stacks.Package) ([]stacks.ProviderConfig, error) {
	var out []stacks.ProviderConfig
	for _, name := range s.names(face) {
		source, ok := s.source(face, name)
		if !ok {
			return nil, fmt.Errorf("provider %q is none of the module's: name its source in settings.requiredProviders", name)
		}
		if strings.HasPrefix(source, "terraform.io/builtin/") { // it is part of terraform, and has no version
			out = append(out, stacks.ProviderConfig{ProviderRequirement: stacks.ProviderRequirement{LocalName: name, Source: source}})
			continue
		}
		i := slices.IndexFunc(p.Providers, func(r stacks.ProviderRequirement) bool {
			return r.Source == stacks.ShortSource(source)
		})
		if i < 0 {
			return nil, fmt.Errorf("provider %s was not fetched with the module", source)
		}
		out = append(out, stacks.ProviderConfig{ProviderRequirement: stacks.ProviderRequirement{LocalName: name, Source: p.Providers[i].Source, Version: p.Providers[i].Version}})
	}
	return out, nil
}
