package terraform

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/stacks"
)

// realTerraform starts the terraform on PATH in a directory, with the secrets as ephemeral variables.
type realTerraform struct {
	dir     string
	secrets map[string]string
}

func newRealTerraform(t *testing.T, secrets map[string]string) realTerraform {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("no terraform on PATH")
	}
	return realTerraform{dir: t.TempDir(), secrets: secrets}
}

func (r realTerraform) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// run returns standard output and the exit code.
func (r realTerraform) run(t *testing.T, args ...string) ([]byte, int) {
	t.Helper()
	cmd := exec.Command("terraform", args...)
	cmd.Dir = r.dir
	cmd.Env = Environment(os.Environ(), r.secrets, map[string]string{EnvCLIConfig: os.DevNull})
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Logf("terraform %v: %s", args, stderr.String())
	}
	return out, cmd.ProcessState.ExitCode()
}

// plan makes a plan and returns it as the plan file and as `show` tell it; both must be the same.
func (r realTerraform) plan(t *testing.T, args ...string) Plan {
	t.Helper()
	out, code := r.run(t, append([]string{"plan", "-json", "-input=false", "-detailed-exitcode", "-out=" + PlanFile}, args...)...)
	if code == 1 && !slices.Contains(args, "-var=broken=true") {
		t.Fatalf("plan: %s", out)
	}
	file, err := os.ReadFile(filepath.Join(r.dir, PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	bearing := []string{"terraform_data"}
	got, err := ReadPlan(file, bearing)
	if err != nil {
		t.Fatal(err)
	}
	show, code := r.run(t, "show", "-json", PlanFile)
	if code != 0 {
		t.Fatalf("show: exit %d", code)
	}
	want, err := ChangesFromShow(show, bearing)
	if err != nil {
		t.Fatal(err)
	}
	want.Mode = got.Mode
	if g, w := indented(t, got), indented(t, want); g != w {
		t.Fatalf("plan file says\n%s\nshow says\n%s", g, w)
	}
	return got
}

func (r realTerraform) apply(t *testing.T) []byte {
	t.Helper()
	out, code := r.run(t, "apply", "-json", "-input=false", PlanFile)
	if code != 0 {
		t.Fatalf("apply: %s", out)
	}
	return out
}

func indented(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func diagnosticsOf(t *testing.T, stream []byte) []stacks.Diagnostic {
	t.Helper()
	var diags []stacks.Diagnostic
	for line := range strings.Lines(string(stream)) {
		e, err := ParseEvent([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := DiagnosticOf(e); ok {
			diags = append(diags, d)
		}
	}
	return diags
}

func changeOf(t *testing.T, p Plan, address string) stacks.Change {
	t.Helper()
	for _, c := range p.Changes {
		if c.Address == address {
			return c
		}
	}
	t.Fatalf("no change of %s in %s", address, indented(t, p.Changes))
	return stacks.Change{}
}

func attributeOf(t *testing.T, c stacks.Change, path string) stacks.AttributeChange {
	t.Helper()
	for _, a := range c.Attributes {
		if a.Path == path {
			return a
		}
	}
	t.Fatalf("no attribute %s in %s", path, indented(t, c))
	return stacks.AttributeChange{}
}
