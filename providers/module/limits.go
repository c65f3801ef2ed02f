package module

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/stacks"
)

// Local is the word in Limits.Allow for modules that lie beside the spec: their clients pack them, so they are whatever a client sends.
const Local = "local"

// Limits say which modules specs may name. Who may name any may run any program as the server's user, so with limits nothing else of a spec
// may start one either: no command as a gate, no plugin and no installation that the server's settings do not name.
type Limits struct {
	// Allow lists sources as specs write them, without versions; one that ends with * stands for all that begin so.
	Allow []string `yaml:"allow"`
	// Providers lists, in the same way, the plugins that specs may name themselves. What an allowed module requires needs no line here.
	Providers []string `yaml:"providers,omitempty"`
}

// Restricted returns the provider with limits.
func Restricted(l Limits) *Provider { return &Provider{limits: &l} }

// matches reports whether one of the patterns stands for a source. A source that could lead elsewhere than it begins is matched whole or not at all.
func matches(patterns []string, source string) bool {
	plain := !strings.Contains(source, "..") && !strings.ContainsAny(source, `%\`)
	return slices.ContainsFunc(patterns, func(p string) bool {
		head, open := strings.CutSuffix(p, "*")
		return source == p || open && plain && strings.HasPrefix(source, head)
	})
}

// within refuses what the limits do not let a spec name.
func (v *validator) within(l *Limits) {
	if l == nil {
		return
	}
	s := v.s
	local := stacks.ModuleSource{Source: s.Source}.Local()
	if !matches(l.Allow, s.Source) && (!local || !slices.Contains(l.Allow, Local)) {
		next := "this server allows none"
		if len(l.Allow) > 0 {
			next = "it allows " + strings.Join(l.Allow, ", ")
		}
		v.refuse("module.allowed", ".settings.source", next+"; who runs it decides in its settings file, modules.allow", "this server does not allow the module %s", s.Source)
	}
	for _, name := range slices.Sorted(maps.Keys(s.RequiredProviders)) {
		if source := sourceOf(name, s.RequiredProviders[name].Source); !matches(l.Providers, source) {
			v.refuse("module.allowed", ".settings.requiredProviders."+name, "leave it to the module, or ask who runs the server for modules.providers", "this server does not allow specs to name the plugin %s", source)
		}
	}
	for _, f := range []struct {
		said bool
		path string
	}{{s.CLIConfig != "", ".settings.cliConfig"}, {s.Mirror != "", ".settings.mirror"}, {s.gate() == gateCommand, ".settings.ready.gate"}} {
		if f.said {
			v.refuse("module.allowed", f.path, "leave it out", "this server limits which modules may be used, and so what a spec may start: %s is not allowed", strings.TrimPrefix(f.path, ".settings."))
		}
	}
}

// Check says what is wrong with limits, "" where nothing is.
func (l *Limits) Check() string {
	if l == nil {
		return ""
	}
	for _, p := range slices.Concat(l.Allow, l.Providers) {
		if p == "" || strings.Contains(strings.TrimSuffix(p, "*"), "*") || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' }) {
			return fmt.Sprintf("%q names no source: write it as specs do, with * at its end for all that begin so", p)
		}
	}
	return ""
}
