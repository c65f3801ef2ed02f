package module

import (
	"slices"
	"testing"

	"meridian/stacks"
)

// TestLimits holds specs against what a server allows: the module, and whatever else of a spec could start a program.
func TestLimits(t *testing.T) {
	all := Limits{Allow: []string{"git::https://git.example.com/infra/*", "example/db/aws"}, Providers: []string{"hashicorp/aws", "mine.example.com/*"}}
	const good = "example/db/aws"
	for name, test := range map[string]struct {
		limits   Limits
		settings stacks.Settings
		want     []string // fields below the settings that are refused
	}{
		"its whole address":         {all, stacks.Settings{"source": good}, nil},
		"what begins so":            {all, stacks.Settings{"source": "git::https://git.example.com/infra/db.git//pg?ref=v1"}, nil},
		"what only begins so":       {all, stacks.Settings{"source": "git::https://git.example.com/infra/../evil.git"}, []string{"source"}},
		"the same, encoded":         {all, stacks.Settings{"source": "git::https://git.example.com/infra/%2e%2e/evil.git"}, []string{"source"}},
		"another host":              {all, stacks.Settings{"source": "git::https://git.example.com.evil.example/infra/x"}, []string{"source"}},
		"more than the address":     {all, stacks.Settings{"source": good + "-evil"}, []string{"source"}},
		"a path":                    {all, stacks.Settings{"source": "./module"}, []string{"source"}},
		"a path, allowed":           {Limits{Allow: []string{Local}}, stacks.Settings{"source": "./module"}, nil},
		"local allows nothing else": {Limits{Allow: []string{Local}}, stacks.Settings{"source": good}, []string{"source"}},
		"none at all":               {Limits{Allow: []string{}}, stacks.Settings{"source": good}, []string{"source"}},
		"plugins": {all, stacks.Settings{"source": good, "requiredProviders": map[string]any{
			"aws": map[string]any{}, "mine": map[string]any{"source": "mine.example.com/a/b"}, "evil": map[string]any{"source": "evil/evil"},
		}}, []string{"requiredProviders.evil"}},
		"an installation": {all, stacks.Settings{"source": good, "cliConfig": "/a", "mirror": "/b"}, []string{"cliConfig", "mirror"}},
		"a command":       {all, stacks.Settings{"source": good, "ready": map[string]any{"gate": "command", "command": []any{"true"}}}, []string{"ready.gate"}},
		"another gate":    {all, stacks.Settings{"source": good, "ready": map[string]any{"gate": "http", "url": "http://h/"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			region := stacks.Region{Name: "ankara", Provider: Name, Settings: test.settings}
			db := stacks.Database{Spec: stacks.DatabaseSpec{Regions: []stacks.Region{region}}}
			var got []string
			for _, d := range Restricted(test.limits).ValidateRegion(t.Context(), db, region) {
				if d.Rule != "module.allowed" || d.Severity != stacks.SeverityError || d.Next == "" {
					t.Errorf("it says %+v", d)
				}
				got = append(got, d.Field[len("spec.regions[0].settings."):])
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("refused are %q, want %q", got, test.want)
			}
			if ds := New().ValidateRegion(t.Context(), db, region); len(ds) > 0 {
				t.Errorf("without limits it is refused: %+v", ds)
			}
		})
	}
	for pattern, ok := range map[string]bool{"a/b/c": true, "git::https://h/*": true, "*": true, Local: true, "": false, "a b": false, "*/x": false, "a\n": false} {
		if got := (&Limits{Allow: []string{pattern}}).Check() == ""; got != ok {
			t.Errorf("%q: %t", pattern, got)
		}
	}
}
