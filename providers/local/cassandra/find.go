package cassandra

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"meridian/providers"
)

// EnvHome names directories of Cassandras, separated by colons, each with its jars in it or in its lib; they are looked at first.
const EnvHome = "MERIDIAN_CASSANDRA_HOME"

// SystemCache is where the jars are put for the whole machine; a user's own are under the user's cache directory.
const SystemCache = "/var/cache/meridian/cassandra"

// Installation is one Cassandra on this machine, with a Java that it runs on.
type Installation struct {
	Dir     string
	Version string // exact, like "5.0.9"
	Java    string // the program
	jars    []string
}

var (
	// What a Cassandra of a distribution and one from Maven call the jar that holds it.
	mainJar     = regexp.MustCompile(`^(?:cassandra-all|apache-cassandra)-(\d+\.\d+\.\d+)\.jar$`)
	javaVersion = regexp.MustCompile(`(?m)^JAVA_VERSION="17[."]`)
)

// ErrMissing means that this machine has no Cassandra, or no Java for it. The message says which, and what gets it.
var ErrMissing = errors.New("missing")

// Find lists the Cassandras of this machine, newest first, one per version: those that EnvHome names, those of distributions, and
// those in the cache. Where there is none, or no Java 17, it is ErrMissing and ErrPermanent.
func Find() ([]Installation, error) {
	java, err := findJava()
	if err != nil {
		return nil, err
	}
	var found []Installation
	for _, dir := range candidates() {
		if in, ok := installation(dir); ok && !slices.ContainsFunc(found, func(o Installation) bool { return o.Version == in.Version }) {
			in.Java = java
			found = append(found, in)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no Cassandra on this machine: .ci/cassandra.sh gets one, or name a directory with its jars in %s: %w", EnvHome, errors.Join(ErrMissing, providers.ErrPermanent))
	}
	slices.SortStableFunc(found, func(a, b Installation) int { return slices.Compare(numbers(b.Version), numbers(a.Version)) })
	return found, nil
}

// Resolve returns the newest of these that is what was asked for.
func Resolve(found []Installation, asked string) (Installation, error) {
	have := make([]string, 0, len(found))
	for _, in := range found {
		if Satisfies(in.Version, asked) {
			return in, nil
		}
		have = append(have, in.Version)
	}
	return Installation{}, fmt.Errorf("cassandra %s is not on this machine (it has %s): ask for one of these, or name a directory in %s: %w",
		asked, strings.Join(have, ", "), EnvHome, providers.ErrPermanent)
}

func numbers(version string) []int {
	var out []int
	for _, part := range strings.Split(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return out
		}
		out = append(out, n)
	}
	return out
}

func candidates() []string {
	dirs := filepath.SplitList(os.Getenv(EnvHome))
	dirs = append(dirs, "/usr/share/cassandra")
	caches := []string{SystemCache}
	if cache, err := os.UserCacheDir(); err == nil {
		caches = append(caches, filepath.Join(cache, "meridian", "cassandra"))
	}
	for _, cache := range caches {
		entries, err := os.ReadDir(cache)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") { // one that is still being made
				dirs = append(dirs, filepath.Join(cache, e.Name()))
			}
		}
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !filepath.IsAbs(dir) || strings.Contains(dir, ":") })
}

// installation reads what a directory holds.
func installation(dir string) (Installation, bool) {
	in := Installation{Dir: dir}
	for _, at := range []string{dir, filepath.Join(dir, "lib")} {
		entries, err := os.ReadDir(at)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".jar") {
				continue
			}
			in.jars = append(in.jars, filepath.Join(at, e.Name()))
			if m := mainJar.FindStringSubmatch(e.Name()); m != nil {
				in.Version = m[1]
			}
		}
	}
	return in, in.Version != ""
}

// findJava returns the java program of a Java 17: that of JAVA_HOME, that on PATH, else one of /usr/lib/jvm.
func findJava() (string, error) {
	homes := []string{os.Getenv("JAVA_HOME")}
	if p, err := exec.LookPath("java"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(real)))
		}
	}
	if entries, err := os.ReadDir("/usr/lib/jvm"); err == nil {
		for _, e := range entries {
			homes = append(homes, filepath.Join("/usr/lib/jvm", e.Name()))
		}
	}
	for _, home := range homes {
		program := filepath.Join(home, "bin", "java")
		release, err := os.ReadFile(filepath.Join(home, "release"))
		if home == "" || err != nil || !javaVersion.Match(release) {
			continue
		}
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() {
			return program, nil
		}
	}
	return "", fmt.Errorf("no Java 17 on this machine, which Cassandra runs on: .ci/cassandra.sh gets one, or name its directory in JAVA_HOME: %w", errors.Join(ErrMissing, providers.ErrPermanent))
}
