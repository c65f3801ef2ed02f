package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
)

// RestoreOptions say which backup is put back where. The caller holds the data directory: no server runs on it.
type RestoreOptions struct {
	From, Data string
	// TemporalFile is the name of Temporal's own file in the data directory.
	TemporalFile string
	// KeyringEnv is the variable that holds the ring where the file does not.
	KeyringEnv string
	At         time.Time
}

// Restored says what was done.
type Restored struct {
	Manifest Manifest `json:"manifest"`
	// Epoch is the one that the store has now.
	Epoch int64 `json:"epoch"`
	// Aside is where what lay in the data directory before is kept.
	Aside string `json:"aside"`
}

// stagingName is where a store is made ready under the data directory before it takes its place.
const stagingName = "restoring"

// Restore puts a backup in place of the store of a data directory: checked, with its open runs ended, its epoch raised above that of both,
// and read-only until fsck agrees. What was there before, Temporal's file and spools included, is moved aside, not removed.
func Restore(ctx context.Context, o RestoreOptions) (out Restored, err error) {
	if o.TemporalFile == "" {
		return out, errors.New("restore: the name of Temporal's file is missing")
	}
	if out.Manifest, err = ReadManifest(o.From); err != nil {
		return out, err
	}
	if err := nobodyWorks(o.Data); err != nil {
		return out, err
	}
	ring := filepath.Join(o.Data, keyring.FileName)
	if _, err := os.Stat(ring); errors.Is(err, fs.ErrNotExist) && out.Manifest.Keys {
		if err := copyFile(filepath.Join(o.From, keyring.FileName), ring); err != nil {
			return out, fmt.Errorf("put the keyring back: %w", err)
		}
	}
	keys, err := o.ring()
	if err != nil {
		return out, err
	}
	before := settleOld(ctx, o.Data, keys)
	staging := filepath.Join(o.Data, stagingName)
	if err := os.RemoveAll(staging); err != nil { // of one that was interrupted
		return out, fmt.Errorf("staging: %w", err)
	}
	if err := os.Mkdir(staging, 0o700); err != nil {
		return out, fmt.Errorf("staging: %w", err)
	}
	defer os.RemoveAll(staging)
	if err := copyFile(filepath.Join(o.From, store.FileName), filepath.Join(staging, store.FileName)); err != nil {
		return out, fmt.Errorf("copy the backup: %w", err)
	}
	why := fmt.Sprintf("restored from the backup of %s", out.Manifest.At.Format(time.RFC3339))
	if out.Epoch, err = markStaged(ctx, staging, keys, backupRing(o, out.Manifest), why, before); err != nil {
		return out, err
	}
	out.Aside = asideOf(o)
	return out, swapStore(o, keys, staging, out.Aside)
}

// ring opens the ring of the data directory.
func (o RestoreOptions) ring() (*keyring.Keyring, error) {
	return keyring.Open(keyring.Source{Dir: o.Data, Env: o.KeyringEnv}, false)
}

// asideOf is where what lay in a data directory before is kept.
func asideOf(o RestoreOptions) string {
	return filepath.Join(o.Data, "before-restore-"+o.At.UTC().Format("20060102T150405Z"))
}

// RestoreInPlace makes a store that other tools put back (pg_restore) what Restore makes of one: its open runs ended, its epoch raised,
// read-only. Nobody may work on it: no runner of this data directory, and no server or worker anywhere. What Temporal's file and runners have
// left of the store before is moved aside. From is not read.
func RestoreInPlace(ctx context.Context, cat *catalog.Catalog, jour *journal.Journal, o RestoreOptions) (out Restored, err error) {
	if o.TemporalFile == "" {
		return out, errors.New("restore: the name of Temporal's file is missing")
	}
	if err := opensAll(ctx, cat, "put back the ring of when it was copied (keep a copy of today's beside it), then restore again"); err != nil {
		return out, err
	}
	if err := locksAreFree(o.Data); err != nil {
		return out, err
	}
	others, err := cat.Store().Listeners(ctx)
	if err != nil {
		return out, err
	}
	if len(others) > 0 {
		return out, busy("a server or a worker listens to the store from " + strings.Join(others, ", "))
	}
	keys, err := o.ring()
	if err != nil {
		return out, err
	}
	out.Aside = asideOf(o)
	if err := os.Mkdir(out.Aside, 0o700); err != nil {
		return out, fmt.Errorf("a place for what is moved aside: %w", err)
	}
	if out.Epoch, err = markRestored(ctx, cat, jour, "restored by other tools, marked at "+o.At.UTC().Format(time.RFC3339), 0); err != nil {
		return out, err
	}
	return out, errors.Join(moveWork(o, keys, out.Aside), syncDir(o.Data))
}

// markRestored ends the runs that were open in a store that was put back, raises its epoch, and makes it read-only.
func markRestored(ctx context.Context, cat *catalog.Catalog, jour *journal.Journal, why string, above int64) (epoch int64, err error) {
	err = cat.MarkRestored(ctx, why, func(tx *store.Tx) error {
		epoch, err = jour.Refence(tx, above)
		return err
	})
	return epoch, err
}

