package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"meridian/orchestrator"
)

// maxFile bounds one file of specs, before it is looked at.
const maxFile = 2 << 20

// readDocuments reads what -f names: files, folders (their .yaml and .yml files, in order of name) and "-" for stdin.
func (a *app) readDocuments(paths []string) ([]orchestrator.Document, error) {
	if len(paths) == 0 {
		return nil, &exitError{Code: exitFailed, What: "no spec: -f is missing", Next: "name a file, a folder, or - for stdin: -f spec.yaml"}
	}
	var out []orchestrator.Document
	stdin := false
	for _, path := range paths {
		if path == "-" {
			if stdin {
				return nil, usage("-f - can be said once only")
			}
			stdin = true
			d, err := readDocument("stdin", a.stdin)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
			continue
		}
		names, err := specFiles(path)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			f, err := os.Open(name)
			if err != nil {
				return nil, fmt.Errorf("read the spec: %w", err)
			}
			d, err := readDocument(name, f)
			f.Close()
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
	}
	return out, a.packModules(out)
}

func specFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the spec: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read the folder of specs: %w", err)
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, &exitError{Code: exitFailed, What: "no .yaml or .yml file in " + path, Next: "name another file or folder with -f"}
	}
	slices.Sort(names)
	return names, nil
}

func readDocument(name string, r io.Reader) (orchestrator.Document, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return orchestrator.Document{}, fmt.Errorf("read the spec %s: %w", name, err)
	case len(text) > maxFile:
		return orchestrator.Document{}, &exitError{
			Code: exitInvalidSpec, What: fmt.Sprintf("%s is longer than %d MiB", name, maxFile>>20), Next: "split it into several files",
		}
	case !utf8.Valid(text):
		return orchestrator.Document{}, &exitError{Code: exitInvalidSpec, What: name + " is no UTF-8 text", Next: "save it as UTF-8"}
	}
	return orchestrator.Document{File: name, Text: string(text)}, nil
}
