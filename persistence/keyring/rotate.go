package keyring

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Rotate adds a new key, which seals from now on, in every process. Then each room seals its rows again (Reseal), and Retire drops
// the old keys.
func (k *Keyring) Rotate() (id string, err error) {
	err = k.change(func(keys []key) ([]key, error) {
		fresh := generate()
		id = fresh.ID
		return append(keys, fresh), nil
	})
	return id, err
}

// Retire drops every key but the newest, once nothing is sealed with them: used are the prefixes that the store lists. Grace is how long
// the newest must have been the newest: a writer that sealed with an old one just before the rotation has committed by then.
func (k *Keyring) Retire(used [][]byte, grace time.Duration) (retired []string, err error) {
	err = k.change(func(keys []key) ([]key, error) {
		newest := keys[len(keys)-1]
		if age := time.Since(newest.Created); age < grace {
			return nil, fmt.Errorf("%w: the newest key is %s old, and what was sealed before it may still be on its way (wait %s, seal again, then retire)",
				ErrInUse, age.Round(time.Second), (grace - age).Round(time.Second))
		}
		for _, old := range keys[:len(keys)-1] {
			if slices.ContainsFunc(used, func(p []byte) bool { return string(p) == string(prefix(old.ID)) }) {
				return nil, fmt.Errorf("%w: rows are sealed with %s (seal them again first)", ErrInUse, old.ID)
			}
			retired = append(retired, old.ID)
		}
		return []key{newest}, nil
	})
	if err != nil {
		return nil, err
	}
	return retired, nil
}

// change rewrites the ring's file under its lock.
func (k *Keyring) change(f func([]key) ([]key, error)) error {
	path := k.src.file()
	if path == "" {
		return fmt.Errorf("%w: the ring comes from %s (change it there: append a key with a JSON ring, the last one seals)", ErrBadRing, k.src)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock the keyring: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the keyring: %w", err)
	}
	keys, _, err := load(path)
	if err != nil {
		return err
	}
	if keys, err = f(keys); err != nil {
		return err
	}
	tmp, err := write(path, keys)
	if err != nil {
		return fmt.Errorf("write the keyring: %w", err)
	}
	if err := disk.rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("write the keyring: %w", err)
	}
	keys, s, err := loadDurable(path)
	if err != nil {
		return err
	}
	return k.use(keys, s)
}

// first makes a ring; of two processes that do, one wins and both use its ring.
func first(src Source) ([]key, stamp, error) {
	path := src.file()
	if err := os.MkdirAll(src.Dir, 0o700); err != nil {
		return nil, stamp{}, err
	}
	tmp, err := write(path, []key{generate()})
	if err != nil {
		return nil, stamp{}, err
	}
	defer func() { _ = os.Remove(tmp) }()
	if err := disk.link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, stamp{}, err
	}
	return loadDurable(path)
}

// write puts the ring into a synced 0600 file beside path.
func write(path string, keys []key) (tmp string, err error) {
	text, err := json.MarshalIndent(ring{Keys: keys}, "", "  ")
	if err != nil {
		return "", err
	}
	return disk.writeTemp(filepath.Dir(path), append(text, '\n'))
}

func generate() key {
	raw := make([]byte, keyLen)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	return key{ID: keyID(raw), Key: raw, Created: time.Now().UTC()}
}
