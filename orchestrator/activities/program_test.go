package activities

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/stacks/terraform"
)

// TestLayProgram copies a program once per content, mends a damaged copy, and leaves a copy as it is when the installed one is replaced.
func TestLayProgram(t *testing.T) {
	site := terraform.Site{Root: t.TempDir()}
	installed := filepath.Join(t.TempDir(), "meridian-runner")
	lay := func(content string) *Program {
		t.Helper()
		if err := os.WriteFile(installed, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		p, err := LayProgram(site, installed)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	holds := func(p *Program, content string) {
		t.Helper()
		info, err := os.Stat(p.Path)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Fatalf("%s: %v, %v, want a program", p.Path, info, err)
		}
		if text, err := os.ReadFile(p.Path); err != nil || string(text) != content {
			t.Errorf("%s holds %q, %v, want %q", p.Path, text, err, content)
		}
	}
	first := lay("first")
	holds(first, "first")
	second := lay("second")
	holds(second, "second")
	holds(first, "first")
	if again := lay("first"); again.Path != first.Path || filepath.Base(again.Path) != "meridian-runner" {
		t.Errorf("the first is at %s and then at %s", first.Path, again.Path)
	}
	if err := os.WriteFile(first.Path, []byte("damaged"), 0o700); err != nil {
		t.Fatal(err)
	}
	holds(lay("first"), "first")
	if _, err := LayProgram(site, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a program that is not there was copied")
	}
}

// TestComplaint finds the last error that a runner wrote into its log, among what others wrote.
func TestComplaint(t *testing.T) {
	long := strings.Repeat(`{"level":"INFO","msg":"x"}`+"\n", 4000)
	for name, c := range map[string]struct{ log, want string }{
		"no log":       {want: "it said nothing"},
		"no error":     {log: long, want: "it said nothing"},
		"the last one": {log: `{"level":"ERROR","msg":"a","error":"first"}` + "\n" + long + `{"level":"ERROR","msg":"b","error":"second"}` + "\nnot JSON\n", want: "second"},
		"too far back": {log: `{"level":"ERROR","msg":"a","error":"first"}` + "\n" + long, want: "it said nothing"},
	} {
		p := &process{log: filepath.Join(t.TempDir(), "log")}
		if c.log != "" {
			if err := os.WriteFile(p.log, []byte(c.log), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.complaint(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
