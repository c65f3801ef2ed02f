package launch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// fetchTimeout bounds the fetching of a module with all that it calls.
const fetchTimeout = 5 * time.Minute

// fetchVariables are the parent's variables that reach modules beyond what every terraform gets: git's own, and the agent that has SSH keys.
var fetchVariables = []string{"GIT_", "SSH_AUTH_SOCK=", "NETRC=", "TF_TOKEN_"}

// ResolveInput is a foreign module to fetch.
type ResolveInput struct {
	Site   terraform.Site
	Binary terraform.Binary
	Source stacks.ModuleSource
	// Files are those of a local module, as its client packed them; Dir is where the module lies among them.
	Files []stacks.File
	Dir   string
	// Scratch is an empty directory of the caller's.
	Scratch string
	Environ []string
}

// ErrModule means that a module cannot be fetched or is none; its text is for the person who named it.
var ErrModule = errors.New("the module cannot be used")

// Killed reports whether an error is that somebody killed terraform: that says nothing of what it was to do, and doing it again helps.
func Killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// Resolve fetches a module with all that it calls, finds out which providers it needs, and makes their template by one init.
func Resolve(ctx context.Context, in ResolveInput) (stacks.Package, error) {
	p := stacks.Package{ModuleSource: in.Source}
	entries, err := fetch(ctx, in)
	if err != nil {
		return p, err
	}
	var dirs []string
	for _, e := range entries {
		if e.Key == "" {
			continue
		}
		moved := e
		moved.Dir = path.Clean(filepath.ToSlash(e.Dir))
		if rest, ok := strings.CutPrefix(moved.Dir, terraform.DataDirName+"/modules/"); ok {
			moved.Dir = "modules/" + rest
		}
		dirs = append(dirs, moved.Dir)
		if e.Key == stacks.DatabaseCall {
			p.Dir, p.Resolved = moved.Dir, e.Version
			if p.Resolved == "" {
				p.Resolved = commit(ctx, filepath.Join(in.Scratch, terraform.DataDirName, "modules", stacks.DatabaseCall))
			}
			continue
		}
		p.Modules = append(p.Modules, moved)
	}
	if p.Dir == "" {
		return p, fmt.Errorf("terraform fetched no module: %w", ErrModule)
	}
	if p.Files, err = fetched(in.Scratch); err != nil {
		return p, err
	}
	needs, err := stacks.PackageNeeds(p.Files, dirs, in.Source.Requires)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrModule, err)
	}
	p.Providers, err = ResolveProviders(ctx, TemplateInput{
		Site: in.Site, Binary: in.Binary, Providers: needs, Install: in.Source.Install, Environ: in.Environ,
	})
	if err != nil {
		return p, fmt.Errorf("its providers: %w", err)
	}
	return stacks.NewPackage(p), nil
}

