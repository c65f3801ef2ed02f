package launch

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

func TestLayMirror(t *testing.T) {
	site := newSite(t)
	source := filepath.Join(t.TempDir(), "terraform-provider-localdb")
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(source, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	plugins := make([]terraform.Plugin, 8)
	var group sync.WaitGroup
	for i := range plugins {
		group.Go(func() {
			var err error
			if plugins[i], err = LayMirror(site, source); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	one := plugins[0]
	for _, p := range plugins {
		if p != one {
			t.Errorf("at once: %+v and %+v", one, p)
		}
	}
	if !regexp.MustCompile(`^0\.1\.0-dev\.g[0-9a-f]{12}$`).MatchString(one.Version) || one.Source != terraform.LocalDBSource {
		t.Errorf("plugin is %+v", one)
	}
	want := filepath.Join(site.Mirror(), terraform.LocalDBSource, one.Version, platform(), "terraform-provider-localdb_v"+one.Version)
	if one.Path != want {
		t.Errorf("laid at %s, want %s", one.Path, want)
	}
	info, err := os.Stat(one.Path)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// The next build over the same file must not reach what is laid.
	put("two")
	two, err := LayMirror(site, source)
	if err != nil || two.Version == one.Version {
		t.Errorf("another content: %+v, %v", two, err)
	}
	for plugin, want := range map[string]string{one.Path: "one", two.Path: "two"} {
		if content, err := os.ReadFile(plugin); err != nil || string(content) != want {
			t.Errorf("%s holds %q, %v", plugin, content, err)
		}
	}
	var files []string
	err = filepath.WalkDir(site.Mirror(), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".lock" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) != 2 {
		t.Errorf("the mirror holds %v, %v", files, err)
	}
	if _, err := LayMirror(site, source+"-missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing plugin: %v", err)
	}
}

func TestExistingMirrors(t *testing.T) {
	home, data, shared := t.TempDir(), t.TempDir(), t.TempDir()
	touch := func(parts ...string) {
		t.Helper()
		path := filepath.Join(parts...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	here, host := platform(), "registry.example"
	touch(home, ".terraform.d/plugins", host, "acme/implied/1.0.0", here, "terraform-provider-implied_v1.0.0_x5")
	touch(data, "terraform/plugins", host, "acme/xdg/1.0.0", here, "terraform-provider-xdg_v1.0.0")
	touch(shared, "terraform/plugins", host, "acme/shared/1.0.0", here, "terraform-provider-shared_v1.0.0")
	touch(home, "some where/[mirror]", host, "acme/searched/2.0.0", here, "terraform-provider-searched_v2.0.0")
	touch(home, "some where/[mirror]", host, "acme/packed", "terraform-provider-packed_2.0.0_"+here+".zip")
	touch(home, "some where/[mirror]", host, "acme/elsewhere/2.0.0/plan9_mips", "terraform-provider-elsewhere_v2.0.0")
	touch(home, ".hidden", host, "acme/hidden/2.0.0", here, "terraform-provider-hidden_v2.0.0")
	touch(shared, "named", host, "acme/named/2.0.0", here, "terraform-provider-named_v2.0.0")
	touch(home, "a/b/c/d/e/f", host, "acme/deep/2.0.0", here, "terraform-provider-deep_v2.0.0")
	if err := os.MkdirAll(filepath.Join(home, host, "acme/empty/2.0.0", here), 0o700); err != nil {
		t.Fatal(err)
	}
	environ := []string{"HOME=/nonexistent", "HOME=" + home, "XDG_DATA_HOME=" + data, "XDG_DATA_DIRS=/nonexistent:" + shared,
		terraform.EnvPluginDir + "=/nonexistent:" + filepath.Join(shared, "named")}
	wanted := func(list ...string) []stacks.ProviderRequirement {
		var out []stacks.ProviderRequirement
		for _, s := range list {
			source, version, _ := strings.Cut(s, "@")
			out = append(out, stacks.ProviderRequirement{Source: source, Version: version})
		}
		return out
	}
	got := ExistingMirrors(environ, wanted("acme/implied@1.0.0", "acme/xdg@1.0.0", "acme/shared@1.0.0", "acme/searched@2.0.0", host+"/acme/packed@2.0.0",
		"acme/elsewhere@2.0.0", "acme/hidden@2.0.0", "acme/deep@2.0.0", "acme/empty@2.0.0", "acme/named@2.0.0"))
	want := map[string]string{
		"acme/implied":        filepath.Join(home, ".terraform.d/plugins"),
		"acme/xdg":            filepath.Join(data, "terraform/plugins"),
		"acme/shared":         filepath.Join(shared, "terraform/plugins"),
		"acme/searched":       filepath.Join(home, "some where/[mirror]"),
		"acme/named":          filepath.Join(shared, "named"),
		host + "/acme/packed": filepath.Join(home, "some where/[mirror]"),
	}
	if !maps.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if got := ExistingMirrors(environ, wanted("acme/implied@1.0.1", "other/implied@1.0.0", "registry.other/acme/packed@2.0.0")); len(got) != 0 {
		t.Errorf("another version, owner or host: found %v", got)
	}
}

// TestSearchIsBounded makes more directories than the search may look at.
func TestSearchIsBounded(t *testing.T) {
	root := t.TempDir()
	for i := range 30 {
		for j := range 30 {
			if err := os.MkdirAll(filepath.Join(root, string(rune('A'+i)), string(rune('A'+j)), "x", "y", "z"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	deepest, visits := 0, 0
	search([]string{root}, func(dir string) bool {
		visits++
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		deepest = max(deepest, len(slices.Collect(strings.SplitSeq(rel, "/"))))
		return true
	})
	if deepest != searchDepth || visits > searchEntries {
		t.Errorf("%d places, %d deep", visits, deepest)
	}
}
