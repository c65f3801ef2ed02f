package orchestrator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
)

// ManifestName is the file of a backup that says what it is; it is written last.
const ManifestName = "backup.json"

// manifestFormat is the only format of manifests that there is.
const manifestFormat = 1

// Manifest says what a backup is.
type Manifest struct {
	Format       int       `json:"format"`
	Version      string    `json:"version"`
	Installation string    `json:"installation"`
	Epoch        int64     `json:"epoch"`
	At           time.Time `json:"at"`
	SHA256       string    `json:"sha256"`
	Size         int64     `json:"size"`
	// Keys says that the keyring is in the backup too.
	Keys bool `json:"keys,omitempty"`
}

// BackupOptions say what is copied where.
type BackupOptions struct {
	Catalog *catalog.Catalog
	Journal *journal.Journal
	// Dir is a directory that is made, or is empty.
	Dir string
	// Keyring is the ring's file, copied where it is not empty.
	Keyring string
	Version string
}

// Backup copies a store, consistent while others read and write it.
func Backup(ctx context.Context, o BackupOptions) (m Manifest, err error) {
	if err := emptyDir(o.Dir); err != nil {
		return m, err
	}
	m = Manifest{Format: manifestFormat, Version: o.Version, At: time.Now().UTC().Truncate(time.Second), Keys: o.Keyring != ""}
	if m.Installation, err = o.Catalog.Installation(ctx); err != nil {
		return m, err
	}
	if m.Epoch, err = o.Journal.Epoch(ctx); err != nil {
		return m, err
	}
	before, err := o.Catalog.Keys().Keys()
	if err != nil {
		return m, err
	}
	path, err := o.Catalog.Store().Backup(ctx, o.Dir)
	if err != nil {
		return m, err
	}
	if m.SHA256, m.Size, err = digestOf(path); err != nil {
		return m, err
	}
	if o.Keyring != "" {
		if err := copyFile(o.Keyring, filepath.Join(o.Dir, keyring.FileName)); err != nil {
			return m, fmt.Errorf("copy the keyring: %w", err)
		}
		if err := hasKeys(o.Dir, before); err != nil {
			return m, err
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	return m, writeSynced(filepath.Join(o.Dir, ManifestName), append(text, '\n'))
}

// hasKeys wants the ring in a directory to have all these keys: one that was retired while the store was copied may have sealed rows of the copy.
func hasKeys(dir string, want []keyring.Info) error {
	ring, err := keyring.Open(keyring.Source{Dir: dir}, false)
	if err != nil {
		return err
	}
	have := ring.IDs()
	for _, k := range want {
		if !slices.Contains(have, k.ID) {
			return &Problem{
				Code: CodeConflict, Title: "the ring that was copied does not have all keys of the store that was copied", Detail: "key " + k.ID + " is not in it",
				Next: "make the backup again, in another directory; keys were changed meanwhile",
			}
		}
	}
	return nil
}

// ReadManifest reads what a backup is, and verifies that its store is the one that was copied.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, &Problem{Code: CodeNotFound, Title: dir + " is no whole backup", Detail: "it holds no " + ManifestName, Next: "name a directory that meridian backup made"}
	}
	if err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Format != manifestFormat {
		return m, &Problem{Code: CodeRefused, Title: "the manifest of " + dir + " cannot be read", Detail: fmt.Sprintf("format %d, want %d", m.Format, manifestFormat), Next: "use the meridian that made it"}
	}
	digest, size, err := digestOf(filepath.Join(dir, store.FileName))
	if err != nil {
		return m, fmt.Errorf("the store of the backup: %w", err)
	}
	if digest != m.SHA256 || size != m.Size {
		return m, &Problem{
			Code: CodeRefused, Title: "the store in " + dir + " is not the one that was backed up",
			Detail: fmt.Sprintf("it has %d bytes and digest %.12s, want %d and %.12s", size, digest, m.Size, m.SHA256), Next: "use another backup",
		}
	}
	return m, nil
}

// emptyDir makes a directory for its owner alone, or takes an empty one.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &Problem{Code: CodeRefused, Title: "the directory cannot be made", Detail: err.Error(), Next: "name another"}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("backup directory: %w", err)
	}
	if len(entries) > 0 {
		return &Problem{Code: CodeRefused, Title: dir + " is not empty", Next: "name a directory of its own for each backup"}
	}
	return nil
}

func digestOf(path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// copyFile copies to a new file that only its owner may read, and syncs it.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}
