package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

func TestDemoSpecIsTheExample(t *testing.T) {
	text, err := os.ReadFile("../../examples/orders.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != demoSpec {
		t.Error("cmd/meridian/demo.yaml is not examples/orders.yaml: copy it")
	}
}

func TestExitCode(t *testing.T) {
	problem := func(code string) error { return fmt.Errorf("apply: %w", &orchestrator.Problem{Code: code}) }
	tests := map[string]struct {
		err  error
		want int
	}{
		"nothing":       {nil, 0},
		"any":           {errors.New("x"), 1},
		"invalid spec":  {problem(orchestrator.CodeInvalidSpec), 4},
		"refused":       {problem(orchestrator.CodeRefused), 3},
		"conflict":      {problem(orchestrator.CodeConflict), 3},
		"stale plan":    {problem(orchestrator.CodeStalePlan), 3},
		"not found":     {problem(orchestrator.CodeNotFound), 6},
		"unauthorized":  {problem(orchestrator.CodeUnauthorized), 10},
		"internal":      {problem(orchestrator.CodeInternal), 1},
		"new code":      {problem("of a newer server"), 1},
		"unreachable":   {&api.UnreachableError{URL: "x", Err: errors.New("refused")}, 5},
		"interrupted":   {fmt.Errorf("read: %w", errInterrupted), 130},
		"its own":       {fmt.Errorf("x: %w", &exitError{Code: 7}), 7},
		"its own, none": {&exitError{Code: exitChanges}, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := exitCode(tc.err); got != tc.want {
				t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
			}
		})
	}
	for phase, want := range map[stacks.Phase]int{
		stacks.PhaseDone: 0, stacks.PhaseFailed: 1, stacks.PhaseCancelled: 8, stacks.PhaseSuperseded: 8,
	} {
		if got := phaseCode(phase); got != want {
			t.Errorf("%s: %d, want %d", phase, got, want)
		}
	}
}

// planned has one change of each kind, in an order that nobody should see.
func planned() orchestrator.RunView {
	return orchestrator.RunView{
		ID: "r-1", Namespace: "default", Name: "orders", PlanDigest: "d1", HasChanges: true,
		Changes: []stacks.Change{
			{Region: "ankara", Address: "output.host", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "value", Before: `"a"`, Unknown: true}}},
			{Region: "ankara", Address: "c.new", Type: "c", Action: stacks.ActionCreate, Attributes: []stacks.AttributeChange{
				{Path: "password", Sensitive: true, After: "never shown"}, {Path: "size", After: "7"}, {Path: "steer", After: "\x1b[31mred\n"},
			}},
			{Region: "ankara", Address: "u.changed", Type: "u", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "n", Before: "1", After: "2"}, {Path: "gone", Before: "3"}}},
			{Region: "ankara", Address: "r.swapped", Type: "r", Action: stacks.ActionReplace, Reason: "replace_because_cannot_update", Attributes: []stacks.AttributeChange{{Path: "dir", Before: "1", After: "2", Forces: true}}},
			{Region: "ankara", Address: "d.gone", Type: "d", Action: stacks.ActionDelete},
			{Region: "istanbul", Address: "d.data", Type: "d", Action: stacks.ActionDelete, DataBearing: true},
			{Region: "ankara", Address: "f.left", Type: "f", Action: stacks.ActionForget, DataBearing: true},
			{Region: "ankara", Address: "m.new", PreviousAddress: "m.old", Type: "m", Action: stacks.ActionNoop},
			{Region: "ankara", Address: "z.strange", Type: "z", Action: "of a newer server"},
		},
	}
}

