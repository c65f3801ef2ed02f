package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// StageTemplate copies a template into a work directory (a link to its plugins, lock file, CLI configuration) and writes modules.json.
// It takes a millisecond: making directories is what costs, so there is one link for all plugins.
func StageTemplate(t Template, workDir string, modules []stacks.ModuleEntry) error {
	if err := stage(t, workDir, modules); err != nil {
		return fmt.Errorf("stage template: %w", err)
	}
	return nil
}

func stage(t Template, workDir string, modules []stacks.ModuleEntry) error {
	data := filepath.Join(workDir, terraform.DataDirName)
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	plugins := filepath.Join(terraform.DataDirName, providersDir)
	if _, err := os.Stat(filepath.Join(t.Dir, plugins)); err == nil {
		if err := os.Symlink(filepath.Join(t.Dir, plugins), filepath.Join(workDir, plugins)); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) { // there is none where all providers are built in
		return err
	}
	if err := copyFile(filepath.Join(t.Dir, terraform.LockFileName), filepath.Join(workDir, terraform.LockFileName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	config := filepath.FromSlash(terraform.CLIConfigFile)
	if err := copyFile(filepath.Join(t.Dir, config), filepath.Join(workDir, config)); err != nil {
		return err
	}
	if len(modules) == 0 {
		return nil
	}
	manifest := filepath.Join(workDir, filepath.FromSlash(terraform.ModulesFile))
	if err := os.MkdirAll(filepath.Dir(manifest), 0o700); err != nil {
		return err
	}
	return os.WriteFile(manifest, terraform.ModulesJSON(modules), 0o600)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
