package launch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"meridian/stacks/terraform"
)

// TestPin keeps a program while its original is replaced, and takes none for it that was written over.
func TestPin(t *testing.T) {
	site, bin := terraform.Site{Root: t.TempDir()}, t.TempDir()
	program := filepath.Join(bin, "terraform")
	original, err := Find(t.Context(), site, "")
	if err != nil {
		t.Skip("no terraform here")
	}
	if err := copyProgram(original.Path, program); err != nil {
		t.Fatal(err)
	}
	b, err := Find(t.Context(), site, program)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Pin(site, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(program); err != nil { // as a package manager replaces it
		t.Fatal(err)
	}
	kept := Pinned(t.Context(), site, b.Version)
	if len(kept) != 1 || kept[0].Product != b.Product || kept[0].Path == program {
		t.Fatalf("kept: %+v", kept)
	}
	if other := Pinned(t.Context(), site, "0.1.0"); len(other) != 0 {
		t.Errorf("of a version that nobody kept: %+v", other)
	}
	if err := os.WriteFile(kept[0].Path, []byte("#!/bin/sh\necho Terraform v99.0.0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if over := Pinned(t.Context(), site, b.Version); len(over) != 0 {
		t.Errorf("it was written over, and is taken for the same: %+v", over)
	}
}

// TestACopyIsKeptWhereNoLinkCanBe holds that a copy is told apart from what takes its original's place.
func TestACopyIsKeptWhereNoLinkCanBe(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyProgram(from, to); err != nil {
		t.Fatal(err)
	}
	if same, err := sameFile(to, from); err != nil || !same {
		t.Errorf("a copy is another: %v", err)
	}
	if err := os.Chtimes(from, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if same, err := sameFile(to, from); err != nil || same {
		t.Errorf("what took its place is the same: %v", err)
	}
}

func TestPrunePins(t *testing.T) {
	site := terraform.Site{Root: t.TempDir()}
	for _, name := range []string{"terraform-1.11.0", "terraform-1.12.0", "tofu-1.11.0"} {
		if err := os.MkdirAll(filepath.Join(site.Terraforms(), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(version string) bool { return version == "1.12.0" }
	if err := PrunePins(site, time.Now(), keep); err != nil || namesIn(t, site.Terraforms()) != "terraform-1.11.0 terraform-1.12.0 tofu-1.11.0" {
		t.Errorf("what was just kept is gone: %s, %v", namesIn(t, site.Terraforms()), err)
	}
	if err := PrunePins(site, time.Now().Add(2*pinGrace), keep); err != nil || namesIn(t, site.Terraforms()) != "terraform-1.12.0" {
		t.Errorf("pruned to %s, %v", namesIn(t, site.Terraforms()), err)
	}
}
