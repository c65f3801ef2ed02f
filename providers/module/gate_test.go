package module

import (
	"strings"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

// TestCommandGate asks gates that are commands: each is told the region's outputs, and what it says is kept short.
func TestCommandGate(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		want   providers.ReadyState
		says   string
	}{
		"ready":            {script: `[ "$MERIDIAN_REGION $MERIDIAN_OUTPUTS" = 'ankara {"host":"h"}' ]`, want: providers.StateReady},
		"not yet":          {script: "echo still copying; exit 3", want: providers.StatePending, says: "still copying"},
		"says a lot":       {script: "yes wait | head -c 5000000; exit 1", want: providers.StatePending, says: "wait wait"},
		"takes nothing on": {script: `[ -z "$SECRET_OF_THE_SERVER" ]`, want: providers.StateReady},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SECRET_OF_THE_SERVER", "x")
			in := providers.EndpointInput{Outputs: map[string]any{"host": "h"}, ModuleInput: providers.ModuleInput{Region: stacks.Region{Name: "ankara"}}}
			got, err := run(t.Context(), []string{"sh", "-c", test.script}, in)
			if err != nil || got.State != test.want || !strings.Contains(got.Message, test.says) || len(got.Message) > maxWords+3 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	if got, err := run(t.Context(), []string{"/nonexistent"}, providers.EndpointInput{}); err != nil || got.State != providers.StateFailed {
		t.Errorf("a command that is not there: %+v, %v", got, err)
	}
	h := head{left: 3}
	for range 2 {
		if n, err := h.Write([]byte("ab")); n != 2 || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
	}
	if h.text.String() != "aba" {
		t.Errorf("kept %q", h.text.String())
	}
}

// TestLocalSource refuses paths that lead out of what is packed: a server would look at its own files.
func TestLocalSource(t *testing.T) {
	for source, ok := range map[string]bool{
		"./db": true, "../db": true, "/srv/db": true, "./repo//modules/db": true,
		"./repo//../../etc": false, "./repo///etc": false, "./repo//modules/../../x": false, "./repo//": false,
	} {
		ds := New().ValidateRegion(t.Context(), stacks.Database{Spec: stacks.DatabaseSpec{Regions: []stacks.Region{{Name: "ankara"}}}},
			stacks.Region{Name: "ankara", Provider: Name, Settings: stacks.Settings{"source": source}})
		refused := false
		for _, d := range ds {
			refused = refused || d.Rule == "module.source"
		}
		if refused == ok {
			t.Errorf("%s: %+v", source, ds)
		}
	}
}
