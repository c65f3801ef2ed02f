package launch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// Limits of the search for mirrors: it is a convenience and must not cost seconds.
const (
	searchDepth   = 4
	searchEntries = 20000
)

// exactVersion is a version, not a constraint.
var exactVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*(-[0-9A-Za-z.-]+)?$`)

// ExistingMirrors finds, for each provider, a directory on this machine that holds its version (any, where that is a constraint) as a filesystem mirror
// (HOST/NAMESPACE/TYPE/VERSION/OS_ARCH, or the packed form): what EnvPluginDir names, terraform's implied directories, then a bounded search.
// Providers that are nowhere are not in the answer, which is keyed by source. Nothing is read but names.
func ExistingMirrors(environ []string, providers []stacks.ProviderRequirement) map[string]string {
	found := map[string]string{}
	missing := append([]stacks.ProviderRequirement(nil), providers...)
	visit := func(dir string) bool {
		rest := missing[:0]
		for _, p := range missing {
			if holds(dir, p) {
				found[p.Source] = dir
			} else {
				rest = append(rest, p)
			}
		}
		missing = rest
		return len(missing) > 0
	}
	for _, dir := range append(filepath.SplitList(variable(environ, terraform.EnvPluginDir)), impliedMirrors(environ)...) {
		if len(missing) > 0 {
			visit(dir)
		}
	}
	if len(missing) > 0 {
		search(searchRoots(environ), visit)
	}
	return found
}

// impliedMirrors are the directories that terraform looks into by itself.
func impliedMirrors(environ []string) []string {
	home, data := variable(environ, "HOME"), variable(environ, "XDG_DATA_HOME")
	var dirs []string
	if home != "" {
		dirs = append(dirs, filepath.Join(home, ".terraform.d", "plugins"))
		if data == "" {
			data = filepath.Join(home, ".local", "share")
		}
	}
	if data != "" {
		dirs = append(dirs, filepath.Join(data, "terraform", "plugins"))
	}
	shared := variable(environ, "XDG_DATA_DIRS")
	if shared == "" {
		shared = "/usr/local/share:/usr/share"
	}
	for _, dir := range filepath.SplitList(shared) {
		dirs = append(dirs, filepath.Join(dir, "terraform", "plugins"))
	}
	return dirs
}

// searchRoots are where people unpack things.
func searchRoots(environ []string) []string {
	roots := []string{"/opt", "/srv", "/usr/local/share", "/usr/share/terraform", "/var/lib/terraform"}
	if home := variable(environ, "HOME"); home != "" && home != "/" {
		roots = append(roots, home)
	}
	return roots
}

func variable(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// search walks the roots breadth first, to a bounded depth and number of entries, until visit wants no more.
func search(roots []string, visit func(dir string) bool) {
	type place struct {
		dir   string
		depth int
	}
	var queue []place
	for _, r := range roots {
		queue = append(queue, place{dir: r})
	}
	for seen := 0; len(queue) > 0 && seen < searchEntries; queue = queue[1:] {
		at := queue[0]
		if !visit(at.dir) {
			return
		}
		if at.depth == searchDepth {
			continue
		}
		for _, entry := range listed(at.dir) {
			seen++
			if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && entry.Name() != "node_modules" {
				queue = append(queue, place{dir: filepath.Join(at.dir, entry.Name()), depth: at.depth + 1})
			}
		}
	}
}

// listed is what a directory holds; one that cannot be read holds nothing.
func listed(dir string) []fs.DirEntry {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	return entries
}

// holds reports whether dir is a mirror with exactly this version for this machine. A source without a host may lie under any host.
func holds(dir string, p stacks.ProviderRequirement) bool {
	pattern := p.Source
	if strings.Count(pattern, "/") == 1 {
		pattern = "*/" + pattern
	}
	name := p.Source[strings.LastIndexByte(p.Source, '/')+1:]
	base := filepath.Join(escapeGlob(dir), filepath.FromSlash(pattern))
	version := p.Version
	if !exactVersion.MatchString(version) {
		version = "*" // init finds out which of them fits
	}
	for _, form := range []string{
		filepath.Join(base, version, platform(), "terraform-provider-"+name+"_*"),
		filepath.Join(base, "terraform-provider-"+name+"_"+version+"_"+platform()+".zip"),
	} {
		if hits, err := filepath.Glob(form); err == nil && len(hits) > 0 {
			return true
		}
	}
	return false
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
