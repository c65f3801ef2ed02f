package runner_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// program puts a terraform of its own at a path.
func program(t *testing.T, path string) {
	t.Helper()
	original, err := exec.LookPath("terraform")
	check(t, err)
	in, err := os.Open(original)
	check(t, err)
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	check(t, err)
	_, err = io.Copy(out, in)
	check(t, err)
	check(t, out.Close())
}

// TestTerraformIsReplacedWhileAPlanWaits: the machine's terraform is another one by the time a plan is approved. What was approved is applied with
// the program that planned it, which the site has kept; programs and templates that no head names are swept.
func TestTerraformIsReplacedWhileAPlanWaits(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "terraform")
	program(t, path)
	w.env = []string{terraform.EnvTerraform + "=" + path}
	s := w.items(2, 0)
	plan := w.plan(s)
	check(t, os.Remove(path))
	check(t, os.WriteFile(path, []byte("#!/bin/sh\n[ \"$1\" = version ] && echo Terraform v1.99.0 && exit 0\nexit 1\n"), 0o755))
	stale := filepath.Join(w.site.Terraforms(), "terraform-0.1.0")
	old := filepath.Join(w.site.Templates(), "0123")
	for _, dir := range []string{stale, old} {
		check(t, os.MkdirAll(dir, 0o700))
		long := time.Now().Add(-365 * 24 * time.Hour)
		check(t, os.Chtimes(dir, long, long))
	}
	w.sweep()
	for _, dir := range []string{stale, old} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is kept for nobody", dir)
		}
	}
	if r := w.do(w.applyStep(s, plan)); r.Outcome != journal.OutcomeApplied || w.lines("end") != 2 {
		t.Fatalf("result %+v\n%s", r, w.log())
	}
	w.clean()
}

// TestTerraformIsGoneWhileAPlanWaits is the same where it is there no more.
func TestTerraformIsGoneWhileAPlanWaits(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "terraform")
	program(t, path)
	w.env = []string{terraform.EnvTerraform + "=" + path}
	s := w.items(1, 0)
	plan := w.plan(s)
	check(t, os.Remove(path))
	if r := w.do(w.applyStep(s, plan)); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("result %+v\n%s", r, w.log())
	}
	w.clean()
}
