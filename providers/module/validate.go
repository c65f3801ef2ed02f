package module

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"meridian/stacks"
)

// validator collects what is wrong with one region.
type validator struct {
	db    stacks.Database
	s     settings
	field string // of the region
	ds    []stacks.Diagnostic
}

func (v *validator) refuse(rule, path, next, format string, args ...any) {
	v.ds = append(v.ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: rule, Field: v.field + path, Summary: fmt.Sprintf(format, args...), Next: next})
}

// regionField returns the field path of a region.
func regionField(db stacks.Database, name string) string {
	i := slices.IndexFunc(db.Spec.Regions, func(r stacks.Region) bool { return r.Name == name })
	return fmt.Sprintf("spec.regions[%d]", max(i, 0))
}

// ValidateRegion checks what can be said without the module.
func (p *Provider) ValidateRegion(_ context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	v := &validator{db: db, field: regionField(db, region.Name)}
	if region.Location != "" && region.Location != Name {
		v.refuse("location.unknown", ".location", "leave it out: where a module makes things is one of its inputs", "provider module has no location %q", region.Location)
	}
	v.ds = append(v.ds, stacks.DecodeSettings(region.Settings, v.field+".settings", &v.s)...)
	if stacks.HasErrors(v.ds) {
		return v.ds
	}
	v.source()
	v.within(p.limits)
	v.providers()
	v.references()
	v.endpoint()
	v.gate()
	for _, name := range slices.Sorted(maps.Keys(v.db.Spec.Engine.Parameters)) {
		v.ds = append(v.ds, stacks.Diagnostic{Severity: stacks.SeverityWarning, Rule: "parameter.ignored", Field: "spec.engine.parameters." + name,
			Summary: fmt.Sprintf("provider module sets no parameter %q by itself", name), Next: "give it to the module as one of its settings.inputs"})
	}
	return v.ds
}

func (v *validator) source() {
	s := v.s.Source
	local := stacks.ModuleSource{Source: s}.Local()
	switch {
	case len(s) > 1024 || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == ' ' }):
		v.refuse("module.source", ".settings.source", "write an address as terraform takes it", "the source cannot be used")
	case strings.Contains(s, "://") && strings.Contains(afterScheme(s), "@") && strings.Contains(before(afterScheme(s), "@"), ":"):
		v.refuse("module.source", ".settings.source", "let git's credential helper or a CLI configuration give it", "the source holds a password")
	case local && !insideLocal(s):
		v.refuse("module.source", ".settings.source", "what stands behind // is a directory within the one before it", "the source leads out of what is packed")
	case local && v.s.Version != "":
		v.refuse("module.version", ".settings.version", "leave it out", "a module with a path has no version")
	case v.s.Version != "" && (strings.Contains(s, "::") || strings.Contains(s, "://") || strings.HasPrefix(s, "github.com/") || strings.HasPrefix(s, "git@")):
		v.refuse("module.version", ".settings.version", "write ?ref=... behind the source", "only a registry's module has a version")
	}
	for _, p := range []struct{ field, path string }{{"cliConfig", v.s.CLIConfig}, {"mirror", v.s.Mirror}} {
		if p.path != "" && !filepath.IsAbs(p.path) {
			v.refuse("module.path", ".settings."+p.field, "write the whole path, as it is on the server's machine", "%s is no absolute path", p.field)
		}
	}
}

// insideLocal reports whether the directory behind // of a local source, where there is one, lies in what is packed.
func insideLocal(source string) bool {
	_, dir, found := strings.Cut(source, "//")
	return !found || fs.ValidPath(dir)
}

func afterScheme(s string) string { _, rest, _ := strings.Cut(s, "://"); return before(rest, "/") }

func before(s, sep string) string { head, _, _ := strings.Cut(s, sep); return head }

func (v *validator) providers() {
	for _, address := range slices.Sorted(maps.Keys(v.s.Providers)) {
		path := ".settings.providers." + address
		if !addressShape.MatchString(address) {
			v.refuse("module.provider", path, `write its name, like aws, or its name and alias, like "aws.west"`, "%q cannot name a provider", address)
		}
		for _, name := range slices.Sorted(maps.Keys(v.s.Providers[address])) {
			if !hclsyntax.ValidIdentifier(name) || name == "alias" || name == "version" {
				v.refuse("module.provider", path+"."+name, "the alias stands behind the name, the version in requiredProviders", "%q is no argument of a provider", name)
			}
		}
	}
	for _, inside := range slices.Sorted(maps.Keys(v.s.ModuleProviders)) {
		outside := v.s.ModuleProviders[inside]
		if !addressShape.MatchString(inside) || !addressShape.MatchString(outside) {
			v.refuse("module.provider", ".settings.moduleProviders."+inside, `write addresses like aws or "aws.west"`, "%q cannot be passed as %q", outside, inside)
		} else if _, ok := v.s.Providers[outside]; !ok && strings.Contains(outside, ".") {
			v.refuse("module.provider", ".settings.moduleProviders."+inside, "configure it in settings.providers", "there is no provider %q to pass", outside)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.s.RequiredProviders)) {
		if !hclsyntax.ValidIdentifier(name) {
			v.refuse("module.provider", ".settings.requiredProviders."+name, "write the name that the module gives it, like aws", "%q cannot name a provider", name)
		}
	}
}

