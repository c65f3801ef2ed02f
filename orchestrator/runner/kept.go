package runner

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// putSnapshot keeps a state, sealed, in place of the one before: nothing of it lies in a spool in clear.
func (s spool) putSnapshot(keys *keyring.Keyring, id stacks.StackID, state []byte) error {
	data, err := journal.SealSpooled(keys, id, state)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return writeWhole(s.path(snapshotFile), data, true)
}

// snapshot opens the kept state; nil where there is none or it is damaged (power was lost while it was written). One that cannot be opened for
// want of its key is an error: it may be the newest of all, and whoever went on without it would go on from an older one.
func (s spool) snapshot(keys *keyring.Keyring, id stacks.StackID) ([]byte, error) {
	data, err := os.ReadFile(s.path(snapshotFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	whose, state, err := journal.OpenSpooled(keys, data)
	switch {
	case errors.Is(err, keyring.ErrTampered), err == nil && whose != id:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the newest state of %s, which an earlier attempt kept in %s, cannot be opened; nothing was touched, and nothing goes on from an older one: %w",
			id, s.path(snapshotFile), err)
	}
	return state, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshotInClear reads the state that a runner of the format before kept; nil where there is none or it is damaged.
func (s spool) snapshotInClear() []byte {
	data, err := os.ReadFile(s.path(terraform.StateInClear))
	if err != nil || len(data) < 4 || binary.BigEndian.Uint32(data) != crc32.Checksum(data[4:], castagnoli) {
		return nil
	}
	return data[4:]
}

// recall takes up the state that the attempt has kept so far. A spool of the format before becomes one of today's: first its record says so, lest
// an older runner takes it up once more and overlooks what is sealed from here on; then what lies there in clear is sealed.
func (r *run) recall() error {
	if r.att.Format < attemptFormat {
		r.att.Format = attemptFormat
		if err := r.spool.put(attemptFile, r.att, true); err != nil {
			return err
		}
	}
	return r.recallState()
}

func (r *run) recallState() error {
	state, err := r.spool.snapshot(r.keys, r.att.Stack)
	if err != nil {
		return err
	}
	r.keep(state)
	if !r.spool.has(terraform.StateInClear) {
		return nil
	}
	if state := r.spool.snapshotInClear(); r.keep(state) {
		if err := r.spool.putSnapshot(r.keys, r.att.Stack, state); err != nil {
			return err
		}
	}
	if err := disk.remove(r.spool.path(terraform.StateInClear)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// shelve leaves an attempt for a person to look at: the newest state that terraform left and what it said are sealed in the spool, and the work
// directory, where they lie in clear, goes. Where it could not be sealed, that stays. What the spool held before was recalled.
func (r *run) shelve() error {
	r.lastLook()
	if newest := r.newestState(); newest != nil {
		if kept, err := r.spool.snapshot(r.keys, r.att.Stack); err != nil || !bytes.Equal(kept, newest.Payload) {
			return err
		}
	}
	if said, err := os.ReadFile(r.tail.where()); err == nil && len(said) > 0 {
		sealed, err := journal.SealSpooled(r.keys, r.att.Stack, said)
		if err == nil {
			err = writeWhole(r.spool.path(terraform.SpooledOutput), sealed, true)
		}
		if err != nil {
			return err
		}
		if err := disk.remove(r.spool.path(terraform.OutputInClear)); err != nil { // of the version before
			return fmt.Errorf("spool: %w", err)
		}
	}
	if err := os.RemoveAll(r.site.WorkDir(r.att.Stack)); err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	return nil
}

// keepElsewhere says what to do with a spool that only a person can judge.
func (w *worker) keepElsewhere(dir string) string {
	return fmt.Sprintf("nothing in the world was touched; keep %s elsewhere (its %s may be newer than the newest state: meridian-runner %s --data %s --file FILE --with-secrets shows it)",
		dir, snapshotFile, terraform.VerbSpooled, w.site.Root)
}

// spooled opens a sealed file of a spool for a person, wherever the file was kept. It needs the ring, and no store.
func spooled(site terraform.Site, path string) ([]byte, error) {
	keys, err := openRing(site)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	_, plain, err := journal.OpenSpooled(keys, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return plain, nil
}
