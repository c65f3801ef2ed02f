package orchestrator

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestRestoreShelvesWhatIsInClear: attempts of the store before have left states, and what terraform said, in clear; one of them was of the version
// before, of another one nothing says any more whose it is. What is kept of them is sealed, and nothing of them is lost.
func TestRestoreShelvesWhatIsInClear(t *testing.T) {
	data, backup := keptStore(t)
	const needle = "a secret of a foreign module"
	for path, text := range map[string]string{
		"spool/default/orders-x1/ankara/attempt.json":                 `{"id":"a","stack":{"Namespace":"default","Name":"orders","Incarnation":"x1","Region":"ankara"}}`,
		"work/default/orders-x1/ankara/terraform.tfstate":             needle + " 1",
		"work/default/orders-x1/ankara/errored.tfstate":               needle + " 2",
		"work/default/orders-x1/ankara/terraform.tfstate.backup":      needle,
		"work/default/orders-x1/ankara/.terraform/output.ndjson":      needle + " 3",
		"work/default/orders-x1/ankara/.terraform/shim.log":           needle,
		"spool/default/orders-x1/ankara/terraform.tfstate.sealed.new": "half of it, by a restore that was killed",
		"spool/default/the-old-one-x2/ankara/attempt.json":            `{"id":`,
		"spool/default/the-old-one-x2/ankara/state.snapshot":          needle + " 4",
		"spool/default/the-old-one-x2/ankara/output.ndjson":           needle + " 5",
		"check/run/ankara/check.1/attempt/terraform.tfstate":          needle,
		"work/default/nobody-x3/istanbul/.terraform/output.ndjson":    needle,
	} {
		path = filepath.Join(data, filepath.FromSlash(path))
		fatal(t, os.MkdirAll(filepath.Dir(path), 0o700))
		fatal(t, os.WriteFile(path, []byte(text), 0o600))
	}
	out, err := Restore(t.Context(), RestoreOptions{From: backup, Data: data, TemporalFile: "temporal.db", At: time.Now()})
	fatal(t, err)
	looked := 0
	fatal(t, filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		looked++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(needle)) {
			t.Errorf("%s has it in clear", path)
		}
		return err
	}))
	if looked < 8 {
		t.Errorf("looked into %d files", looked)
	}
	keys, err := keyring.Open(keyring.Source{Dir: data}, false)
	fatal(t, err)
	orders := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "x1", Region: "ankara"}
	old := stacks.StackID{Namespace: "default", Name: "the-old-one", Incarnation: "x2", Region: "ankara"}
	for path, want := range map[string]struct {
		id   stacks.StackID
		text string
	}{
		"orders-x1/ankara/terraform.tfstate.sealed":        {orders, needle + " 1"},
		"orders-x1/ankara/errored.tfstate.sealed":          {orders, needle + " 2"},
		"orders-x1/ankara/" + terraform.SpooledOutput:      {orders, needle + " 3"},
		"the-old-one-x2/ankara/state.snapshot.sealed":      {old, needle + " 4"},
		"the-old-one-x2/ankara/" + terraform.SpooledOutput: {old, needle + " 5"},
	} {
		data, err := os.ReadFile(filepath.Join(out.Aside, "spool", "default", filepath.FromSlash(path)))
		fatal(t, err)
		if id, text, err := journal.OpenSpooled(keys, data); err != nil || id != want.id || string(text) != want.text {
			t.Errorf("%s is of %s and has %q, %v, want %s and %q", path, id, text, err, want.id, want.text)
		}
	}
	for _, gone := range []string{"work", "check", filepath.Join(filepath.Base(out.Aside), "work")} {
		if _, err := os.Lstat(filepath.Join(data, gone)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
}