// fetch has terraform get the module into the scratch directory and returns what it wrote into modules.json.
func fetch(ctx context.Context, in ResolveInput) ([]stacks.ModuleEntry, error) {
	source := in.Source.Source
	if len(in.Files) > 0 {
		source = "./" + path.Join(stacks.ForeignDir, in.Dir)
		for _, f := range in.Files {
			to := filepath.Join(in.Scratch, filepath.FromSlash(stacks.ForeignDir), filepath.FromSlash(f.Path))
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				return nil, err
			}
			if err := os.WriteFile(to, f.Content, mode(f.Exec)); err != nil {
				return nil, err
			}
		}
	}
	call := map[string]any{"source": source}
	if in.Source.Version != "" {
		call["version"] = in.Source.Version
	}
	// In JSON a source is a text and nothing else.
	root, err := json.Marshal(map[string]any{"module": map[string]any{stacks.DatabaseCall: call}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(in.Scratch, "main.tf.json"), root, 0o600); err != nil {
		return nil, err
	}
	config := in.Source.Install.CLIConfig
	if config == "" {
		config = filepath.Join(in.Scratch, "terraformrc")
		if err := os.WriteFile(config, []byte("disable_checkpoint = true\n"), 0o600); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	extra := map[string]string{terraform.EnvCLIConfig: config, "GIT_TERMINAL_PROMPT": "0"}
	for _, kv := range in.Environ {
		name, value, _ := strings.Cut(kv, "=")
		if slices.ContainsFunc(fetchVariables, func(p string) bool { return strings.HasPrefix(kv, p) }) {
			extra[name] = value
		}
	}
	get := Call{Binary: in.Binary, Dir: in.Scratch, Env: terraform.Environment(in.Environ, nil, extra)}
	if _, err := get.run(ctx, "get", "-no-color"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	text, err := os.ReadFile(filepath.Join(in.Scratch, filepath.FromSlash(terraform.ModulesFile)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	var manifest struct{ Modules []stacks.ModuleEntry }
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, fmt.Errorf("modules.json: %w", err)
	}
	return manifest.Modules, nil
}

// commit is what is checked out in a directory, "" where it is no git repository.
func commit(ctx context.Context, dir string) string {
	if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
		return ""
	}
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// fetched reads the modules' files: those that terraform got and those that were there. A link within them is read as what it leads to.
func fetched(scratch string) ([]stacks.File, error) {
	var out []stacks.File
	for _, from := range []string{filepath.Join(scratch, terraform.DataDirName, "modules"), filepath.Join(scratch, "modules")} {
		resolved, err := filepath.EvalSymlinks(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(resolved, func(at string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(resolved, at)
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{".git", ".github", terraform.DataDirName}, d.Name()):
				return fs.SkipDir
			case d.IsDir(), rel == "modules.json":
				return nil
			case d.Type()&fs.ModeSymlink != 0:
				if at, err = filepath.EvalSymlinks(at); err != nil || !strings.HasPrefix(at, resolved+string(filepath.Separator)) {
					return fmt.Errorf("%w: %s is a link that leads out of it", ErrModule, rel)
				}
				if info, err := os.Stat(at); err != nil || info.IsDir() {
					return err // its files are read where they are; a module behind a link is not supported
				}
			case !d.Type().IsRegular():
				return fmt.Errorf("%w: %s is no file", ErrModule, rel)
			}
			info, err := os.Stat(at)
			if err != nil {
				return err
			}
			if info.Size() > stacks.MaxPackageBytes {
				return fmt.Errorf("%w: %s has %d bytes", ErrModule, rel, info.Size())
			}
			content, err := os.ReadFile(at)
			out = append(out, stacks.File{Path: "modules/" + filepath.ToSlash(rel), Content: content, Exec: info.Mode()&0o100 != 0})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if err := stacks.CheckFiles(out); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	return out, nil
}

func mode(exec bool) os.FileMode {
	if exec {
		return 0o700
	}
	return 0o600
}

// ResolveProviders finds the exact versions of providers, whose Version may be a constraint, and leaves their template ready.
func ResolveProviders(ctx context.Context, in TemplateInput) ([]stacks.ProviderRequirement, error) {
	wanted := external(in.Providers)
	if len(wanted) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(in.Site.Templates(), 0o700); err != nil {
		return nil, err
	}
	var exact []stacks.ProviderRequirement
	err := withLock(ctx, filepath.Join(in.Site.Templates(), ".lock"), func() error {
		if err := sweep(in.Site); err != nil {
			return err
		}
		dir, err := os.MkdirTemp(in.Site.Templates(), tempPrefix+"*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := fillTemplate(ctx, in, wanted, dir); err != nil {
			return err
		}
		if exact, err = lockedProviders(filepath.Join(dir, terraform.LockFileName), wanted); err != nil {
			return err
		}
		resolved := in
		resolved.Providers = exact
		t := Template{Hash: TemplateHash(resolved)}
		t.Dir = filepath.Join(in.Site.Templates(), t.Hash)
		if t.usable() {
			return nil
		}
		return errors.Join(os.RemoveAll(t.Dir), os.Rename(dir, t.Dir))
	})
	if err != nil {
		return nil, fmt.Errorf("template of providers: %w", err)
	}
	return exact, nil
}

// lockedProviders reads the exact versions from a lock file, under the sources that were asked for.
func lockedProviders(lockFile string, wanted []stacks.ProviderRequirement) ([]stacks.ProviderRequirement, error) {
	text, err := os.ReadFile(lockFile)
	if err != nil {
		return nil, err
	}
	file, diags := hclsyntax.ParseConfig(text, "lock file", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	versions := map[string]string{}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil, errors.New("lock file: cannot be read")
	}
	for _, b := range body.Blocks {
		if v := b.Body.Attributes["version"]; b.Type == "provider" && len(b.Labels) == 1 && v != nil {
			value, diags := v.Expr.Value(nil)
			if diags.HasErrors() {
				return nil, diags
			}
			versions[b.Labels[0]] = value.AsString()
		}
	}
	var out []stacks.ProviderRequirement
	for _, p := range wanted {
		full := slices.Sorted(maps.Keys(versions))
		i := slices.IndexFunc(full, func(f string) bool {
			return f == p.Source || strings.Count(p.Source, "/") == 1 && strings.HasSuffix(f, "/"+p.Source)
		})
		if i < 0 {
			return nil, fmt.Errorf("lock file: %s is not in it", p.Source)
		}
		out = append(out, stacks.ProviderRequirement{Source: p.Source, Version: versions[full[i]]})
	}
	slices.SortFunc(out, func(a, b stacks.ProviderRequirement) int { return cmp.Compare(a.Source, b.Source) })
	return out, nil
}
