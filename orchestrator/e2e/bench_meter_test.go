package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pg "meridian/providers/local/server"
	"meridian/stacks/terraform"
)

// meter stands between everything that a benchmark measures and terraform, and between the plugin and PostgreSQL's programs: it counts
// the launches of the one and the CPU time of the others. Both sides of a comparison go through it.
type meter struct {
	t testing.TB
	// terraform and postgres are directories with the meter under the programs' names.
	terraform, postgres string
}

// launched is one line of a meter's ledger.
type launched struct {
	Program string        `json:"program"`
	Args    []string      `json:"args"`
	Dir     string        `json:"dir"`
	At      time.Time     `json:"at"`
	CPU     time.Duration `json:"cpu"`
}

// verb is terraform's, like "plan".
func (l launched) verb() string {
	if len(l.Args) == 0 {
		return ""
	}
	return l.Args[0]
}

// newMeter builds the meter and puts it before the terraform and the PostgreSQL of this machine.
func newMeter(t testing.TB) *meter {
	t.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("no terraform on PATH to measure")
	}
	found, err := pg.Find(t.Context())
	if err != nil || len(found) == 0 {
		t.Skip("no PostgreSQL on this machine to measure with: ", err)
	}
	m := &meter{t: t}
	m.terraform = layMeter(t, filepath.Dir(realPath(t, path)), "terraform")
	m.postgres = layMeter(t, found[0].Dir, "initdb", "postgres")
	entries, err := os.ReadDir(found[0].Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries { // the other programs of PostgreSQL, as they are
		link := filepath.Join(m.postgres, e.Name())
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join(found[0].Dir, e.Name()), link); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// layMeter makes a directory with the meter under these names, before the programs in the directory behind.
func layMeter(t testing.TB, behind string, names ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "m-meter-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	buildMeter(t, filepath.Join(dir, names[0]))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names[1:] {
		must(os.Link(filepath.Join(dir, names[0]), filepath.Join(dir, name)))
	}
	must(os.Symlink(behind, filepath.Join(dir, "real")))
	ledger := filepath.Join(dir, "ledger")
	must(os.WriteFile(ledger, nil, 0o666))
	must(os.Chmod(ledger, 0o666)) // PostgreSQL's programs run as another user
	must(os.Chmod(dir, 0o755))
	return dir
}

// buildMeter builds the meter; without a link `real` beside it, it burns CPU time.
func buildMeter(t testing.TB, path string) {
	t.Helper()
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/meter").CombinedOutput(); err != nil {
		t.Fatalf("building the meter: %v\n%s", err, out)
	}
}

func realPath(t testing.TB, path string) string {
	t.Helper()
	out, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// environ is what makes Meridian, terraform and the plugin go through the meter.
func (m *meter) environ() []string {
	return []string{
		terraform.EnvTerraform + "=" + filepath.Join(m.terraform, "terraform"),
		pg.EnvBinaries + "=" + m.postgres,
	}
}

// launches lists the launches of terraform so far.
func (m *meter) launches() []launched { return readLedger(m.t, m.terraform) }

// cpu is the CPU time that PostgreSQL's programs have taken so far, without the servers themselves.
func (m *meter) cpu() time.Duration {
	var sum time.Duration
	for _, l := range readLedger(m.t, m.postgres) {
		sum += l.CPU
	}
	return sum
}

func readLedger(t testing.TB, dir string) []launched {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	var out []launched
	for line := range bytes.Lines(text) {
		var l launched
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(string(line)), err)
		}
		out = append(out, l)
	}
	return out
}
