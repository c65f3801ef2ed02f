package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/mod/semver"

	"meridian/stacks/terraform"
)

// The versions, in their one place.
const (
	// MinVersion is the oldest terraform or tofu that Meridian takes: the first with write-only arguments.
	MinVersion = "1.11.0"
	// PinnedVersion is the terraform that is installed where there is none: the one that the tests ran with.
	PinnedVersion = "1.11.4"
)

// The products.
const (
	ProductTerraform = "terraform"
	ProductTofu      = "tofu"
)

// ErrVersion says that a binary is too old.
var ErrVersion = errors.New("terraform is too old")

// versionTimeout bounds one `version`: it takes 40 ms, and a cold disk some more.
const versionTimeout = 30 * time.Second

// Find returns the terraform or tofu to use: hint (the path or name that a flag or MERIDIAN_TERRAFORM gave; nothing else is tried
// then), else terraform and then tofu on PATH, else one that was installed into the site, else it installs the pinned version into the site.
// Versions below MinVersion are refused. The answer is kept in the site and holds while the file is the same.
func Find(ctx context.Context, site terraform.Site, hint string) (terraform.Binary, error) {
	if hint != "" {
		b, err := probe(ctx, site, hint)
		if err != nil {
			return terraform.Binary{}, fmt.Errorf("%s %q: %w", terraform.EnvTerraform, hint, err)
		}
		return b, nil
	}
	var refused []error
	for _, candidate := range []string{ProductTerraform, ProductTofu, filepath.Join(site.Bin(), ProductTerraform)} {
		b, err := probe(ctx, site, candidate)
		switch {
		case err == nil:
			return b, nil
		case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		case ctx.Err() != nil:
			return terraform.Binary{}, err
		default:
			refused = append(refused, err)
			slog.WarnContext(ctx, "terraform passed over", "candidate", candidate, "error", err)
		}
	}
	path, err := install(ctx, site)
	if err == nil {
		return probe(ctx, site, path)
	}
	refused = append(refused, err)
	return terraform.Binary{}, fmt.Errorf("no terraform >= %s and none could be installed: put one on PATH or name it in %s: %w",
		MinVersion, terraform.EnvTerraform, errors.Join(refused...))
}

// probe resolves a name or path and asks the binary for its version, unless the site remembers it.
func probe(ctx context.Context, site terraform.Site, candidate string) (terraform.Binary, error) {
	path, err := exec.LookPath(candidate)
	if err != nil {
		return terraform.Binary{}, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return terraform.Binary{}, err
	}
	known, err := fingerprint(path)
	if err != nil {
		return terraform.Binary{}, err
	}
	b, ok := recall(site, known)
	if !ok {
		if b, err = ask(ctx, path); err != nil {
			return terraform.Binary{}, err
		}
		if err := remember(site, known, b); err != nil {
			slog.WarnContext(ctx, "terraform's version not remembered", "error", err)
		}
	}
	if semver.Compare("v"+b.Version, "v"+MinVersion) < 0 {
		return terraform.Binary{}, fmt.Errorf("%w: %s is %s %s, want at least %s", ErrVersion, b.Path, b.Product, b.Version, MinVersion)
	}
	return b, nil
}

var versionLine = regexp.MustCompile(`^(Terraform|OpenTofu) v(\d+\.\d+\.\d+\S*)`)

// ask starts `version` with a clean environment, away from any work directory.
func ask(ctx context.Context, path string) (terraform.Binary, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	b := terraform.Binary{Path: path, Product: filepath.Base(path)}
	call := Call{Binary: b, Dir: "/", Env: terraform.Environment(os.Environ(), nil, map[string]string{terraform.EnvCLIConfig: os.DevNull})}
	out, err := call.run(ctx, "version")
	if err != nil {
		return b, fmt.Errorf("%s: %w", path, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return b, fmt.Errorf("%s: neither terraform nor tofu: its version starts with %.40q", path, out)
	}
	b.Version, b.Product = string(m[2]), ProductTerraform
	if string(m[1]) == "OpenTofu" {
		b.Product = ProductTofu
	}
	return b, nil
}

// found is one line of the site's memory.
type found struct {
	Path  string           `json:"path"`
	Size  int64            `json:"size"`
	Mtime time.Time        `json:"mtime"`
	Is    terraform.Binary `json:"is"`
}

func fingerprint(path string) (found, error) {
	info, err := os.Stat(path)
	if err != nil {
		return found{}, err
	}
	return found{Path: path, Size: info.Size(), Mtime: info.ModTime().UTC()}, nil
}

func (f found) same(o found) bool {
	return f.Path == o.Path && f.Size == o.Size && f.Mtime.Equal(o.Mtime)
}

func readFound(site terraform.Site) []found {
	text, err := os.ReadFile(site.FoundFile())
	if err != nil {
		return nil
	}
	var list []found
	if json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}

func recall(site terraform.Site, f found) (terraform.Binary, bool) {
	for _, known := range readFound(site) {
		if known.same(f) {
			return known.Is, true
		}
	}
	return terraform.Binary{}, false
}

// remember writes the answer down, unless the binary is a script: a version manager's answer depends on more than its file.
func remember(site terraform.Site, f found, b terraform.Binary) error {
	if script, err := isScript(f.Path); err != nil || script {
		return err
	}
	list := []found{{Path: f.Path, Size: f.Size, Mtime: f.Mtime, Is: b}}
	for _, known := range readFound(site) {
		if known.Path != f.Path && len(list) < 8 {
			list = append(list, known)
		}
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(site.Root, 0o700); err != nil {
		return err
	}
	return replaceFile(site.FoundFile(), append(text, '\n'), 0o600)
}

func isScript(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	head := make([]byte, 2)
	n, err := file.Read(head)
	return string(head[:n]) == "#!", errors.Join(err, file.Close())
}
