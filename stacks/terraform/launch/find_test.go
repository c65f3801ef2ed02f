package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/stacks/terraform"
)

func newSite(t *testing.T) terraform.Site {
	t.Helper()
	return terraform.Site{Root: filepath.Join(t.TempDir(), "site")}
}

// realBinary is the terraform on PATH.
func realBinary(t *testing.T, site terraform.Site) terraform.Binary {
	t.Helper()
	if _, err := exec.LookPath(ProductTerraform); err != nil {
		t.Skip("no terraform on PATH")
	}
	b, err := Find(t.Context(), site, ProductTerraform)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// script puts an executable that prints lines of text into a directory.
func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	body := fmt.Sprintf("#!/bin/sh\nenv > '%s.env'\nprintf '%%s\\n' '%s'\n", path, text)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, []byte(body), 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindReal(t *testing.T) {
	site := newSite(t)
	b := realBinary(t, site)
	want, err := exec.LookPath(ProductTerraform)
	if err != nil {
		t.Fatal(err)
	}
	if b.Path != want || b.Product != ProductTerraform || b.Version == "" {
		t.Errorf("found %+v, want %s", b, want)
	}
	text, err := os.ReadFile(site.FoundFile())
	if err != nil {
		t.Fatal(err)
	}
	// The memory is what answers while the file is the same ...
	forged := strings.ReplaceAll(string(text), `"version": "`+b.Version, `"version": "1.99.9`)
	if err := os.WriteFile(site.FoundFile(), []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := Find(t.Context(), site, ""); err != nil || again.Version != "1.99.9" {
		t.Errorf("found %+v, %v: the binary was asked again", again, err)
	}
	// ... and only then; a broken memory is none.
	for name, memory := range map[string]string{
		"another size": strings.Replace(forged, `"size": `, `"size": 1`, 1),
		"another time": strings.Replace(forged, `"mtime": "2`, `"mtime": "1`, 1),
		"broken":       forged[:len(forged)/2],
	} {
		if err := os.WriteFile(site.FoundFile(), []byte(memory), 0o600); err != nil {
			t.Fatal(err)
		}
		if again, err := Find(t.Context(), site, ""); err != nil || again != b {
			t.Errorf("%s: found %+v, %v", name, again, err)
		}
	}
}

func TestFindByHint(t *testing.T) {
	cases := map[string]struct {
		says    string
		want    terraform.Binary
		refusal string
	}{
		"terraform":    {says: "Terraform v1.12.0\non linux_amd64", want: terraform.Binary{Version: "1.12.0", Product: ProductTerraform}},
		"tofu":         {says: "OpenTofu v1.11.2\non linux_amd64", want: terraform.Binary{Version: "1.11.2", Product: ProductTofu}},
		"too old":      {says: "Terraform v1.10.5", refusal: "want at least 1.11.0"},
		"nearly":       {says: "Terraform v1.11.0-rc1", refusal: "want at least 1.11.0"},
		"another tool": {says: "Helm v3.1.0", refusal: "neither terraform nor tofu"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := script(t, t.TempDir(), "some-terraform", c.says)
			t.Setenv("TF_CLI_CONFIG_FILE", "/nonexistent/terraformrc")
			t.Setenv("TF_LOG", "TRACE")
			got, err := Find(t.Context(), newSite(t), path)
			if c.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), c.refusal) || !strings.Contains(err.Error(), terraform.EnvTerraform) {
					t.Errorf("found %+v, %v", got, err)
				}
				return
			}
			c.want.Path = path
			if err != nil || got != c.want {
				t.Errorf("found %+v, %v; want %+v", got, err, c.want)
			}
			env, err := os.ReadFile(path + ".env")
			if err != nil || strings.Contains(string(env), "/nonexistent/terraformrc") || strings.Contains(string(env), "TF_LOG") {
				t.Errorf("the parent's settings passed: %s, %v", env, err)
			}
		})
	}
	if _, err := Find(t.Context(), newSite(t), "/nonexistent/terraform"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing hint: %v", err)
	}
	// What a script answers may change with the directory or a file beside it: it is asked each time.
	site, path := newSite(t), script(t, t.TempDir(), "shim", "Terraform v1.11.1")
	if b, err := Find(t.Context(), site, path); err != nil || b.Version != "1.11.1" {
		t.Errorf("found %+v, %v", b, err)
	}
	if _, err := os.Stat(site.FoundFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a script's answer is remembered: %v", err)
	}
}

