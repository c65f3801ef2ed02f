package activities

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestScopeArguments: the scope is in our slice, is stopped after the service that waits for runners, and outlives a runner that is killed.
func TestScopeArguments(t *testing.T) {
	for uid, user := range map[int]bool{0: false, 1000: true} {
		ways := scopeArguments("systemd-run", uid)
		for i, argv := range ways {
			for _, want := range []string{"--scope", "--collect", "--slice=meridian-runners.slice", "--property=Before=meridian-runners.service"} {
				if !slices.Contains(argv, want) {
					t.Errorf("%q without %s", argv, want)
				}
			}
			if slices.Contains(argv, "--user") != user || argv[len(argv)-1] != "--" {
				t.Errorf("user %d: %q", uid, argv)
			}
			if careful := slices.Contains(argv, "--property=OOMPolicy=continue"); careful != (i == 0) {
				t.Errorf("way %d: %q", i, argv)
			}
		}
	}
}

// TestScopesNameUnitsThatAreThere: the names in the arguments are those of the examples.
func TestScopesNameUnitsThatAreThere(t *testing.T) {
	for _, unit := range []string{scopeSlice, scopeDrain} {
		if _, err := os.Stat(filepath.Join("../../examples/systemd", unit)); err != nil {
			t.Error(err)
		}
	}
}

// TestFindScope: without systemd, or where it refuses, runners are started as they are.
func TestFindScope(t *testing.T) {
	env := map[string]string{}
	if got := FindScope(t.Context(), func(k string) string { return env[k] }); got != nil {
		t.Errorf("a server that systemd did not start makes scopes: %q", got)
	}
	env["INVOCATION_ID"], env[EnvScopes] = "x", "off"
	if got := FindScope(t.Context(), func(k string) string { return env[k] }); got != nil {
		t.Errorf("scopes that are off are made: %q", got)
	}
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	refuses := script("refuses", "echo 'Failed to start transient scope unit: Access denied' >&2; exit 1")
	old := script("old", `case "$*" in *OOMPolicy*) exit 1;; esac; while [ "$1" != -- ]; do shift; done; shift; exec "$@"`)
	if got := firstThatRuns(t.Context(), scopeArguments(refuses, 0)); got != nil {
		t.Errorf("refused: %q", got)
	}
	if got := firstThatRuns(t.Context(), scopeArguments(old, 0)); got == nil || strings.Contains(strings.Join(got, " "), "OOMPolicy") {
		t.Errorf("an old systemd: %q", got)
	}
}

// TestARunnerIsStartedInItsScope runs a runner behind a prefix, and gets its exit code through it.
func TestARunnerIsStartedInItsScope(t *testing.T) {
	h := newHouse(t)
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	for name, text := range map[string]string{"scope": `echo "$@" >> ` + said + `; shift; exec "$@"`, "runner": "exit 75"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h.Runner, h.Scope = filepath.Join(dir, "runner"), []string{filepath.Join(dir, "scope"), "--"}
	p, err := h.start("test", "step", "--step", "s")
	h.must(err)
	<-p.done
	text, err := os.ReadFile(said)
	h.must(err)
	if want := "-- " + h.Runner + " step --data " + h.Site.Root + " --step s\n"; string(text) != want || p.exit() != 75 {
		t.Errorf("started as %q with exit code %d, want %q", text, p.exit(), want)
	}
}
