package runner

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

func TestParseHandshake(t *testing.T) {
	for line, want := range map[string]string{
		"1|5|unix|.terraform/plugin1|grpc|\n":      ".terraform/plugin1",
		"1|6|unix|.terraform/plugin1|grpc|\n":      ".terraform/plugin1",
		"1|6|unix|.terraform/plugin1|grpc":         ".terraform/plugin1",
		"1|6|unix|.terraform/plugin1|grpc||true\n": ".terraform/plugin1",
		"1|6|unix|.terraform/plugin1|grpc|MIIB\n":  "", // it wants TLS
		"1|4|unix|.terraform/plugin1|grpc|\n":      "",
		"2|6|unix|.terraform/plugin1|grpc|\n":      "",
		"1|6|tcp|127.0.0.1:1|grpc|\n":              "",
		"1|6|unix||grpc|\n":                        "",
		"1|6|unix|x|netrpc|\n":                     "",
		"panic: out of cheese\n":                   "",
		"":                                         "",
	} {
		if protocol, got, err := parseHandshake(line); got != want || (err == nil) != (want != "") || (protocol == 0) != (want == "") {
			t.Errorf("%q: %d, %q, %v, want %q", line, protocol, got, err, want)
		}
	}
}

func TestDyingWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	said := func(log string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		return string(dyingWords(path))
	}
	const stack = "panic: out of cheese\n\ngoroutine 1 [running]:\n"
	if got := said(`{"@level":"debug","@message":"plugin address"}` + "\n" + stack); got != stack {
		t.Errorf("dying words: %q", got)
	}
	if got := said(strings.Repeat("x\n", maxDyingWords)); len(got) > maxDyingWords {
		t.Errorf("%d bytes of dying words", len(got))
	}
}

// TestOnlyOurPluginRunsUncollected: a launch whose plugins are not all ours needs its garbage collected.
func TestOnlyOurPluginRunsUncollected(t *testing.T) {
	t.Setenv("GOGC", "50") // this process's own is none of terraform's
	ours := stacks.ProviderRequirement{Source: terraform.LocalDBSource, Version: "1"}
	for name, c := range map[string]struct {
		providers []stacks.ProviderRequirement
		want      string
	}{
		"ours":  {[]stacks.ProviderRequirement{ours}, "GOGC=off"},
		"none":  {nil, "GOGC=off"},
		"mixed": {[]stacks.ProviderRequirement{ours, {Source: "registry.example/x/aws", Version: "1"}}, "GOGC=400"},
	} {
		p := &prepared{secrets: map[string]string{"pw": "x"}}
		p.step.Stack.Providers = c.providers
		env := p.environment("/w")
		limited := slices.Contains(env, "GOMEMLIMIT=256MiB")
		if !slices.Contains(env, c.want) || limited != (c.want == "GOGC=off") || !slices.Contains(env, "TF_VAR_pw=x") {
			t.Errorf("%s: %q", name, env)
		}
	}
}

// TestOtherProductsStartPluginsThemselves: only terraform is known to take a plugin that runs; for another one the package is not even
// looked at, which is not there and would be complained of.
func TestOtherProductsStartPluginsThemselves(t *testing.T) {
	for product, looks := range map[string]bool{launch.ProductTofu: false, launch.ProductTerraform: true} {
		var log strings.Builder
		w := &worker{log: slog.New(slog.NewTextHandler(&log, nil))}
		p := &prepared{template: launch.Template{Dir: t.TempDir()}}
		p.binary.Product = product
		p.step.Stack.Providers = []stacks.ProviderRequirement{{Source: terraform.LocalDBSource, Version: "1"}}
		if file := w.privatePlugin(p).File; file != "" || (log.Len() > 0) != looks {
			t.Errorf("%s: %q, %s", product, file, log.String())
		}
	}
}

// TestPlansOfDestructionStartOthersPlugins: terraform configures a provider twice there, which one process of somebody else's may not take.
func TestPlansOfDestructionStartOthersPlugins(t *testing.T) {
	for name, c := range map[string]struct{ destroy, ours, looks bool }{
		"another's":                {looks: true},
		"another's, a destruction": {destroy: true},
		"ours":                     {ours: true, looks: true},
		"ours, a destruction":      {ours: true, destroy: true, looks: true},
	} {
		var log strings.Builder
		w := &worker{log: slog.New(slog.NewTextHandler(&log, nil))}
		p := &prepared{template: launch.Template{Dir: t.TempDir()}}
		p.binary.Product, p.step.Destroy = launch.ProductTerraform, c.destroy
		source := "x/aws"
		if c.ours {
			source = terraform.LocalDBSource
		}
		p.step.Stack.Once, p.step.Stack.Providers = source, []stacks.ProviderRequirement{{Source: source, Version: "1"}}
		if plugin := w.privatePlugin(p); plugin.File != "" || (log.Len() > 0) != c.looks { // the package that is looked for is not there
			t.Errorf("%s: %+v, %s", name, plugin, log.String())
		}
	}
}
