package runner

import (
	"log/slog"
	"strings"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

func TestParseHandshake(t *testing.T) {
	for line, want := range map[string]string{
		"1|6|unix|.terraform/plugin1|grpc|\n":      ".terraform/plugin1",
		"1|6|unix|.terraform/plugin1|grpc":         ".terraform/plugin1",
		"1|6|unix|.terraform/plugin1|grpc||true\n": ".terraform/plugin1",
		"1|6|unix|.terraform/plugin1|grpc|MIIB\n":  "", // it wants TLS
		"1|5|unix|.terraform/plugin1|grpc|\n":      "",
		"2|6|unix|.terraform/plugin1|grpc|\n":      "",
		"1|6|tcp|127.0.0.1:1|grpc|\n":              "",
		"1|6|unix||grpc|\n":                        "",
		"1|6|unix|x|netrpc|\n":                     "",
		"panic: out of cheese\n":                   "",
		"":                                         "",
	} {
		if got, err := parseHandshake(line); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
}

func TestDyingWords(t *testing.T) {
	log := `{"@level":"debug","@message":"plugin address"}
panic: out of cheese

goroutine 1 [running]:
`
	if got := string(dyingWords(strings.NewReader(log))); !strings.HasPrefix(got, "panic: out of cheese\n") || strings.Contains(got, "address") {
		t.Errorf("dying words: %q", got)
	}
	if got := dyingWords(strings.NewReader(strings.Repeat("x\n", maxDyingWords))); len(got) > maxDyingWords {
		t.Errorf("%d bytes of dying words", len(got))
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
		if file := w.privatePlugin(p); file != "" || (log.Len() > 0) != looks {
			t.Errorf("%s: %q, %s", product, file, log.String())
		}
	}
}
