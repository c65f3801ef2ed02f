package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"meridian/orchestrator"
	"meridian/providers/module"
	"meridian/stacks"
)

// packModules packs the local modules that documents name: the server may be on another machine. Their paths are taken from where the document
// lies.
func (a *app) packModules(docs []orchestrator.Document) error {
	for i, d := range docs {
		base := ""
		if d.File != "stdin" {
			base = filepath.Dir(d.File)
		}
		loaded, _ := stacks.Load([]stacks.Source{{Name: d.File, Text: []byte(d.Text)}}, a.namespace) // what is wrong with it is said by those who check it
		for _, l := range loaded {
			for _, r := range l.Spec.Spec.Regions {
				source, _ := r.Settings["source"].(string)
				if r.Provider != module.Name || !(stacks.ModuleSource{Source: source}).Local() {
					continue
				}
				root, _ := orchestrator.SplitLocal(source)
				if _, packed := docs[i].Modules[root]; packed {
					continue
				}
				dir := root
				if !filepath.IsAbs(dir) {
					dir = filepath.Join(base, filepath.FromSlash(root))
				}
				archive, err := packModule(dir)
				if err != nil {
					return &exitError{Code: exitInvalidSpec, What: fmt.Sprintf("the module %s of region %s in %s: %v", source, r.Name, d.File, err),
						Next: "name a directory that holds the module and what it calls by path; what lies above it comes along with DIRECTORY//MODULE"}
				}
				if docs[i].Modules == nil {
					docs[i].Modules = map[string][]byte{}
				}
				docs[i].Modules[root] = archive
			}
		}
	}
	return nil
}

// unpacked are what terraform itself leaves in a directory: none of it belongs to a module, and some of it holds secrets.
func unpacked(name string) bool {
	return slices.Contains([]string{".git", ".terraform", ".terraform.lock.hcl", "terraform.tfvars", "terraform.tfvars.json"}, name) ||
		strings.Contains(name, ".tfstate") || strings.HasSuffix(name, ".auto.tfvars") || strings.HasSuffix(name, ".auto.tfvars.json")
}

// packModule packs the files of a directory. Links are refused: what they lead to may be anything.
func packModule(dir string) ([]byte, error) {
	var files []stacks.File
	size := int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case rel != "." && unpacked(d.Name()) && d.IsDir():
			return fs.SkipDir
		case d.IsDir(), unpacked(d.Name()):
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s is a link; put the file itself there", rel)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no file", rel)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if size += info.Size(); size > stacks.MaxPackageBytes || len(files) >= stacks.MaxPackageFiles {
			return fmt.Errorf("it has more than %d MiB or %d files", stacks.MaxPackageBytes>>20, stacks.MaxPackageFiles)
		}
		content, err := os.ReadFile(path)
		files = append(files, stacks.File{Path: filepath.ToSlash(rel), Content: content, Exec: info.Mode()&0o100 != 0})
		return err
	})
	if err != nil {
		return nil, err
	}
	return stacks.PackFiles(files)
}
