package terraform

import (
	"testing"

	"meridian/stacks"
)

func TestModulesJSON(t *testing.T) {
	cases := map[string]struct {
		modules []stacks.ModuleEntry
		want    string
	}{
		"none": {nil, `{"Modules":[{"Key":"","Source":"","Dir":"."}]}`},
		"one": {[]stacks.ModuleEntry{{Key: "database", Source: "./modules/local-postgres", Dir: "modules/local-postgres"}},
			`{"Modules":[{"Key":"","Source":"","Dir":"."},{"Key":"database","Source":"./modules/local-postgres","Dir":"modules/local-postgres"}]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := string(ModulesJSON(c.modules)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLockFile(t *testing.T) {
	got := string(LockFile(map[stacks.ProviderRequirement][]string{
		{LocalName: "z", Source: "meridian.internal/meridian/z", Version: "2.0.0"}: {"h1:b", "h1:a"},
		{LocalName: "a", Source: "meridian.internal/meridian/a", Version: "1.0.0"}: {"h1:c"},
	}))
	want := `# Written by Meridian. Edits are lost.

provider "meridian.internal/meridian/a" {
  version     = "1.0.0"
  constraints = "1.0.0"
  hashes = [
    "h1:c",
  ]
}

provider "meridian.internal/meridian/z" {
  version     = "2.0.0"
  constraints = "2.0.0"
  hashes = [
    "h1:a",
    "h1:b",
  ]
}
`
	if got != want {
		t.Errorf("got %s", got)
	}
}

func TestSite(t *testing.T) {
	id := stacks.StackID{Namespace: "n", Name: "d", Incarnation: "i1", Region: "r"}
	site := Site{Root: "/data"}
	for got, want := range map[string]string{
		site.WorkDir(id):        "/data/work/n/d-i1/r",
		site.SpoolDir(id):       "/data/spool/n/d-i1/r",
		site.RunnerLock(id):     "/data/locks/n/d-i1/r.runner",
		site.StackLock(id):      "/data/locks/n/d-i1/r.stack",
		site.CheckDir("run1/r"): "/data/check/run1/r",
		site.Mirror():           "/data/plugins",
		site.Templates():        "/data/templates",
		site.LogDir():           "/data/logs",
		site.Bin():              "/data/bin",
		site.FoundFile():        "/data/terraform.json",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