// references checks the shape of what stands for something else.
func (v *validator) references() {
	v.s.visit(func(path string, value any) {
		path = ".settings." + path
		if _, ok := only(value, "secret"); ok {
			if name, text := asSecret(value); !text || !secretShape.MatchString(name) || name == "output" {
				v.refuse("module.secret", path, "write {secret: NAME} with a name of lower-case letters, digits and hyphens, other than output", "this names no secret")
			}
		}
		inner, ok := only(value, "fromDatabase")
		if !ok {
			return
		}
		m, isMap := inner.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if _, text := m[key].(string); !text || !slices.Contains([]string{"namespace", "name", "region", "output"}, key) {
				v.refuse("module.reference", path+".fromDatabase."+key, "the fields here are name, namespace, region and output, all texts", "%q does not belong here", key)
				return
			}
		}
		ref, _ := asRef(value, v.db.Metadata.Namespace)
		switch {
		case !isMap || ref.Name == "" || ref.Region == "" || ref.Output == "":
			v.refuse("module.reference", path, "write {fromDatabase: {name: ..., region: ..., output: ...}}", "name, region and output say what to take")
		case !v.db.DependsOn(ref.Dependency):
			v.refuse("module.reference", path, fmt.Sprintf("add {name: %s} to spec.dependsOn", ref.Name), "%s is not in spec.dependsOn", ref.Dependency)
		}
	})
}

func (v *validator) endpoint() {
	o, e := v.s.Outputs, v.s.Endpoint
	if e.Port < 0 || e.Port > 65535 {
		v.refuse("module.endpoint", ".settings.endpoint.port", "a port is a number from 1 to 65535", "%d is no port", e.Port)
	}
	if e.Secret != "" && (!secretShape.MatchString(e.Secret) || e.Secret == "output") {
		v.refuse("module.secret", ".settings.endpoint.secret", "write the name that an input gives as {secret: NAME}", "%q names no secret", e.Secret)
	}
	if o.Secret != "" && e.Secret != "" {
		v.refuse("module.endpoint", ".settings.endpoint.secret", "keep one of them", "the password comes from an output and from a secret")
	}
}

// CheckEndpoint wants the spec to say where the region's database answers, and who administers it.
func (*Provider) CheckEndpoint(db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	v := &validator{db: db, field: regionField(db, region.Name)}
	if ds := stacks.DecodeSettings(region.Settings, v.field+".settings", &v.s); stacks.HasErrors(ds) {
		return nil // ValidateRegion says what is wrong
	}
	o, e := v.s.Outputs, v.s.Endpoint
	need := func(has bool, what, next string) {
		if !has {
			v.refuse("module.endpoint", ".settings.outputs", next, "nothing says the %s of the database", what)
		}
	}
	need(cmp.Or(o.Host, o.Endpoint, e.Host) != "", "host", "name the output that holds it: host, or endpoint for host:port; or write engine: {name: none}")
	need(cmp.Or(o.Port, o.Endpoint) != "" || e.Port != 0, "port", "name the output that holds it, or write settings.endpoint.port")
	need(cmp.Or(o.User, e.User) != "", "administrator", "name the output that holds its name as user, or write settings.endpoint.user")
	need(cmp.Or(o.Secret, e.Secret) != "", "password", "name the sensitive output that holds it as secret, or the secret that an input gives as settings.endpoint.secret")
	return v.ds
}

func (v *validator) gate() {
	r := v.s.Ready
	gates := []string{gateTCP, gateHTTP, gateCommand, gateNone}
	const at = ".settings.ready"
	switch {
	case r.Gate != "" && !slices.Contains(gates, r.Gate):
		v.refuse("module.ready", at+".gate", "it is one of "+strings.Join(gates, ", "), "unknown gate %q", r.Gate)
	case r.Gate == gateHTTP && (r.URL == "") == (r.Output == ""):
		v.refuse("module.ready", at, "write url, or the output that holds it", "the gate http needs one URL")
	case r.URL != "" && !strings.HasPrefix(r.URL, "http://") && !strings.HasPrefix(r.URL, "https://"):
		v.refuse("module.ready", at+".url", "start it with http:// or https://", "this is no URL of a web server")
	case r.Gate == gateCommand && len(r.Command) == 0:
		v.refuse("module.ready", at, "write command: [PROGRAM, ARGUMENT...]", "the gate command needs one")
	case r.Gate != gateHTTP && (r.URL != "" || r.Output != "" || r.Status != 0):
		v.refuse("module.ready", at, "write gate: http", "url, output and status belong to the gate http")
	case r.Gate != gateCommand && len(r.Command) > 0:
		v.refuse("module.ready", at, "write gate: command", "command belongs to the gate command")
	case r.Timeout < 0:
		v.refuse("module.ready", at+".timeout", "write how long one look may take, like 10s", "a timeout is above zero")
	}
}
