package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// StageTemplate copies a template into a work directory (links to the plugins, lock file, CLI configuration) and writes modules.json.
// It takes a few milliseconds: plugins are linked, never copied.
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
	packages, err := t.packages()
	if err != nil {
		return err
	}
	for _, p := range packages {
		if err := linkPackage(filepath.Join(t.Dir, p), filepath.Join(workDir, p)); err != nil {
			return err
		}
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

// linkPackage links to where the template's link leads, so that the work directory does not depend on the template;
// a package that was downloaded into the template lives there.
func linkPackage(from, to string) error {
	target := from
	if link, err := os.Readlink(from); err == nil {
		if target = link; !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(from), link)
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Symlink(target, to)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
