package runner

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestSpoolFormats reads the attempts of this format and of the one before, and leaves those of a newer one alone.
func TestSpoolFormats(t *testing.T) {
	tests := map[string]struct {
		record string
		newer  bool
	}{
		"the one before": {record: `{"id":"a1","step":"r1/ankara/apply.1","kind":"apply","bootId":"b","serial":3,"format":1,"runner":"abc"}`},
		"the first":      {record: `{"id":"a1","step":"r1/ankara/apply.1","kind":"apply","bootId":"b","serial":3}`},
		"this one":       {record: `{"id":"a1","step":"r1/ankara/apply.1","kind":"apply","bootId":"b","serial":3,"format":2,"runner":"abc"}`},
		"a newer one":    {record: `{"id":"a1","step":"r1/ankara/apply.1","format":3,"unheard":{"of":1}}`, newer: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sp := spool{t.TempDir()}
			if err := os.WriteFile(sp.path(attemptFile), []byte(tt.record), 0o600); err != nil {
				t.Fatal(err)
			}
			att, ok, err := sp.attempt()
			if !ok || att.ID != "a1" || att.Step != "r1/ankara/apply.1" {
				t.Errorf("attempt = %+v, %v", att, ok)
			}
			if errors.Is(err, errNewerSpool) != tt.newer {
				t.Errorf("error = %v, newer %v", err, tt.newer)
			}
			if tt.newer && !strings.Contains(err.Error(), "Start the newer Meridian again") {
				t.Errorf("the error says nothing of what to do: %v", err)
			}
			if text, err := os.ReadFile(sp.path(attemptFile)); err != nil || string(text) != tt.record {
				t.Errorf("the record is %q now, %v", text, err)
			}
		})
	}
	if _, ok, err := (spool{t.TempDir()}).attempt(); ok || err != nil {
		t.Errorf("an empty spool: %v, %v", ok, err)
	}
}

// TestPruneRunners removes a copy that nothing needs, and keeps what a process uses and what an attempt names.
func TestPruneRunners(t *testing.T) {
	w := &worker{site: terraform.Site{Root: t.TempDir()}, log: slog.New(slog.DiscardHandler)}
	if err := w.pruneRunners(); err != nil {
		t.Errorf("a site without copies: %v", err)
	}
	for _, name := range []string{"unused", "used", "named"} {
		if err := os.MkdirAll(w.site.Runner(name), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{terraform.RunnerFile, terraform.RunnerLockFile} {
			if err := os.WriteFile(filepath.Join(w.site.Runner(name), file), nil, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	lock, err := os.Open(filepath.Join(w.site.Runner("used"), terraform.RunnerLockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	sp := spool{w.site.SpoolDir(stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abc", Region: "ankara"})}
	if err := sp.begin(attempt{ID: "a1", Format: attemptFormat + 1, Runner: "named"}); err != nil {
		t.Fatal(err)
	}
	left := func() (names []string) {
		t.Helper()
		if err := w.pruneRunners(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(w.site.Runners())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if got := left(); !slices.Equal(got, []string{"named", "used"}) {
		t.Errorf("left: %v, want what is named and what is used", got)
	}
	lock.Close()
	if err := sp.remove(); err != nil {
		t.Fatal(err)
	}
	if got := left(); len(got) > 0 {
		t.Errorf("left: %v, want nothing", got)
	}
}

// TestSweepScratch removes the scratch copy of a runner that was killed, and leaves alone the one that somebody works in.
func TestSweepScratch(t *testing.T) {
	w := &worker{site: terraform.Site{Root: t.TempDir()}, log: slog.New(slog.DiscardHandler)}
	if err := w.sweepScratch(); err != nil {
		t.Errorf("a site without copies: %v", err)
	}
	copies := map[string]string{"verb": w.site.CheckDir("state-1"), "check": w.site.CheckDir("r1/ankara/check.1"), "used": w.site.CheckDir("r2/ankara/check.1")}
	for name, dir := range copies {
		if err := os.MkdirAll(filepath.Join(dir, "attempt"), 0o700); err != nil {
			t.Fatal(err)
		}
		// A file of terraform's own by the name of a lock is none of ours.
		for _, file := range []string{terraform.StateFileName, "attempt.lock"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := tryLock(dir + terraform.ScratchLockEnd)
		if err != nil || l == nil {
			t.Fatalf("lock of %s: %v, %v", name, l, err)
		}
		if name == "used" {
			defer l.close()
			continue
		}
		l.close()
	}
	if err := w.sweepScratch(); err != nil {
		t.Fatal(err)
	}
	for name, dir := range copies {
		for _, path := range []string{dir, dir + terraform.ScratchLockEnd} {
			if _, err := os.Lstat(path); (err == nil) != (name == "used") {
				t.Errorf("%s of %s: %v", path, name, err)
			}
		}
	}
	if _, err := os.Lstat(filepath.Join(copies["used"], "attempt.lock")); err != nil {
		t.Errorf("a file in a copy that is used: %v", err)
	}
}
