package runner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestAKilledFetchIsRepeated: a terraform that somebody kills while it fetches a module says nothing of that module.
func TestAKilledFetchIsRepeated(t *testing.T) {
	actual, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("no terraform on PATH to wrap")
	}
	for name, c := range map[string]struct {
		kills   int
		refused bool
		failed  bool
	}{
		"killed once":   {kills: 1},
		"killed always": {kills: fetchTries, failed: true},
		"refused":       {refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			wrapper := filepath.Join(dir, "terraform")
			script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = get ] && [ \"$(cat %[1]s/kills | wc -c)\" -lt %[2]d ]; then printf x >> %[1]s/kills; kill -9 $$; fi\nexec %[3]s \"$@\"\n", dir, c.kills, actual)
			for path, text := range map[string]string{wrapper: script, filepath.Join(dir, "kills"): ""} {
				if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv(terraform.EnvTerraform, wrapper)
			order := terraform.ResolveOrder{Source: stacks.ModuleSource{Source: "./m"}, Files: []stacks.File{{Path: "main.tf", Content: []byte(`output "a" { value = 1 }`)}}}
			if c.refused {
				order.Files[0].Content = []byte(`module "b" { source = "./nowhere" }`)
			}
			text, err := json.Marshal(order)
			if err != nil {
				t.Fatal(err)
			}
			a, err := resolve(t.Context(), terraform.Site{Root: filepath.Join(dir, "data")}, bytes.NewReader(text), slog.New(slog.DiscardHandler))
			if (err != nil) != c.failed || (a.Refused != "") != c.refused || (a.Package != nil) == (c.failed || c.refused) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}
