package plugin_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/providers/local/directory"
)

// TestDirectories makes, changes, loses, imports and removes directories beside a server.
func TestDirectories(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	look := func(path string) directory.Mark {
		t.Helper()
		m, err := directory.Look(path, s.vars.Owner)
		mustNot(t, err)
		return m
	}
	ledger := filepath.Join(s.dir, "ledger")
	s.env = append(s.env, "MERIDIAN_LOCALDB_LEDGER="+ledger)
	first, second := s.vars.DataDir+".beside.01", s.vars.DataDir+".beside.02"
	s.vars.Directories, s.vars.Note = map[string]string{"01": first, "02": second}, "one"
	s.write()
	s.apply()
	s.wantClean()
	born := look(first)

	s.vars.Note = "two"
	s.write()
	s.wantChange("update in-place")
	s.apply()
	s.wantClean()
	if now := look(first); now.Note != "two" || now.Birth != born.Birth {
		t.Fatalf("%+v, want a changed %+v", now, born)
	}

	mustNot(t, os.RemoveAll(second))
	s.wantChange("1 to add")
	s.must("state", "rm", `module.database.localdb_directory.beside["01"]`)
	if code, out := s.run("apply", "-auto-approve", "-input=false"); code != 1 || !strings.Contains(out, "already exists") {
		t.Fatalf("a create where a directory is: exit %d\n%s", code, out)
	}
	s.must("import", "-input=false", `module.database.localdb_directory.beside["01"]`, first)
	s.wantClean()
	if now := look(first); now.Birth != born.Birth {
		t.Fatalf("%+v is not %+v", now, born)
	}
	if code, out := s.run("import", "-input=false", `module.database.localdb_directory.beside["03"]`, first+"-none"); code != 1 {
		t.Fatalf("import of none: exit %d\n%s", code, out)
	}

	s.must("destroy", "-auto-approve")
	for _, path := range []string{first, second} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s stays: %v", path, err)
		}
	}
	begun := 0
	for _, l := range lines(t, ledger) {
		if l.DataDir == first && l.Phase == "begin" {
			begun++
		}
	}
	if begun != 4 { // create, update, a create that is refused, delete
		t.Errorf("the ledger has %d changes of %s begun", begun, first)
	}
}
