package launch

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/mod/sumdb/dirhash"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// verifiedFile is the template's memory of what PrivatePlugin verified.
const verifiedFile = "verified.json"

// PrivatePlugin returns the file of our own plugin that a template pins, for one launch to start it by itself; "" where the providers
// need none of ours. terraform does not look at the package of a plugin that it is given running, so it is done here: the package must have
// the very hash that the template's lock file has. It is read again whenever its file or directory is not the same any more.
func PrivatePlugin(t Template, providers []stacks.ProviderRequirement) (string, error) {
	for _, p := range providers {
		if p.Source != terraform.LocalDBSource {
			continue
		}
		dir := filepath.Join(t.Dir, terraform.DataDirName, providersDir, filepath.FromSlash(p.Source), p.Version, platform())
		file, err := t.verified(dir, p)
		if err != nil {
			return "", fmt.Errorf("plugin %s %s: %w", p.Source, p.Version, err)
		}
		return file, nil
	}
	return "", nil
}

// verified is the plugin's file in a package whose hash the lock file has.
func (t Template) verified(link string, p stacks.ProviderRequirement) (string, error) {
	dir, err := filepath.EvalSymlinks(link)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "terraform-provider-localdb_v"+p.Version)
	seen, err := look(dir, file)
	if err != nil {
		return "", err
	}
	memory := filepath.Join(t.Dir, verifiedFile)
	var known []identity
	if text, err := os.ReadFile(memory); err == nil && json.Unmarshal(text, &known) == nil && slices.Equal(known, seen) {
		return file, nil
	}
	lock, err := os.ReadFile(filepath.Join(t.Dir, terraform.LockFileName))
	if err != nil {
		return "", err
	}
	hash, err := dirhash.HashDir(dir, "", dirhash.Hash1)
	if err != nil {
		return "", err
	}
	if !locked(string(lock), p.Source, hash) {
		return "", fmt.Errorf("%s does not have the hash of the lock file: %s", dir, hash)
	}
	if again, err := look(dir, file); err != nil || !slices.Equal(again, seen) {
		return "", fmt.Errorf("%s changed while it was read", dir)
	}
	text, err := json.Marshal(seen)
	if err != nil {
		return "", err
	}
	return file, replaceFile(memory, text, 0o600)
}

// locked reports whether a lock file has this hash for this provider.
func locked(lock, source, hash string) bool {
	_, block, ok := strings.Cut(lock, fmt.Sprintf("provider %q {", source))
	block, _, whole := strings.Cut(block, "\n}")
	return ok && whole && strings.Contains(block, fmt.Sprintf("%q", hash))
}

// identity tells a file from another one, and from itself after a write: nobody can set the time of its last change.
type identity struct {
	Path   string `json:"path"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	Size   int64  `json:"size"`
	// Changed is the time of the last change of the file or of what is known of it: seconds, nanoseconds.
	Changed [2]int64 `json:"changed"`
}

// look takes the identities of files.
func look(paths ...string) ([]identity, error) {
	var out []identity
	for _, path := range paths {
		var s syscall.Stat_t
		if err := syscall.Stat(path, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, identity{
			Path: path, Device: s.Dev, Inode: s.Ino, Size: s.Size, Changed: [2]int64{s.Ctim.Sec, s.Ctim.Nsec},
		})
	}
	return out, nil
}
