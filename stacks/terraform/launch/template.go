package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// templateFormat changes whenever what lies in a template changes.
const templateFormat = 1

// initTimeout bounds the one init: a mirror takes 0.2 s, a download of a big provider minutes.
const initTimeout = 15 * time.Minute

// providersDir is where terraform looks for plugins in its data directory.
const providersDir = "providers"

// builtinHost is the host of providers that are part of the binary itself.
const builtinHost = "terraform.io/builtin/"

// TemplateInput is what a template depends on.
type TemplateInput struct {
	Site      terraform.Site
	Binary    terraform.Binary
	Providers []stacks.ProviderRequirement
	// Install says where the plugins come from, where a spec says so.
	Install stacks.Installation
	// Environ is the parent's environment (os.Environ()), for proxies, certificates and home.
	Environ []string
}

// Template is a ready-made .terraform directory with its lock file and CLI configuration.
type Template struct {
	Hash string
	Dir  string
}

// TemplateHash is the key of the template: product and version of the binary, the providers, the format of the template.
func TemplateHash(in TemplateInput) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s %s\n", templateFormat, in.Binary.Product, in.Binary.Version, platform())
	for _, p := range external(in.Providers) {
		fmt.Fprintf(h, "%q %q\n", p.Source, p.Version)
	}
	if in.Install != (stacks.Installation{}) {
		fmt.Fprintf(h, "from %q %q\n", in.Install.CLIConfig, in.Install.Mirror)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// external are the providers that need a plugin, each once, in order of source.
func external(providers []stacks.ProviderRequirement) []stacks.ProviderRequirement {
	var list []stacks.ProviderRequirement
	seen := map[stacks.ProviderRequirement]bool{}
	for _, p := range providers {
		p.LocalName = ""
		if !strings.HasPrefix(p.Source, builtinHost) && !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Source != list[j].Source {
			return list[i].Source < list[j].Source
		}
		return list[i].Version < list[j].Version
	})
	return list
}

// EnsureTemplate returns the template for a set of providers and makes it where it is missing, by the one `terraform init` there is.
// It may be called by several processes at once. Our own plugin must be in the mirror before.
func EnsureTemplate(ctx context.Context, in TemplateInput) (Template, error) {
	t := Template{Hash: TemplateHash(in)}
	t.Dir = filepath.Join(in.Site.Templates(), t.Hash)
	if t.usable() {
		return t, nil
	}
	err := withLock(ctx, filepath.Join(in.Site.Templates(), ".lock"), func() error {
		if t.usable() {
			return nil
		}
		return makeTemplate(ctx, in, t)
	})
	if err != nil {
		return Template{}, fmt.Errorf("template of providers: %w", err)
	}
	return t, nil
}

// usable reports whether the template is there and every plugin that it links to still is.
func (t Template) usable() bool {
	if _, err := os.Stat(filepath.Join(t.Dir, filepath.FromSlash(terraform.CLIConfigFile))); err != nil {
		return false
	}
	packages, err := t.packages()
	if err != nil {
		return false
	}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(t.Dir, p)); err != nil {
			return false
		}
	}
	return true
}

// packages are the paths, within the template, of the plugins' directories: HOST/NAMESPACE/TYPE/VERSION/OS_ARCH.
func (t Template) packages() ([]string, error) {
	hits, err := filepath.Glob(filepath.Join(escapeGlob(t.Dir), terraform.DataDirName, providersDir, "*", "*", "*", "*", platform()))
	if err != nil {
		return nil, err
	}
	for i, hit := range hits {
		if hits[i], err = filepath.Rel(t.Dir, hit); err != nil {
			return nil, err
		}
	}
	return hits, nil
}

// makeTemplate makes the template aside and gives it its name when it is whole. The caller holds the lock.
func makeTemplate(ctx context.Context, in TemplateInput, t Template) error {
	providers := external(in.Providers)
	for i := 1; i < len(providers); i++ {
		if providers[i].Source == providers[i-1].Source {
			return fmt.Errorf("provider %s is wanted in versions %s and %s", providers[i].Source, providers[i-1].Version, providers[i].Version)
		}
	}
	if err := sweep(in.Site); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(in.Site.Templates(), tempPrefix+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // what is left is swept by the next maker
	if err := fillTemplate(ctx, in, providers, dir); err != nil {
		return err
	}
	if err := os.RemoveAll(t.Dir); err != nil {
		return err
	}
	if err := syncTree(dir); err != nil {
		return err
	}
	return os.Rename(dir, t.Dir)
}

// syncTree makes a directory durable with all that lies in it: a template is told by its name alone, so none of that name may be half there
// after a loss of power. What it links to is not its own.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func fillTemplate(ctx context.Context, in TemplateInput, providers []stacks.ProviderRequirement, dir string) error {
	if err := os.Mkdir(filepath.Join(dir, terraform.DataDirName), 0o755); err != nil {
		return err
	}
	mirrors := mirrorsOf(in, providers)
	own := in.Install.CLIConfig
	if own != "" {
		mirrors = nil // it says itself where plugins come from
	}
	config := filepath.Join(dir, filepath.FromSlash(terraform.CLIConfigFile))
	if err := os.WriteFile(config, cliConfig(providers, mirrors), 0o644); err != nil {
		return err
	}
	if len(providers) == 0 {
		return nil
	}
	versions := filepath.Join(dir, "versions.tf")
	if err := os.WriteFile(versions, requiredProviders(providers), 0o600); err != nil {
		return err
	}
	if own == "" {
		own = config
	}
	err := initialise(ctx, in, dir, own)
	if err != nil && ctx.Err() == nil && len(mirrors) > 0 {
		// A mirror that was found by its looks may not satisfy this product: ask the provider's own origin too.
		slog.WarnContext(ctx, "init from local mirrors refused, asking the origin", "error", err)
		if wErr := os.WriteFile(config, cliConfig(providers, ours(mirrors)), 0o644); wErr != nil {
			return wErr
		}
		if again := initialise(ctx, in, dir, config); again != nil {
			return errors.Join(err, again)
		}
		err = nil
	}
	if err != nil {
		return err
	}
	return os.Remove(versions)
}

// initialise runs init; there is no backend block in what it sees, so it only installs plugins and writes the lock file.
func initialise(ctx context.Context, in TemplateInput, dir, config string) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	call := Call{Binary: in.Binary, Dir: dir, Env: terraform.Environment(in.Environ, nil, map[string]string{terraform.EnvCLIConfig: config})}
	_, err := call.run(ctx, "init", "-input=false", "-no-color", "-backend=false")
	return err
}

// Prune removes the templates of a site that keep does not want, and what interrupted makers left.
func Prune(ctx context.Context, site terraform.Site, keep func(hash string) bool) error {
	return withLock(ctx, filepath.Join(site.Templates(), ".lock"), func() error {
		errs := []error{sweep(site)}
		for _, entry := range listed(site.Templates()) {
			if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && !keep(entry.Name()) {
				errs = append(errs, os.RemoveAll(filepath.Join(site.Templates(), entry.Name())))
			}
		}
		return errors.Join(errs...)
	})
}

// sweep removes what dead makers left. The caller holds the lock, so no maker lives.
func sweep(site terraform.Site) error {
	var errs []error
	for _, entry := range listed(site.Templates()) {
		if strings.HasPrefix(entry.Name(), tempPrefix) {
			errs = append(errs, os.RemoveAll(filepath.Join(site.Templates(), entry.Name())))
		}
	}
	return errors.Join(errs...)
}
