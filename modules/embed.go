// Package modules carries Meridian's Terraform modules in the binary, so that a stack can be rendered anywhere.
//
// It must never import anything of Meridian, and hold nothing but the modules' files.
package modules

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
)

//go:embed */*.tf
var tree embed.FS

// File is one file of a module; Path is relative to the module, with forward slashes.
type File struct {
	Path    string
	Content []byte
}

// Names lists the modules, sorted.
func Names() []string {
	entries, err := fs.ReadDir(tree, ".")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// Files returns a module's files in order of path. An unknown module is an error that names those there are.
func Files(module string) ([]File, error) {
	if !slices.Contains(Names(), module) {
		return nil, fmt.Errorf("module %q: there is no such module; there are %q", module, Names())
	}
	var out []File
	err := fs.WalkDir(tree, module, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, p)
		out = append(out, File{Path: p[len(module)+1:], Content: content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", module, err)
	}
	return out, nil
}