func TestFindOrder(t *testing.T) {
	cases := map[string]struct {
		onPath    map[string]string
		installed string
		want      string
	}{
		"terraform first":         {onPath: map[string]string{"terraform": "Terraform v1.11.4", "tofu": "OpenTofu v1.11.0"}, want: "1.11.4"},
		"an old one is passed":    {onPath: map[string]string{"terraform": "Terraform v1.5.7", "tofu": "OpenTofu v1.11.0"}, want: "1.11.0"},
		"then the installed one":  {onPath: map[string]string{"terraform": "Terraform v1.5.7"}, installed: "Terraform v1.11.3", want: "1.11.3"},
		"only the installed one":  {installed: "Terraform v1.11.3", want: "1.11.3"},
		"PATH before the install": {onPath: map[string]string{"tofu": "OpenTofu v1.12.0"}, installed: "Terraform v1.11.3", want: "1.12.0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			site, bin := newSite(t), t.TempDir()
			for tool, says := range c.onPath {
				script(t, bin, tool, says)
			}
			if c.installed != "" {
				script(t, site.Bin(), ProductTerraform, c.installed)
			}
			// The scripts need env; nothing named terraform or tofu lies there on its own.
			tools := t.TempDir()
			env, err := exec.LookPath("env")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(env, filepath.Join(tools, "env")); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+string(os.PathListSeparator)+tools)
			if b, err := Find(t.Context(), site, ""); err != nil || b.Version != c.want {
				t.Errorf("found %+v, %v; want %s", b, err, c.want)
			}
		})
	}
}

// TestFindNothing has no terraform, and a site in which nothing can be installed.
func TestFindNothing(t *testing.T) {
	bin := t.TempDir()
	script(t, bin, ProductTerraform, "Terraform v1.5.7")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	for _, dir := range []string{"/usr/bin", "/bin"} {
		for _, tool := range []string{ProductTerraform, ProductTofu} {
			if _, err := os.Stat(filepath.Join(dir, tool)); err == nil {
				t.Skipf("%s has a %s of its own", dir, tool)
			}
		}
	}
	_, err := Find(t.Context(), terraform.Site{Root: filepath.Join(file, "site")}, "")
	if err == nil || !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), terraform.EnvTerraform) || !strings.Contains(err.Error(), "install terraform") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx, newSite(t), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled search: %v", err)
	}
}

func TestCheckSpace(t *testing.T) {
	if err := CheckSpace(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := checkSpace(t.TempDir(), 1<<62); !errors.Is(err, ErrNoSpace) {
		t.Errorf("error %v", err)
	}
	if err := CheckSpace("/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestArgs(t *testing.T) {
	cases := map[string]struct {
		options PlanOptions
		want    string
	}{
		"change":  {PlanOptions{}, "plan -json -input=false -detailed-exitcode -out=meridian.tfplan"},
		"destroy": {PlanOptions{Destroy: true}, "plan -json -input=false -detailed-exitcode -out=meridian.tfplan -destroy"},
		"check":   {PlanOptions{Check: true}, "plan -json -input=false -detailed-exitcode -out=meridian.tfplan -lock=false"},
		"look":    {PlanOptions{RefreshOnly: true}, "plan -json -input=false -detailed-exitcode -out=meridian.tfplan -refresh-only"},
	}
	for name, c := range cases {
		if got := strings.Join(PlanArgs(c.options), " "); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := strings.Join(ApplyArgs(), " "); got != "apply -json -input=false meridian.tfplan" {
		t.Errorf("apply: %s", got)
	}
}
