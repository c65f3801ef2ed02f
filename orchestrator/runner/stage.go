package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// stage makes the work directory afresh: the stack's files, the template, for an apply what the plan step left, the newest state.
func stage(dir string, p *prepared) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if err := mkdir(dir); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if err := launch.CheckSpace(dir); err != nil {
		return refuse(RuleDisk, "Too little free space for a state", err.Error(), "free some space, then try again")
	}
	if err := writeFiles(dir, p.step.Stack.Files); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if err := launch.StageTemplate(p.template, dir, p.step.Stack.Modules); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if p.artifact != nil {
		if err := writeFiles(dir, p.artifact.Files); err != nil {
			return fmt.Errorf("stage: %w", err)
		}
	}
	state := []stacks.File{{Path: terraform.StateFileName, Content: p.state.Payload}}
	if err := writeFiles(dir, state); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	return nil
}

// writeFiles writes files below a directory, and never outside it.
func writeFiles(dir string, files []stacks.File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, f := range files {
		path := filepath.FromSlash(f.Path)
		if parent := filepath.Dir(path); parent != "." {
			if err := root.MkdirAll(parent, 0o700); err != nil {
				return err
			}
		}
		mode := os.FileMode(0o600)
		if f.Exec {
			mode = 0o700
		}
		if err := root.WriteFile(path, f.Content, mode); err != nil {
			return err
		}
	}
	return nil
}

// maxArtifact bounds what a plan step may leave beside its plan.
const maxArtifact = 64 << 20

// leftFiles reads what a plan step left in its work directory: the plan, the lock file and every other file, without .terraform and the state.
func leftFiles(dir string) ([]stacks.File, error) {
	var out []stacks.File
	size := int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case rel == terraform.DataDirName && d.IsDir():
			return fs.SkipDir
		case d.IsDir(), !d.Type().IsRegular(), isStateFile(rel):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if size += int64(len(content)); size > maxArtifact {
			return fmt.Errorf("the plan step left more than %d MiB of files", maxArtifact>>20)
		}
		out = append(out, stacks.File{Path: filepath.ToSlash(rel), Content: content, Exec: info.Mode()&0o100 != 0})
		return nil
	})
	return out, err
}

// isStateFile reports whether a file is the state, one of its backups, or its lock's note.
func isStateFile(rel string) bool {
	return strings.HasPrefix(rel, terraform.StateFileName) || rel == terraform.ErroredState ||
		(strings.HasPrefix(rel, ".terraform.tfstate") && strings.HasSuffix(rel, ".lock.info"))
}

// clean removes what an attempt had on the site, the spool last: secrets in plans and states are gone then.
func (w *worker) clean(id stacks.StackID) error {
	sp := spool{w.site.SpoolDir(id)}
	if err := os.RemoveAll(w.site.WorkDir(id)); err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	if err := sp.remove(); err != nil {
		return err
	}
	prune(w.site.WorkDir(id), 3)
	prune(sp.dir, 3)
	return nil
}

// forgetLocks removes the lock files of a stack whose objects are all destroyed. It is the last thing that the holder of both does.
func (w *worker) forgetLocks(id stacks.StackID) {
	for _, path := range []string{w.site.StackLock(id), w.site.RunnerLock(id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.log.Warn("remove a lock's file", "error", err)
		}
	}
	prune(w.site.RunnerLock(id), 2)
}

// prune removes the empty parents of a path, at most n of them; one that is not empty stays.
func prune(path string, n int) {
	for range n {
		path = filepath.Dir(path)
		if os.Remove(path) != nil {
			return
		}
	}
}

// attemptOf is the record of an attempt that has the fence.
func attemptOf(w *worker, p *prepared, id string, fence journal.Fence) attempt {
	return attempt{
		ID: id, Step: p.step.ID, Kind: p.step.Kind, Stack: p.step.Stack.ID, Fence: fence, BootID: w.boot,
		Serial: p.state.Serial, Lineage: p.state.Lineage,
		Binary: p.binary.Path, Version: p.binary.Version, Product: p.binary.Product, Template: p.template.Hash,
		Format: attemptFormat, Runner: ownProgram(w.site),
	}
}
