package activities

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

func TestLeft(t *testing.T) {
	site := terraform.Site{Root: "/m"}
	runs, over := stacks.StackID{Namespace: "n", Name: "a", Incarnation: "i", Region: "ankara"}, stacks.StackID{Namespace: "n", Name: "a", Incarnation: "i", Region: "istanbul"}
	heads := []journal.Head{{Stack: runs}}
	for name, c := range map[string]struct {
		spools []string
		want   bool
	}{
		"nothing is there":                      {nil, false},
		"of an attempt that runs":               {[]string{site.SpoolDir(runs)}, false},
		"of one that was overtaken, or is over": {[]string{site.SpoolDir(runs), site.SpoolDir(over)}, true},
	} {
		if got := left(c.spools, site, heads); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestScratchLeft finds the scratch copy that nobody works in any more, and takes none for one that somebody works in.
func TestScratchLeft(t *testing.T) {
	site := terraform.Site{Root: t.TempDir()}
	looks := func(what string, want bool) {
		t.Helper()
		if got, err := scratchLeft(site); err != nil || got != want {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	looks("a site without copies", false)
	scratch := site.CheckDir("run/ankara/check.1")
	if err := os.MkdirAll(filepath.Join(scratch, "attempt"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{scratch + terraform.ScratchLockEnd, filepath.Join(scratch, "attempt", "its-own.lock")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(scratch + terraform.ScratchLockEnd)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	looks("one that somebody works in", false)
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	looks("one whose runner may have been killed just now", false)
	before := time.Now().Add(-time.Minute)
	if err := os.Chtimes(scratch+terraform.ScratchLockEnd, before, before); err != nil {
		t.Fatal(err)
	}
	looks("one whose runner was killed", true)
}
