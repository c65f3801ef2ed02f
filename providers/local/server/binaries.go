package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"meridian/providers"
	"meridian/providers/local/machine"
	"meridian/stacks"
)

// EnvBinaries names directories with PostgreSQL's programs, separated by colons; they are looked at first.
const EnvBinaries = "MERIDIAN_POSTGRES_BIN"

// SystemCache is where the programs are unpacked for the whole machine; a user's own are under the user's cache directory.
const SystemCache = "/var/cache/meridian/postgres"

// Binaries is one PostgreSQL on this machine.
type Binaries struct {
	Dir     string // of postgres, initdb, pg_dump
	Version string // exact, like "15.18"
}

// Path returns the path of one of its programs.
func (b Binaries) Path(program string) string { return filepath.Join(b.Dir, program) }

// Find lists the PostgreSQLs of this machine, newest first, one per version: those that EnvBinaries names, the distribution's, those on PATH,
// and those that were unpacked into the cache.
func Find(ctx context.Context) ([]Binaries, error) {
	var found []Binaries
	seen := map[string]bool{}
	for _, dir := range candidateDirs(ctx) {
		version, err := versionOf(ctx, dir)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue // not complete, or it does not run here: the search goes on
		}
		if !seen[version] {
			seen[version] = true
			found = append(found, Binaries{Dir: dir, Version: version})
		}
	}
	slices.SortStableFunc(found, func(a, b Binaries) int { return CompareVersions(b.Version, a.Version) })
	return found, nil
}

// Resolve returns the newest of these that is what was asked for.
func Resolve(found []Binaries, asked string) (Binaries, error) {
	for _, b := range found {
		if Satisfies(b.Version, asked) {
			return b, nil
		}
	}
	have := make([]string, 0, len(found))
	for _, b := range found {
		have = append(have, b.Version)
	}
	if len(have) == 0 {
		return Binaries{}, fmt.Errorf("no PostgreSQL on this machine: install one, or name its bin directory in %s: %w", EnvBinaries, providers.ErrPermanent)
	}
	return Binaries{}, fmt.Errorf("postgres %s is not on this machine (it has %s): ask for one of these, or name a bin directory in %s: %w",
		asked, strings.Join(have, ", "), EnvBinaries, providers.ErrPermanent)
}

// CompareVersions orders exact versions by number: "15.9" is older than "15.18".
func CompareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(part(as, i), part(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}

func candidateDirs(ctx context.Context) []string {
	dirs := filepath.SplitList(os.Getenv(EnvBinaries))
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin"} {
		dirs = append(dirs, glob(pattern)...)
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil { // of the program itself, not of its directory
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	if p, err := exec.LookPath("pg_config"); err == nil {
		cmd := exec.CommandContext(ctx, p, "--bindir")
		cmd.Env = machine.Environment(filepath.Dir(p)) // a plugin's own holds a password
		if out, err := cmd.Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
		}
	}
	dirs = append(dirs, glob(SystemCache+"/*/bin")...)
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, glob(filepath.Join(cache, "meridian", "postgres", "*", "bin"))...)
	}
	out := dirs[:0]
	for _, d := range dirs {
		if real, err := filepath.EvalSymlinks(d); err == nil {
			d = real
		}
		if filepath.IsAbs(d) && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

func glob(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil // only a malformed pattern errs: a home directory with a bracket in its name is not searched
	}
	return found
}

type versionKey struct {
	path    string
	size    int64
	changed time.Time
}

var (
	versions     sync.Map // versionKey -> string: starting every postgres for its version on each look would cost 10 ms each
	versionWords = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+\.\d+)\b`)
)

// versionOf asks the programs in dir for their exact version. Betas and incomplete directories are errors.
func versionOf(ctx context.Context, dir string) (string, error) {
	for _, program := range []string{"initdb", "pg_controldata"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "postgres")
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("%s: %w", path, fs.ErrPermission)
	}
	key := versionKey{path: path, size: info.Size(), changed: info.ModTime()}
	if v, ok := versions.Load(key); ok {
		return v.(string), nil
	}
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = machine.Environment(dir)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	m := versionWords.FindSubmatch(out)
	if m == nil {
		return "", errors.New(path + ": no released version")
	}
	versions.Store(key, string(m[1]))
	return string(m[1]), nil
}

// PgDump returns the path of the newest pg_dump of a major version on this machine.
func PgDump(major int) (string, error) {
	found, err := Find(context.Background())
	if err != nil {
		return "", err
	}
	for _, b := range found {
		if stacks.Major(b.Version) == strconv.Itoa(major) {
			return b.Path("pg_dump"), nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL %d is installed on this machine, whose pg_dump copies the schema: install it: %w", major, providers.ErrPermanent)
}
