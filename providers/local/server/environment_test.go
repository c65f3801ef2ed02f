package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSearchKeepsTheEnvironment looks for PostgreSQL with a password in the environment, as in a plugin: no program that is asked gets it.
func TestSearchKeepsTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	seen := filepath.Join(dir, "seen")
	script := "#!/bin/sh\nenv > " + seen + "\necho " + dir + "\n"
	for _, program := range []string{"pg_config", "initdb", "pg_controldata", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("TF_VAR_admin_password", "sesame")
	for name, ask := range map[string]func(){
		"pg_config": func() { candidateDirs(t.Context()) },
		"postgres":  func() { _, _ = versionOf(t.Context(), dir) },
	} {
		ask()
		text, err := os.ReadFile(seen)
		if err != nil {
			t.Fatalf("%s was not asked: %v", name, err)
		}
		if strings.Contains(string(text), "sesame") {
			t.Errorf("%s got the password:\n%s", name, text)
		}
		if err := os.Remove(seen); err != nil {
			t.Fatal(err)
		}
	}
}