func TestDiffText(t *testing.T) {
	text := diffText(planned(), style{})
	var heads []string
	for _, found := range regexp.MustCompile(`(?m)^ +\S+ [a-z ]+? ([a-z]\.[a-z]+) in`).FindAllStringSubmatch(text, -1) {
		heads = append(heads, found[1])
	}
	want := []string{"d.data", "d.gone", "f.left", "r.swapped", "u.changed", "c.new", "m.new", "z.strange"}
	if !slices.Equal(heads, want) {
		t.Errorf("order %v, want %v:\n%s", heads, want, text)
	}
	for _, s := range []string{
		"2 to destroy, 1 to forget, 1 to replace, 1 to update, 1 to create, 1 to move", "d.data in istanbul  LOSES DATA", "f.left in ankara  LOSES DATA",
		"(sensitive value)", "1 -> 2 # forces replacement", "gone  3 -> null", "(was m.old)", "outputs in ankara", `~ host = "a" -> (known after apply)`,
		"(replace because cannot update)", "plan digest d1",
	} {
		if !strings.Contains(text, s) {
			t.Errorf("%q is missing in:\n%s", s, text)
		}
	}
	for _, s := range []string{"never shown", "\x1b", "d.gone in ankara  LOSES"} {
		if strings.Contains(text, s) {
			t.Errorf("%q shows in:\n%s", s, text)
		}
	}
	if coloured := diffText(planned(), style{on: true}); !strings.Contains(coloured, "\x1b[1;31mLOSES DATA") {
		t.Error("what loses data is not red")
	}
}

// TestDiffTextOfTwoSteps shows what follows the lifting of a protection behind it, and counts it.
func TestDiffTextOfTwoSteps(t *testing.T) {
	text := diffText(orchestrator.RunView{HasChanges: true, PlanDigest: "d1", Changes: []stacks.Change{
		{Region: "ankara", Address: "d.data", Type: "d", Action: stacks.ActionDelete, DataBearing: true, Then: true},
		{Region: "ankara", Address: "output.host", Action: stacks.ActionDelete, Then: true},
		{Region: "ankara", Address: "d.data", Type: "d", Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: "protection", Before: "true", After: "false"}}},
	}}, style{})
	at := -1
	for _, s := range []string{"1 to destroy, 1 to update", "update d.data in ankara", "true -> false", "then, under the same yes", "destroy d.data in ankara  LOSES DATA", "plan digest d1"} {
		i := strings.Index(text, s)
		if i <= at {
			t.Fatalf("%q is missing, or not in its place, in:\n%s", s, text)
		}
		at = i
	}
	if strings.Contains(text, "host") {
		t.Errorf("an output of what is destroyed shows in:\n%s", text)
	}
}

func TestDiffTextWithoutChanges(t *testing.T) {
	v := orchestrator.RunView{Namespace: "default", Name: "orders"}
	if text := diffText(v, style{}); !strings.Contains(text, "no changes") {
		t.Error(text)
	}
	v.HasChanges = true
	if text := diffText(v, style{}); !strings.Contains(text, "outputs or its state change") {
		t.Error(text)
	}
}

