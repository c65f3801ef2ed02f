package launch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestPrivatePlugin: only the very package that the template's lock file names is started by us, also after it was verified once.
func TestPrivatePlugin(t *testing.T) {
	site := newSite(t)
	binary := realBinary(t, site)
	provider := lay(t, site)
	tmpl, err := EnsureTemplate(t.Context(), TemplateInput{Site: site, Binary: binary, Providers: []stacks.ProviderRequirement{provider}, Environ: environ(t)})
	if err != nil {
		t.Fatal(err)
	}
	another := stacks.ProviderRequirement{Source: "registry.example/x/aws", Version: "1.0.0"}
	if plugin, err := PrivatePlugin(tmpl, stacks.Stack{Providers: []stacks.ProviderRequirement{another}}); plugin != (Plugin{}) || err != nil {
		t.Errorf("a provider that may be configured several times: %+v, %v", plugin, err)
	}
	if plugin, err := PrivatePlugin(tmpl, stacks.Stack{Providers: []stacks.ProviderRequirement{another}, Once: another.Source}); err == nil {
		t.Errorf("a provider that the template does not have: %+v", plugin)
	}
	stack := stacks.Stack{Providers: []stacks.ProviderRequirement{another, provider}}
	plugin, err := PrivatePlugin(tmpl, stack)
	if err != nil || plugin.Source != provider.Source {
		t.Fatalf("%+v, %v", plugin, err)
	}
	file := plugin.File
	short := provider
	_, short.Source, _ = strings.Cut(provider.Source, "/")
	if got, err := PrivatePlugin(tmpl, stacks.Stack{Providers: []stacks.ProviderRequirement{short}, Once: short.Source}); err != nil || got != plugin {
		t.Errorf("a source without its host: %+v, %v, want %+v", got, err, plugin)
	}
	dir := filepath.Join(site.Mirror(), filepath.FromSlash(provider.Source), provider.Version, platform())
	if filepath.Dir(file) != dir {
		t.Fatalf("the plugin is %s, want a file in %s", file, dir)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lock := filepath.Join(tmpl.Dir, terraform.LockFileName)
	locked, err := os.ReadFile(lock)
	must(err)
	other := filepath.Join(dir, "more")
	for _, c := range []struct {
		name         string
		spoil, mend  func()
		forgetBefore bool
	}{
		{name: "another content of the same size and time", spoil: func() {
			must(os.WriteFile(file, append(content[:len(content)-1:len(content)-1], content[len(content)-1]+1), 0o755))
			must(os.Chtimes(file, info.ModTime(), info.ModTime()))
		}, mend: func() { must(os.WriteFile(file, content, 0o755)) }},
		{name: "a file more", spoil: func() { must(os.WriteFile(other, nil, 0o600)) }, mend: func() { must(os.Remove(other)) }},
		{name: "a lock file that names another hash", forgetBefore: true, spoil: func() {
			must(os.WriteFile(lock, []byte(strings.ReplaceAll(string(locked), "h1:", "h1:x")), 0o600))
		}, mend: func() { must(os.WriteFile(lock, locked, 0o600)) }},
		{name: "no lock file", forgetBefore: true, spoil: func() { must(os.Remove(lock)) }, mend: func() { must(os.WriteFile(lock, locked, 0o600)) }},
	} {
		c.spoil()
		if c.forgetBefore {
			must(os.Remove(filepath.Join(tmpl.Dir, verifiedFile)))
		}
		if got, err := PrivatePlugin(tmpl, stack); err == nil {
			t.Errorf("%s: %+v is taken", c.name, got)
		}
		c.mend()
		if got, err := PrivatePlugin(tmpl, stack); err != nil || got != plugin {
			t.Errorf("after %s was mended: %+v, %v", c.name, got, err)
		}
	}
}

func TestLocked(t *testing.T) {
	const lock = `# This file is maintained automatically.

provider "a/b/c" {
  version = "1"
  hashes = [
    "h1:abc=",
    "zh:1",
  ]
}

provider "a/b/d" {
  hashes = ["h1:other="]
}
`
	for name, c := range map[string]struct {
		lock, source, hash string
		want               bool
	}{
		"there":               {lock, "a/b/c", "h1:abc=", true},
		"of another provider": {lock, "a/b/c", "h1:other=", false},
		"the last":            {lock, "a/b/d", "h1:other=", true},
		"no such provider":    {lock, "a/b/e", "h1:abc=", false},
		"part of a hash":      {lock, "a/b/c", "h1:ab", false},
		"cut":                 {lock[:len(lock)-4], "a/b/d", "h1:other=", false},
		"empty":               {"", "a/b/c", "h1:abc=", false},
	} {
		if got := locked(c.lock, c.source, c.hash); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
