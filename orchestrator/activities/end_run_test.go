package activities

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
)

// TestEndRun wants a run that could not go on to say why, and one that was ended from outside to say that.
func TestEndRun(t *testing.T) {
	tests := map[string]struct {
		line   string
		cancel bool
		phase  stacks.Phase
		says   string
	}{
		"ended from outside": {phase: stacks.PhaseFailed, says: "ended from outside"},
		"could not go on":    {line: "two regions are left", phase: stacks.PhaseFailed, says: "two regions are left"},
		"cancelled":          {line: "two regions are left", cancel: true, phase: stacks.PhaseCancelled, says: "cancelled"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.submit(orders("ankara"), stacks.RunApply)
			h.step("", stacks.PhasePlanning, "ankara")
			if tc.line != "" {
				h.log(t.Context(), h.run.ID, "", slog.LevelError, tc.line)
			}
			h.log(t.Context(), h.run.ID, "ankara", slog.LevelError, "of a region")
			if tc.cancel {
				h.cancel()
			}
			for range 2 { // repeated, it changes nothing
				h.over()
				if r := h.row(); r.Phase != tc.phase || !strings.Contains(r.Message, tc.says) {
					t.Errorf("the run is %s: %q", r.Phase, r.Message)
				}
			}
		})
	}
}

func TestPermanent(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"a store that is busy":          {errors.New("database is locked"), false},
		"a row that moved":              {catalog.ErrMoved, false},
		"a runner that still runs":      {journal.ErrRunning, false},
		"a gate that is closed":         {catalog.ErrRefused, true},
		"a state that holds resources":  {journal.ErrNotEmpty, true},
		"an artifact that is damaged":   {journal.ErrChecksum, true},
		"a server that is not ours":     {providers.ErrForeign, true},
		"a newer run":                   {providers.ErrSuperseded, true},
		"a side that does not answer":   {providers.ErrLeftBehind, false},
		"a database that is not ready":  {errPending, false},
		"a worker that stops":           {errDetached, false},
		"a capability that is not here": {errors.ErrUnsupported, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := permanent(fmt.Errorf("wrapped: %w", tc.err)); got != tc.want {
				t.Errorf("permanent: %v", got)
			}
		})
	}
}
