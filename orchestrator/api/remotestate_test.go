package api_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTerraformRemoteState has a real terraform read a region's outputs in another stack.
func TestTerraformRemoteState(t *testing.T) {
	binary, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("no terraform in PATH")
	}
	h := start(t, nil)
	h.apply(t, "orders", true)
	dir := t.TempDir()
	text := fmt.Sprintf(`
data "terraform_remote_state" "orders" {
  backend = "http"
  config = {
    address  = "%s/api/v1/databases/default/orders/regions/ankara/remote-state"
    username = "meridian"
  }
}

output "host" { value = data.terraform_remote_state.orders.outputs.host }
`, h.server.URL)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(password string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TF_HTTP_PASSWORD="+password, "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=", "TF_IN_AUTOMATION=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(token, "init", "-input=false"); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	if out, err := run("wrong", "apply", "-auto-approve", "-input=false"); err == nil || strings.Contains(out, token) {
		t.Fatalf("with a wrong password: %v\n%s", err, out)
	}
	if out, err := run(token, "apply", "-auto-approve", "-input=false"); err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	if out, err := run(token, "output", "-raw", "host"); err != nil || out != "127.0.7.1" {
		t.Fatalf("output %q, %v", out, err)
	}
}

func TestRemoteStateIsReadOnlyAndForItsPathAlone(t *testing.T) {
	h := start(t, nil)
	h.apply(t, "orders", true)
	const path = "/api/v1/databases/default/orders/regions/ankara/remote-state"
	for name, c := range map[string]struct {
		method, path, password string
		want                   int
		says                   string
	}{
		"read":              {"GET", path, token, 200, `"127.0.7.1"`},
		"write":             {"POST", path, token, 405, "read-only here"},
		"lock":              {"LOCK", path, token, 405, "read-only here"},
		"unlock":            {"UNLOCK", path, token, 405, "read-only here"},
		"delete":            {"DELETE", path, token, 405, "read-only here"},
		"no such region":    {"GET", strings.Replace(path, "ankara", "izmir", 1), token, 404, "izmir"},
		"a wrong password":  {"GET", path, "wrong", 401, "no valid token"},
		"no password":       {"GET", path, "", 401, "no valid token"},
		"elsewhere":         {"GET", "/api/v1/databases", token, 401, "no valid token"},
		"a whole state too": {"GET", strings.Replace(path, "remote-state", "states", 1), token, 401, "no valid token"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, h.server.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("meridian", c.password)
		resp, err := h.server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.want || !strings.Contains(string(text), c.says) {
			t.Errorf("%s: %d %s, %v", name, resp.StatusCode, text, err)
		}
	}
}
