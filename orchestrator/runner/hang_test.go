package runner

import (
	"testing"

	"meridian/persistence/journal"
)

func TestMoves(t *testing.T) {
	lines := func(list ...string) (out []journal.Event) {
		for _, l := range list {
			out = append(out, journal.Event{Payload: []byte(l)})
		}
		return out
	}
	still := `{"@message":"x: Still creating... [10s elapsed]","type":"apply_progress"}`
	for name, c := range map[string]struct {
		lines []journal.Event
		want  bool
	}{
		"nothing": {nil, false}, "time passes": {lines(still, still), false}, "an object is done": {lines(still, `{"type":"apply_complete"}`), true},
		"words of a plugin": {lines("a crash"), true},
	} {
		if got := moves(c.lines); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
