package stacks_test

import (
	"errors"
	"strings"
	"testing"

	"meridian/stacks"
)

func TestPrintDiagnostics(t *testing.T) {
	for name, c := range map[string]struct {
		d    stacks.Diagnostic
		want string
	}{
		"a spec's": {stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "unknown role \"replca\"", Next: "did you mean \"replica\"?", File: "orders.yaml",
			Line: 112, Column: 7, Length: 6, Snippet: "role: replca", Field: "spec.regions[1].role"},
			"error: unknown role \"replca\"\n   --> orders.yaml:112:7\n112 | role: replca\n    |       ^^^^^^\n    = next: did you mean \"replica\"?\n"},
		"terraform's": {stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "creating server", Detail: "it did not start:\n\nno space left", File: "modules/x/main.tf", Line: 3,
			Snippet: "resource \"a\" \"b\" {", Address: "module.database.a.b"},
			"error: creating server\n  --> modules/x/main.tf:3, module.database.a.b\n 3 | resource \"a\" \"b\" {\n   = it did not start:\n   = no space left\n"},
		"a field's":            {stacks.Diagnostic{Severity: stacks.SeverityWarning, Summary: "kept", Field: "spec.users"}, "warning: kept\n  --> spec.users\n"},
		"of nothing":           {stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "no"}, "error: no\n"},
		"longer than the line": {stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "x", File: "f", Line: 1, Column: 3, Length: 99, Snippet: "abcd"}, "error: x\n  --> f:1:3\n 1 | abcd\n   |   ^^\n"},
		"beyond the line":      {stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "x", File: "f", Line: 1, Column: 9, Length: 3, Snippet: "abcd"}, "error: x\n  --> f:1:9\n 1 | abcd\n   |         ^\n"},
		"steering the terminal": {stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "a\x1b[2Jb\u202ec", Detail: "d\re", Next: "f\x07", File: "g\n", Line: 1, Column: 2, Length: 1, Snippet: "\th\x1bi"},
			"error: a [2Jb c\n  --> g?:1:2\n 1 |  h i\n   |  ^\n   = d e\n   = next: f \n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := stacks.PrintDiagnostics(&b, []stacks.Diagnostic{c.d}, false); err != nil {
				t.Fatal(err)
			}
			if b.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), c.want)
			}
			var colored strings.Builder
			if err := stacks.PrintDiagnostics(&colored, []stacks.Diagnostic{c.d}, true); err != nil {
				t.Fatal(err)
			}
			if stripped := strip(colored.String()); stripped != c.want || !strings.Contains(colored.String(), "\x1b[1;3") {
				t.Errorf("colour changes more than colour: %q", colored.String())
			}
		})
	}
}

// strip removes our colours.
func strip(s string) string {
	for _, code := range []string{"\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"} {
		s = strings.ReplaceAll(s, code, "")
	}
	return s
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestPrintDiagnosticsReturnsTheWritersError(t *testing.T) {
	if err := stacks.PrintDiagnostics(full{}, []stacks.Diagnostic{{Summary: "x"}}, false); err == nil {
		t.Error("the writer's error is lost")
	}
}
