package launch

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
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

// Plugin is a plugin that may run beside terraform: the file, and the full source of the provider that it is, with its registry's host.
type Plugin struct{ Source, File string }

// PrivatePlugin returns the plugin of a stack that one launch may start by itself, once: our own, or that of the stack's one provider. It
// is zero where there is none: several configurations cannot share a process. terraform does not look at the package of a plugin that it
// is given running, so it is done here: the package must have the very hash that the template's lock file has. It is read again whenever
// its file or directory is not the same any more.
func PrivatePlugin(t Template, s stacks.Stack) (Plugin, error) {
	for _, p := range s.Providers {
		if p.Source != terraform.LocalDBSource && p.Source != s.Once {
			continue
		}
		plugin, err := t.plugin(p)
		if err != nil {
			return Plugin{}, fmt.Errorf("plugin %s %s: %w", p.Source, p.Version, err)
		}
		return plugin, nil
	}
	return Plugin{}, nil
}

// plugin finds what the template pins of a provider.
func (t Template) plugin(p stacks.ProviderRequirement) (Plugin, error) {
	top := filepath.Join(t.Dir, terraform.DataDirName, providersDir)
	source, below := filepath.FromSlash(p.Source), filepath.Join(p.Version, platform())
	if strings.Count(p.Source, "/") == 1 { // terraform adds the host of its registry
		source = filepath.Join("*", source)
	}
	found, err := filepath.Glob(filepath.Join(top, source, below))
	if err != nil || len(found) != 1 {
		return Plugin{}, fmt.Errorf("the template has %d packages of it", len(found))
	}
	rel, err := filepath.Rel(top, found[0])
	if err != nil {
		return Plugin{}, err
	}
	p.Source = filepath.ToSlash(strings.TrimSuffix(rel, string(filepath.Separator)+below))
	file, err := t.verified(found[0], p)
	return Plugin{Source: p.Source, File: file}, err
}

// verified is the plugin's file in a package whose hash the lock file has.
func (t Template) verified(link string, p stacks.ProviderRequirement) (string, error) {
	dir, err := filepath.EvalSymlinks(link)
	if err != nil {
		return "", err
	}
	programs, err := filepath.Glob(filepath.Join(dir, "terraform-provider-"+path.Base(p.Source)+"_v"+p.Version+"*"))
	if err != nil || len(programs) != 1 {
		return "", fmt.Errorf("%s has %d programs of it", dir, len(programs))
	}
	file := programs[0]
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
