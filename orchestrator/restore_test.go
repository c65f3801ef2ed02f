package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
)

// kept is a data directory with a store in which something is, and a backup of it.
func keptStore(t *testing.T) (data, backup string) {
	t.Helper()
	data, backup = t.TempDir(), filepath.Join(t.TempDir(), "backup")
	keys, err := keyring.Open(keyring.Source{Dir: data}, true)
	fatal(t, err)
	st, err := store.Open(t.Context(), data)
	fatal(t, err)
	cat := catalog.New(st, keys)
	_, err = cat.Submit(t.Context(), catalog.SubmitInput{
		Effective: stacks.Database{Metadata: stacks.Metadata{Namespace: "default", Name: "orders"}}, Kind: stacks.RunApply, Actor: "test",
	})
	fatal(t, err)
	_, err = Backup(t.Context(), BackupOptions{Catalog: cat, Journal: journal.New(st, keys), Dir: backup, Version: "test"})
	fatal(t, err)
	fatal(t, st.Close())
	return data, backup
}

// rotateAll rotates the ring of a data directory; with retire, everything is sealed again and the older keys are dropped.
func rotateAll(t *testing.T, data string, retire bool) {
	t.Helper()
	keys, err := keyring.Open(keyring.Source{Dir: data}, false)
	fatal(t, err)
	_, err = keys.Rotate()
	fatal(t, err)
	if !retire {
		return
	}
	st, err := store.Open(t.Context(), data)
	fatal(t, err)
	fatal(t, errors.Join(catalog.New(st, keys).Reseal(t.Context()), journal.New(st, keys).Reseal(t.Context())))
	used, err := st.SealedPrefixes(t.Context(), keyring.PrefixLen)
	fatal(t, err)
	_, err = keys.Retire(used, 0)
	fatal(t, err)
	fatal(t, st.Close())
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRestore(t *testing.T) {
	data, backup := keptStore(t)
	fatal(t, os.MkdirAll(filepath.Join(data, "spool", "default", "orders-x", "ankara"), 0o700))
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	out, err := Restore(t.Context(), RestoreOptions{From: backup, Data: data, TemporalFile: "temporal.db", At: at})
	fatal(t, err)
	again, err := Restore(t.Context(), RestoreOptions{From: backup, Data: data, TemporalFile: "temporal.db", At: at.Add(time.Second)})
	fatal(t, err)
	if out.Epoch != 2 || again.Epoch != 3 { // above that of the store whose place it takes, not only its own
		t.Errorf("epochs %d and %d", out.Epoch, again.Epoch)
	}
	for _, kept := range []string{"meridian.db", "spool/default/orders-x/ankara"} {
		if _, err := os.Stat(filepath.Join(out.Aside, kept)); err != nil {
			t.Errorf("what was there is not kept: %v", err)
		}
	}
	keys, err := keyring.Open(keyring.Source{Dir: data}, false)
	fatal(t, err)
	st, err := store.Open(t.Context(), data)
	fatal(t, err)
	defer func() { _ = st.Close() }()
	cat := catalog.New(st, keys)
	why, err := cat.ReadOnly(t.Context())
	fatal(t, err)
	open, err := cat.AllRunsOpen(t.Context())
	fatal(t, err)
	dbs, err := cat.Databases(t.Context(), "")
	fatal(t, err)
	if !strings.HasPrefix(why, "restored from the backup of") || len(open) != 0 || len(dbs) != 1 {
		t.Errorf("read-only %q, %d open runs, %d databases", why, len(open), len(dbs))
	}
}

func TestRestoreRefusesAndTouchesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, data, backup string)
		says    string
	}{
		"half a backup": {func(t *testing.T, _, backup string) {
			fatal(t, os.Remove(filepath.Join(backup, ManifestName)))
		}, "no whole backup"},
		"a cut store": {func(t *testing.T, _, backup string) {
			fatal(t, os.Truncate(filepath.Join(backup, store.FileName), 8192))
		}, "is not the one that was backed up"},
		"another installation's keyring": {func(t *testing.T, data, _ string) {
			fatal(t, os.Remove(filepath.Join(data, keyring.FileName)))
			_, err := keyring.Open(keyring.Source{Dir: data}, true)
			fatal(t, err)
		}, "keyring does not open"},
		"a ring whose key was retired since": {func(t *testing.T, data, _ string) {
			rotateAll(t, data, true)
		}, "put the ring of when the backup was made in place of"},
		"a backup of the middle of a rotation": {func(t *testing.T, data, backup string) {
			fatal(t, os.RemoveAll(backup))
			rotateAll(t, data, false)
			keys, err := keyring.Open(keyring.Source{Dir: data}, false)
			fatal(t, err)
			st, err := store.Open(t.Context(), data)
			fatal(t, err)
			cat := catalog.New(st, keys)
			id, sealed := "", []byte(nil)
			fatal(t, st.Write(t.Context(), func(tx *store.Tx) error { // the canary is sealed again first
				if err := tx.QueryRow("SELECT value, sealed FROM meta WHERE key = 'installation'").Scan(&id, &sealed); err != nil {
					return err
				}
				plain, err := keys.Open(sealed, "meta/installation")
				if err != nil {
					return err
				}
				if sealed, err = keys.Seal(plain, "meta/installation"); err != nil {
					return err
				}
				_, err = tx.Exec("UPDATE meta SET sealed = ? WHERE key = 'installation'", sealed)
				return err
			}))
			_, err = Backup(t.Context(), BackupOptions{Catalog: cat, Journal: journal.New(st, keys), Dir: backup, Version: "test"})
			fatal(t, err)
			fatal(t, st.Close())
			rotateAll(t, data, true)
		}, "put the ring of when the backup was made in place of"},
		"no keyring": {func(t *testing.T, data, _ string) {
			fatal(t, os.Remove(filepath.Join(data, keyring.FileName)))
		}, "keyring.json is missing"},
		"a runner lives": {func(t *testing.T, data, _ string) {
			fatal(t, os.MkdirAll(filepath.Join(data, "locks"), 0o700))
			f, err := os.Create(filepath.Join(data, "locks", "x.runner"))
			fatal(t, err)
			t.Cleanup(func() { _ = f.Close() })
			fatal(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
		}, "something still works"},
		"the store is open": {func(t *testing.T, data, _ string) {
			st, err := store.Open(t.Context(), data)
			fatal(t, err)
			t.Cleanup(func() { _ = st.Close() })
		}, "has the store open"},
	} {
		t.Run(name, func(t *testing.T) {
			data, backup := keptStore(t)
			c.prepare(t, data, backup)
			before, err := os.ReadFile(filepath.Join(data, store.FileName))
			fatal(t, err)
			_, err = Restore(t.Context(), RestoreOptions{From: backup, Data: data, TemporalFile: "temporal.db", At: time.Now()})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				var p *Problem
				if !errors.As(err, &p) || !strings.Contains(p.Error(), c.says) {
					t.Errorf("error %v, want %q", err, c.says)
				}
			}
			after, err := os.ReadFile(filepath.Join(data, store.FileName))
			fatal(t, err)
			aside, err := filepath.Glob(filepath.Join(data, "before-restore-*"))
			fatal(t, err)
			if string(before) != string(after) || len(aside) > 0 {
				t.Errorf("a refused restore touched the store, or moved %v", aside)
			}
		})
	}
}

