package orchestrator

import (
	"strings"
	"testing"

	"meridian/stacks"
)

func TestOutputRefused(t *testing.T) {
	of := offer{regions: []string{"main", "spare"}, outputs: []stacks.ModuleOutput{{Name: "births"}, {Name: "id"}, {Name: "token", Sensitive: true}}}
	for name, test := range map[string]struct {
		region, output string
		of             offer
		rule, next     string
	}{
		"there":                {region: "main", output: "births", of: of},
		"sensitive":            {region: "main", output: "token", of: of, rule: "output.sensitive", next: "{secret: NAME}"},
		"another name":         {region: "main", output: "birth", of: of, rule: "output.unknown", next: "it has births, id"},
		"no such region":       {region: "east", output: "births", of: of, rule: "output.unknown", next: "it has main, spare"},
		"nothing can be taken": {region: "main", output: "id", of: offer{regions: []string{"main"}}, rule: "output.unknown", next: "settings.outputs.export"},
	} {
		t.Run(name, func(t *testing.T) {
			d := outputRefused(stacks.OutputRef{Dependency: stacks.Dependency{Namespace: "default", Name: "net"}, Region: test.region, Output: test.output}, test.of)
			switch {
			case test.rule == "" && d != nil:
				t.Errorf("it is refused: %+v", d)
			case test.rule != "" && (d == nil || d.Rule != test.rule || !strings.Contains(d.Next, test.next) || d.Severity != stacks.SeverityError || d.Summary == ""):
				t.Errorf("it says %+v, want %s and %q", d, test.rule, test.next)
			}
		})
	}
}
