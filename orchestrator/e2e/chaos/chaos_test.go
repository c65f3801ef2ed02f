package chaos

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOracleIsIndependent holds the suite to the standard library and the driver of PostgreSQL: what is wrong in Meridian may not be wrong
// here in the same way.
func TestOracleIsIndependent(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			first, _, _ := strings.Cut(path, "/")
			if (strings.Contains(first, ".") || first == "meridian") && path != "github.com/jackc/pgx/v5" {
				t.Errorf("%s imports %s", file, path)
			}
		}
	}
}

// TestShortForm is the suite with few kills: nothing may be found.
func TestShortForm(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	o := options(t)
	o.Seed, o.Kills, o.Databases, o.Foreign, o.Directories = 1, 65, 3, 1, 9
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(result)
	if !result.Zero() {
		t.Errorf("found something: %s", result)
	}
	if result.Kills < 60 || result.InCreate*2 < result.Kills {
		t.Errorf("%d kills, %d of them in a create: want 60, and half of them there", result.Kills, result.InCreate)
	}
}

// options are those of a run of the suite in new directories, with programs built for it.
func options(t *testing.T, more ...string) Options {
	t.Helper()
	root, err := os.MkdirTemp("", "m-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Bin: filepath.Join(root, "bin"), Data: filepath.Join(root, "data"), Aside: filepath.Join(root, "aside"),
		Workers: 1, Delay: 1200 * time.Millisecond, Patience: 8 * time.Minute, Timing: Scaled(), Log: t.Output(),
	}
	for _, dir := range []string{root, o.Bin, o.Data, o.Aside} {
		if err := passable(dir); err != nil { // PostgreSQL's user passes through
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		Clear(o.Data)
		if t.Failed() {
			t.Logf("kept for a look: %s", root)
			return
		}
		_ = os.RemoveAll(root)
	})
	args := append([]string{"build", "-o", o.Bin + "/", "meridian/cmd/meridian", "meridian/cmd/meridian-runner", "meridian/cmd/terraform-provider-localdb"}, more...)
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("building the binaries: %v\n%s", err, out)
	}
	return o
}