// A store that is damaged is what a restore is for.
func TestRestoreOverADamagedStore(t *testing.T) {
	data, backup := keptStore(t)
	fatal(t, os.WriteFile(filepath.Join(data, store.FileName), []byte("this is no database, and never was one"), 0o600))
	_, err := Restore(context.Background(), RestoreOptions{From: backup, Data: data, TemporalFile: "temporal.db", At: time.Now()})
	fatal(t, err)
	st, err := store.Open(t.Context(), data)
	fatal(t, err)
	fatal(t, st.Close())
}

// TestABackupHasItsKeys: a key that is retired while the store is copied may have sealed rows of the copy. Such a backup says that it is none.
func TestABackupHasItsKeys(t *testing.T) {
	data := t.TempDir()
	keys, err := keyring.Open(keyring.Source{Dir: data}, true)
	fatal(t, err)
	st, err := store.Open(t.Context(), data)
	fatal(t, err)
	defer func() { _ = st.Close() }()
	ring := filepath.Join(data, keyring.FileName)
	o := BackupOptions{Catalog: catalog.New(st, keys), Journal: journal.New(st, keys), Dir: filepath.Join(t.TempDir(), "good"), Keyring: ring}
	_, err = Backup(t.Context(), o)
	fatal(t, err)

	later := t.TempDir() // where the ring is as somebody has left it meanwhile
	_, err = keyring.Open(keyring.Source{Dir: later}, true)
	fatal(t, err)
	o.Dir, o.Keyring = filepath.Join(t.TempDir(), "bad"), filepath.Join(later, keyring.FileName)
	_, err = Backup(t.Context(), o)
	if p := problemOf(t, err, CodeConflict); !strings.Contains(p.Detail, keys.IDs()[0]) {
		t.Errorf("refused with %v", p)
	}
	if _, err := ReadManifest(o.Dir); err == nil {
		t.Error("what is left of it passes for a backup")
	}
}
