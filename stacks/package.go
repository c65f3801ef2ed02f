package stacks

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// Limits of a foreign module with all that it calls. They bound what a stack, a plan and a row of the catalog carry.
const (
	MaxPackageFiles = 4000
	MaxPackageBytes = 16 << 20
	// MaxArchiveBytes bounds a local module as a client sends it, packed.
	MaxArchiveBytes = 2 << 20
)

// ModuleSource is where a foreign module comes from and how terraform gets it. Two regions with the same one need no second look.
type ModuleSource struct {
	// Source is terraform's own module source address, or a local path; Version is a constraint, for registry addresses alone.
	Source  string `json:"source"`
	Version string `json:"version,omitempty"`
	// Requires are the providers that the spec names, by their names in the stack; Version is a constraint and may be empty.
	Requires []ProviderRequirement `json:"requires,omitempty"`
	Install  Installation          `json:"install,omitzero"`
}

// Installation says where terraform takes modules and plugins from, beside the origin and what is found on the machine. Paths are absolute.
type Installation struct {
	// CLIConfig is a CLI configuration file of terraform's, used for what is fetched alone.
	CLIConfig string `json:"cliConfig,omitempty"`
	// Mirror is a filesystem mirror of plugins.
	Mirror string `json:"mirror,omitempty"`
}

// Local reports whether the module lies with the client, who packs it: its address is a path.
func (s ModuleSource) Local() bool {
	return strings.HasPrefix(s.Source, "./") || strings.HasPrefix(s.Source, "../") || strings.HasPrefix(s.Source, "/") || s.Source == "." || s.Source == ".."
}

// Package is a foreign module with every module that it calls, as it was when its source was resolved.
type Package struct {
	ModuleSource
	// Resolved is the commit of a git repository, or the exact version of a registry's module; "" where the source has neither.
	Resolved string `json:"resolved,omitempty"`
	// Digest is the SHA-256, in hex, of the files and of what they are called.
	Digest string `json:"digest"`
	// Dir is where the called module lies among the files.
	Dir   string `json:"dir"`
	Files []File `json:"files"`
	// Modules are the modules that it calls, as modules.json names them below the call.
	Modules []ModuleEntry `json:"modules,omitempty"`
	// Providers are all that need a plugin, of exact versions, by source.
	Providers []ProviderRequirement `json:"providers,omitempty"`
}

// NewPackage seals what was fetched: it sorts and digests it.
func NewPackage(p Package) Package {
	slices.SortFunc(p.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(p.Modules, func(a, b ModuleEntry) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(p.Providers, func(a, b ProviderRequirement) int { return cmp.Compare(a.Source, b.Source) })
	h := sha256.New()
	fmt.Fprintf(h, "%s %q %q\n", digestFiles(p.Files), p.Dir, p.Install)
	for _, m := range p.Modules {
		fmt.Fprintf(h, "module %q %q %q %q\n", m.Key, m.Source, m.Version, m.Dir)
	}
	for _, r := range p.Providers {
		fmt.Fprintf(h, "provider %q %q\n", r.Source, r.Version)
	}
	p.Digest = hex.EncodeToString(h.Sum(nil))
	return p
}

// PackFiles packs files for a client to send. What is too large is refused.
func PackFiles(files []File) ([]byte, error) {
	if len(files) == 0 {
		return nil, errors.New("it has no files")
	}
	if err := CheckFiles(files); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := errors.Join(json.NewEncoder(z).Encode(files), z.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if out.Len() > MaxArchiveBytes {
		return nil, fmt.Errorf("packed it has %d bytes; at most %d are sent", out.Len(), MaxArchiveBytes)
	}
	return out.Bytes(), nil
}

// UnpackFiles reads what PackFiles wrote, whoever sent it.
func UnpackFiles(archive []byte) ([]File, error) {
	if len(archive) > MaxArchiveBytes {
		return nil, fmt.Errorf("it has %d bytes; at most %d are taken", len(archive), MaxArchiveBytes)
	}
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	const most = 2 * MaxPackageBytes // base64 and names
	text, err := io.ReadAll(io.LimitReader(z, most+1))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if len(text) > most {
		return nil, fmt.Errorf("unpacked it has more than %d bytes", most)
	}
	var files []File
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if len(files) == 0 {
		return nil, errors.New("it has no files")
	}
	return files, CheckFiles(files)
}

// CheckFiles refuses files that cannot lie in one directory, or are too many or too large.
func CheckFiles(files []File) error {
	if len(files) > MaxPackageFiles {
		return fmt.Errorf("there are %d files; at most %d are taken", len(files), MaxPackageFiles)
	}
	seen, size := map[string]bool{}, 0
	for _, f := range files {
		if !fs.ValidPath(f.Path) || f.Path == "." || strings.ContainsAny(f.Path, "\\\x00") {
			return fmt.Errorf("%q is no path within the module", brief(f.Path))
		}
		if seen[f.Path] {
			return fmt.Errorf("%s is there twice", f.Path)
		}
		seen[f.Path] = true
		if size += len(f.Content); size > MaxPackageBytes {
			return fmt.Errorf("the files have more than %d MiB", MaxPackageBytes>>20)
		}
	}
	return nil
}