func TestChangeLines(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	view := func(phase stacks.Phase, regions ...orchestrator.RunRegionView) orchestrator.RunView {
		return orchestrator.RunView{ID: "r-1", Name: "orders", Kind: stacks.RunApply, Phase: phase, CreatedAt: start, Regions: regions}
	}
	ankara := orchestrator.RunRegionView{Region: "ankara", Phase: stacks.RegionApplying, Resource: "server", Done: 1, Total: 3}
	moved := ankara
	moved.Done = 2
	linked := func(at time.Time) orchestrator.RunView {
		v := view(stacks.PhaseLinking)
		v.Links = []orchestrator.LinkView{{Name: "a-b", Phase: linkVerified, LagMS: 3.5, VerifiedAt: &at}}
		return v
	}
	tests := map[string]struct {
		prev *orchestrator.RunView
		now  orchestrator.RunView
		want []string
	}{
		"first":       {nil, view(stacks.PhasePending), []string{"   1.5s  orders  apply run r-1", "   1.5s  orders  pending"}},
		"nothing new": {new(view(stacks.PhaseApplying, ankara)), view(stacks.PhaseApplying, ankara), nil},
		"progress":    {new(view(stacks.PhaseApplying, ankara)), view(stacks.PhaseApplying, moved), []string{"   1.5s  orders  ankara  applying  server  2 of 3"}},
		"the end last": {new(view(stacks.PhaseApplying, ankara)), view(stacks.PhaseDone, orchestrator.RunRegionView{Region: "ankara", Phase: stacks.RegionReady}),
			[]string{"   1.5s  orders  ankara  ready", "   1.5s  orders  done"}},
		"a message": {new(view(stacks.PhaseApplying)), view(stacks.PhaseApplying, orchestrator.RunRegionView{Region: "ankara", Phase: stacks.RegionWaiting, Message: "not yet\n\x1b"}),
			[]string{"   1.5s  orders  ankara  waiting  not yet\\n\uFFFD"}},
		"a link of an earlier run":   {nil, linked(start.Add(-time.Hour)), []string{"   1.5s  orders  apply run r-1", "   1.5s  orders  linking"}},
		"a link that is verified":    {new(linked(start.Add(-time.Hour))), linked(start.Add(time.Second)), []string{"   1.5s  orders  a-b  verified by a row, lag 3.5 ms"}},
		"a link that stays as it is": {new(linked(start.Add(time.Second))), linked(start.Add(time.Second)), nil},
		"removal": {new(view(stacks.PhaseApplying)), view(stacks.PhaseApplying, orchestrator.RunRegionView{Region: "ankara", Phase: stacks.RegionApplying, Destroy: true}),
			[]string{"   1.5s  orders  ankara  removing"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := changeLines(tc.prev, tc.now, start.Add(1500*time.Millisecond)); !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestTreeFitsTheTerminal(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := orchestrator.RunView{
		ID: "r-1", Namespace: "default", Name: "orders", Kind: stacks.RunApply, Phase: stacks.PhaseApplying, CreatedAt: now, Message: strings.Repeat("é", 200),
		Regions: []orchestrator.RunRegionView{
			{Region: "ankara", Phase: stacks.RegionApplying, Resource: strings.Repeat("r", 100), StartedAt: now},
			{Region: "istanbul", Phase: stacks.RegionFailed, Message: "line one\nline two"},
		},
		Links: []orchestrator.LinkView{{Name: "ankara-istanbul", Phase: "pending"}},
	}
	for name, tr := range map[string]tree{"unicode and colours": {style: style{on: true}, unicode: true, width: 79}, "plain": {width: 40}} {
		t.Run(name, func(t *testing.T) {
			lines := tr.frame([]orchestrator.RunView{v, v}, now)
			if len(lines) != 10 {
				t.Errorf("%d lines, want 10", len(lines))
			}
			for _, l := range lines {
				if w := lipgloss.Width(l); w > tr.width || strings.Contains(l, "\n") {
					t.Errorf("a line of %d columns: %q", w, l)
				}
			}
		})
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "0.0s", 1234 * time.Millisecond: "1.2s", 75 * time.Second: "1m15s", 90 * time.Minute: "1h30m", 50 * time.Hour: "2d", -time.Second: "",
	} {
		if got := since(now.Add(-ago), now); got != want {
			t.Errorf("%s ago: %q, want %q", ago, got, want)
		}
	}
	if got := since(time.Time{}, now); got != "" {
		t.Errorf("never: %q", got)
	}
}

func TestPsqlEnvironment(t *testing.T) {
	v := orchestrator.ConnectView{Host: "127.0.7.1", Port: 5432, User: "u", Database: "d", Password: "p w"}
	got := psqlEnvironment([]string{"PATH=/bin", "PGHOST=elsewhere", "PGSERVICE=x", "PGPASSFILE=y", "PGHOSTADDR=1.2.3.4", "PGSSLMODE=require"}, v)
	want := []string{"PATH=/bin", "PGSSLMODE=require", "PGHOST=127.0.7.1", "PGPORT=5432", "PGUSER=u", "PGDATABASE=d", "PGPASSWORD=p w"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestConnectionURL(t *testing.T) {
	tests := map[string]struct{ url, password, want string }{
		"masked":           {"postgresql://u:****@h:1/d", "", "postgresql://u:****@h:1/d"},
		"without a mask":   {"postgresql://u@h:1/d?sslmode=require", "", "postgresql://u:****@h:1/d?sslmode=require"},
		"revealed":         {"postgresql://u:****@h:1/d", "a/b@c", "postgresql://u:a%2Fb%40c@h:1/d"},
		"of another shape": {"host=h user=u", "p", "host=h user=u"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := connectionURL(orchestrator.ConnectView{URL: tc.url, Password: tc.password}); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"/a/b-c.d": "/a/b-c.d", "/a b": "'/a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'"} {
		if got := quote(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{"1.11.4": true, "1.12.0-beta1": true, "2.0.0": true, "1.9.8": false, "1.10.5": false, "": false, "x.y.z": false} {
		if got := atLeast(version, 1, 11); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

func TestPsqlIsFoundBesideTheServer(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	path, err := findPsql(t.Context())
	if err != nil || filepath.Base(path) != "psql" {
		t.Errorf("psql beside the server's programs: %q, %v", path, err)
	}
}
