package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// lay puts this test binary into the site's mirror as our plugin.
func lay(t *testing.T, site terraform.Site) stacks.ProviderRequirement {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := LayMirror(site, self)
	if err != nil {
		t.Fatal(err)
	}
	return stacks.ProviderRequirement{LocalName: "localdb", Source: p.Source, Version: p.Version}
}

// environ is a parent's environment with everything in it that must not reach terraform.
func environ(t *testing.T) []string {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".terraformrc"), []byte("this is broken {"), 0o600); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "HOME="+home, "TF_CLI_CONFIG_FILE="+filepath.Join(home, "missing"), "TF_CLI_ARGS=-broken",
		"TF_CLI_ARGS_init=-broken", "TF_DATA_DIR="+filepath.Join(home, "data"), "TF_PLUGIN_CACHE_DIR="+filepath.Join(home, "cache"))
}

// stackDir is a staged work directory with a real terraform.
type stackDir struct {
	dir    string
	binary terraform.Binary
	env    []string
}

func (s stackDir) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func (s stackDir) call() Call { return Call{Binary: s.binary, Dir: s.dir, Env: s.env} }

// run starts terraform as the shim would and returns its output and exit code; nothing may stand on standard error.
func (s stackDir) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(s.binary.Path, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Errorf("terraform %s: %s", args[0], stderr.String())
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// plan makes a plan and reads it in both ways, which must agree, unless something is replaced: show alone can tell that.
func (s stackDir) plan(t *testing.T, wantCode int, o PlanOptions) terraform.Plan {
	t.Helper()
	if out, code := s.run(t, PlanArgs(o)...); code != wantCode {
		t.Fatalf("plan: exit %d, want %d: %s", code, wantCode, out)
	}
	file, err := os.ReadFile(filepath.Join(s.dir, terraform.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	bearing := []string{"localdb_file"}
	got, err := terraform.ReadPlan(file, bearing)
	told := !errors.Is(err, terraform.ErrPlanSensitive)
	if told && err != nil {
		t.Fatal(err)
	}
	show, err := ShowPlan(t.Context(), s.call())
	if err != nil {
		t.Fatal(err)
	}
	want, err := terraform.ChangesFromShow(show, bearing)
	if err != nil {
		t.Fatal(err)
	}
	want.Mode = got.Mode
	if !told {
		if !slices.ContainsFunc(want.Changes, func(c stacks.Change) bool { return c.Action == stacks.ActionReplace }) {
			t.Errorf("the plan file could have told: %s", pretty(t, want))
		}
		return want
	}
	if g, w := pretty(t, got), pretty(t, want); g != w {
		t.Fatalf("plan file says\n%s\nshow says\n%s", g, w)
	}
	return got
}

func (s stackDir) apply(t *testing.T) {
	t.Helper()
	if out, code := s.run(t, ApplyArgs()...); code != 0 {
		t.Fatalf("apply: exit %d: %s", code, out)
	}
}

func pretty(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stageStack makes the template and stages it in a new work directory.
func stageStack(t *testing.T, site terraform.Site, binary terraform.Binary, modules []stacks.ModuleEntry, providers ...stacks.ProviderRequirement) (stackDir, Template) {
	t.Helper()
	parent := environ(t)
	tmpl, err := EnsureTemplate(t.Context(), TemplateInput{Site: site, Binary: binary, Providers: providers, Environ: parent})
	if err != nil {
		t.Fatal(err)
	}
	s := stackDir{dir: filepath.Join(t.TempDir(), "work"), binary: binary}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := StageTemplate(tmpl, s.dir, modules); err != nil {
		t.Fatal(err)
	}
	s.env = terraform.Environment(parent, map[string]string{"pw": secretText}, CLIConfigEnv(s.dir))
	return s, tmpl
}

const secretText = "a-secret-of-some-length"

func pluginConfig(p stacks.ProviderRequirement, body string) string {
	return fmt.Sprintf("terraform {\n  required_providers {\n    localdb = {\n      source  = %q\n      version = %q\n    }\n  }\n}\n"+
		"variable \"pw\" {\n  type      = string\n  ephemeral = true\n}\n%s", p.Source, p.Version, body)
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func namesIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
