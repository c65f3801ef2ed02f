package orchestrator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// inClear are the files of an attempt that may hold a secret, and what each is called in its spool once it is sealed.
var inClear = []struct{ work, spool, sealed string }{
	{work: terraform.StateFileName, sealed: "terraform.tfstate.sealed"},
	{work: terraform.ErroredState, sealed: "errored.tfstate.sealed"},
	{work: terraform.OutputFile, sealed: terraform.SpooledOutput},
	{spool: terraform.OutputInClear, sealed: terraform.SpooledOutput},
	{spool: terraform.StateInClear, sealed: terraform.StateInClear + ".sealed"},
}

// shelveWork seals what attempts of a data directory have left in clear, each beside its spool's records, and removes the work directories and
// scratch copies: what is moved aside may lie there for years. Nothing of an attempt lives. Done again, it goes on where it ended.
func shelveWork(data string, keys *keyring.Keyring) error {
	site := terraform.Site{Root: data}
	spools, err := site.Spools()
	if err != nil {
		return fmt.Errorf("spools: %w", err)
	}
	for _, dir := range spools {
		rel, err := filepath.Rel(filepath.Join(data, "spool"), dir)
		if err != nil {
			return fmt.Errorf("spools: %w", err)
		}
		work := filepath.Join(data, "work", rel)
		for _, f := range inClear {
			from := filepath.Join(dir, f.spool)
			if f.work != "" {
				from = filepath.Join(work, filepath.FromSlash(f.work))
			}
			if err := sealFile(keys, stackOf(dir), from, filepath.Join(dir, f.sealed)); err != nil {
				return fmt.Errorf("seal what an attempt has left: %w", err)
			}
		}
	}
	for _, name := range []string{"work", "check"} {
		if err := os.RemoveAll(filepath.Join(data, name)); err != nil {
			return fmt.Errorf("remove what attempts have left in clear: %w", err)
		}
	}
	return nil
}

// sealFile seals a file into another one and removes it; one that is not there is fine. It may be the only copy of a stack's newest state, so what
// is sealed is on the disk before it goes.
func sealFile(keys *keyring.Keyring, id stacks.StackID, from, to string) error {
	text, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sealed, err := journal.SealSpooled(keys, id, text)
	if err != nil {
		return err
	}
	fresh := to + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a restore that was killed
		return err
	}
	if err := writeSynced(fresh, sealed); err != nil {
		return err
	}
	if err := os.Rename(fresh, to); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return err
	}
	return os.Remove(from)
}

// stackOf is the stack of a spool, by its record, or where that is damaged by its path.
func stackOf(dir string) stacks.StackID {
	var record struct {
		Stack stacks.StackID `json:"stack"`
	}
	text, err := os.ReadFile(filepath.Join(dir, "attempt.json"))
	if err == nil && json.Unmarshal(text, &record) == nil && record.Stack.Region != "" {
		return record.Stack
	}
	parent := filepath.Dir(dir)
	name, incarnation := filepath.Base(parent), "unknown"
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		name, incarnation = name[:i], name[i+1:]
	}
	return stacks.StackID{Namespace: filepath.Base(filepath.Dir(parent)), Name: name, Incarnation: incarnation, Region: filepath.Base(dir)}
}