// settleOld brings the old store's write-ahead log into its file, and returns its epoch; 0 where it cannot be opened: that may be why it is replaced.
func settleOld(ctx context.Context, data string, keys *keyring.Keyring) (epoch int64) {
	if _, err := os.Stat(filepath.Join(data, store.FileName)); err != nil {
		return 0
	}
	st, err := store.Open(ctx, data)
	if err != nil {
		return 0
	}
	defer func() { _ = st.Close() }() // the last one to close it leaves no log behind; one that is damaged is kept as it is
	epoch, err = journal.New(st, keys).Epoch(ctx)
	if err != nil {
		return 0
	}
	return epoch
}

// markStaged checks a staged store and marks it. It is closed, and has no log beside it, when it takes its place.
func markStaged(ctx context.Context, staging string, keys *keyring.Keyring, ringNext, why string, above int64) (epoch int64, err error) {
	st, err := store.Open(ctx, staging)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	lines, err := st.Check(ctx)
	if err != nil {
		return 0, err
	}
	if len(lines) > 0 {
		return 0, &Problem{Code: CodeRefused, Title: "the backup's store is damaged", Detail: strings.Join(lines, "; "), Next: "use another backup"}
	}
	cat := catalog.New(st, keys)
	if err := opensAll(ctx, cat, ringNext); err != nil {
		return 0, err
	}
	return markRestored(ctx, cat, journal.New(st, keys), why, above)
}

// opensAll wants the ring to have every key that something in a store is sealed with: one that was rotated and retired since a backup was made
// does not.
func opensAll(ctx context.Context, cat *catalog.Catalog, next string) error {
	_, err := cat.Installation(ctx)
	if err == nil {
		var used [][]byte
		if used, err = cat.Store().SealedPrefixes(ctx, keyring.PrefixLen); err != nil {
			return err
		}
		err = cat.Keys().Check(used)
	}
	if errors.Is(err, keyring.ErrLost) || errors.Is(err, keyring.ErrTampered) {
		return &Problem{Code: CodeRefused, Title: "the keyring does not open this store", Detail: err.Error(), Next: next}
	}
	return err
}

// backupRing says where the ring of a backup is to be had.
func backupRing(o RestoreOptions, m Manifest) string {
	ring := filepath.Join(o.Data, keyring.FileName)
	if m.Keys {
		return fmt.Sprintf("the backup has its own ring: move %s aside (keep it), then restore again", ring)
	}
	return fmt.Sprintf("put the ring of when the backup was made in place of %s (keep that one), then restore again", ring)
}

// swapStore moves what was there aside and puts the staged store in its place. The old store stays where it is until the new one takes its
// place by one rename; its log, which must never meet the new one, goes first and is empty by then.
func swapStore(o RestoreOptions, keys *keyring.Keyring, staging, aside string) error {
	data := o.Data
	if err := os.Mkdir(aside, 0o700); err != nil {
		return fmt.Errorf("move the old store aside: %w", err)
	}
	err := os.Link(filepath.Join(data, store.FileName), filepath.Join(aside, store.FileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move the old store aside: %w", err)
	}
	if err := moveAside(data, aside, store.FileName+"-wal", store.FileName+"-shm"); err != nil {
		return err
	}
	if err := moveWork(o, keys, aside); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(staging, store.FileName), filepath.Join(data, store.FileName)); err != nil {
		return fmt.Errorf("put the backup in place: %w", err)
	}
	return syncDir(data)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// moveWork moves aside what belongs to the store that was there before: Temporal's file, and what runners have left, sealed.
func moveWork(o RestoreOptions, keys *keyring.Keyring, aside string) error {
	if err := shelveWork(o.Data, keys); err != nil {
		return err
	}
	return moveAside(o.Data, aside, o.TemporalFile, o.TemporalFile+"-wal", o.TemporalFile+"-shm", "spool")
}

func moveAside(data, aside string, names ...string) error {
	for _, name := range names {
		if err := os.Rename(filepath.Join(data, name), filepath.Join(aside, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("move %s aside: %w", name, err)
		}
	}
	return nil
}

// nobodyWorks refuses while a runner, a terraform or a worker of this data directory lives: what they do would be lost.
func nobodyWorks(data string) error {
	if err := locksAreFree(data); err != nil {
		return err
	}
	if pid := opener(filepath.Join(data, store.FileName)); pid != "" {
		return busy("process " + pid + " has the store open")
	}
	return nil
}

func busy(what string) error {
	return &Problem{Code: CodeConflict, Title: "something still works on this data directory or its store", Detail: what, Next: "let it end, or end it; then restore"}
}

// locksAreFree refuses while a runner or a terraform of this data directory lives.
func locksAreFree(data string) error {
	return filepath.WalkDir(filepath.Join(data, "locks"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
			return busy("a runner or a terraform holds " + path)
		} else if err != nil {
			return err
		}
		return nil
	})
}

// opener is a process that has the file open, as far as this user may look.
func opener(path string) (pid string) {
	want, err := os.Stat(path)
	if err != nil {
		return ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		if got, err := os.Stat(link); err == nil && os.SameFile(got, want) {
			return strings.Split(link, "/")[2]
		}
	}
	return ""
}
