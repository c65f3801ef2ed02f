package temporal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileThatIsOfNoUse(t *testing.T) {
	for name, test := range map[string]struct {
		spoil  func(t *testing.T, file string)
		reason string
	}{
		"another version": {func(t *testing.T, file string) { exec(t, file, "PRAGMA user_version=7") }, "another version"},
		"no version":      {func(t *testing.T, file string) { exec(t, file, "PRAGMA user_version=0") }, "another version"},
		"empty":           {func(t *testing.T, file string) { write(t, file, "") }, "no database"},
		"other text":      {func(t *testing.T, file string) { write(t, file, strings.Repeat("not a database ", 1000)) }, "no database"},
		"overwritten":     {overwrite, "it "},
		"cut off":         {func(t *testing.T, file string) { truncate(t, file) }, "it "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, FileName)
			for round := 1; round <= 2; round++ {
				store, err := openStore(t.Context(), dir, logTo(os.Stderr))
				if err != nil {
					t.Fatal(err)
				}
				store.close()
				test.spoil(t, file)
				out := new(logs)
				if store, err = openStore(t.Context(), dir, logTo(out)); err != nil {
					t.Fatal(err)
				}
				if reason, err := store.check(t.Context()); reason != "" || err != nil {
					t.Errorf("the new file is of no use: %s %v", reason, err)
				}
				store.close()
				if !out.contain("moved aside") || !out.contain(test.reason) {
					t.Errorf("round %d: the warning says %q", round, out.all.String())
				}
				aside, err := filepath.Glob(file + ".*")
				if err != nil {
					t.Fatal(err)
				}
				if len(aside) != 1 || !strings.HasSuffix(aside[0], ".old") {
					t.Errorf("round %d: beside the file are %v", round, aside)
				}
			}
		})
	}
}

func TestServerOnAFileMadeAnew(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, file string){
		"moved aside": func(t *testing.T, file string) { exec(t, file, "PRAGMA user_version=7") },
		"lost": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			// A log without its file must not be played into the new one.
			write(t, file+"-wal", strings.Repeat("log", 1000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Start(t.Context(), Options{Dir: dir, Logger: logTo(os.Stderr)})
			if err != nil {
				t.Fatal(err)
			}
			key := s.Key()
			t.Run("before", func(t *testing.T) { works(t, s) })
			s.Stop()
			spoil(t, filepath.Join(dir, FileName))
			s, err = Start(t.Context(), Options{Dir: dir, Logger: logTo(&logs{})})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			if s.Key() != key {
				t.Error("the key has changed")
			}
			c := clientOf(t, s)
			if _, err := c.DescribeWorkflowExecution(t.Context(), "works", ""); err == nil {
				t.Error("the old history is there")
			}
			works(t, s)
		})
	}
}

func TestDirectoryThatCannotBeUsed(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"a file": {func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "")
		}, "data directory"},
		"its file is a directory": {func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "readable and writable"},
		"read-only": {func(t *testing.T, dir string) {
			if os.Geteuid() == 0 {
				t.Skip("root may write everywhere")
			}
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // the test's own clean-up needs it
		}, "must be writable"},
		"in use": {func(t *testing.T, dir string) {
			store, err := openStore(t.Context(), dir, logTo(os.Stderr))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(store.close)
		}, "in use by process"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			test.spoil(t, dir)
			s, err := Start(t.Context(), Options{Dir: dir, Logger: logTo(os.Stderr)})
			if err == nil {
				s.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestPathWithSpecialCharacters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `50% of #1? [a] "b"`)
	works(t, startIn(t, dir))
	if _, err := os.Stat(filepath.Join(dir, FileName)); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, file, statement string) {
	t.Helper()
	db, err := openSQLite(file, "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// overwrite spoils each page but the first.
func overwrite(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(raw); i++ {
		raw[i] = 0x5a
	}
	write(t, file, string(raw))
}

func truncate(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}
