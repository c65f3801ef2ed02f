package journal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"meridian/persistence/journal"
	"meridian/persistence/store"
)

// exec damages rows behind the journal's back.
func (h *house) exec(query string, args ...any) {
	h.t.Helper()
	h.must(h.st.Write(h.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	for name, c := range map[string]struct{ damage, want string }{
		"nothing":           {"", ""},
		"a state's bytes":   {"UPDATE states SET sealed = (SELECT sealed FROM states WHERE serial = 1) WHERE serial = 2", "row default/orders/abcdefgh/ankara/1/1/2 of states"},
		"a state's sum":     {"UPDATE states SET sha256 = 'x' WHERE serial = 2", "checksum"},
		"a state's lineage": {"UPDATE states SET lineage = 'x' WHERE serial = 2", "lineage"},
		"its head's":        {"UPDATE heads SET lineage = 'x'", "its stack's"},
		"a result":          {"UPDATE results SET sealed = substr(sealed, 1, 40)", "of results"},
		"events":            {"UPDATE events SET sealed = substr(sealed, 1, 5)", "of events"},
		"a step's files":    {"UPDATE steps SET sealed = (SELECT sealed FROM results)", "of steps"},
		"a plan":            {"UPDATE artifacts SET digest = 'x'", "of artifacts"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.fill(func(s string) string { return "word of a " + s })
			if c.damage != "" {
				h.exec(c.damage)
			}
			found, err := h.Verify(t.Context())
			h.must(err)
			var lines []string
			for _, d := range found {
				lines = append(lines, d.String())
			}
			if text := strings.Join(lines, "\n"); (c.want == "" && text != "") || !strings.Contains(text, c.want) {
				t.Errorf("found %q, want %q", text, c.want)
			}
		})
	}
}

func TestLooseRowsAreNamed(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	h.applied(ankara, 2)
	lines, err := h.LooseRows(t.Context())
	h.must(err)
	if len(lines) != 0 {
		t.Fatalf("loose in a sound journal: %q", lines)
	}
	h.exec("UPDATE heads SET serial = 7")
	h.exec("UPDATE events SET step = 'nobody'")
	h.step(ankara, "r-9", "apply.1", journal.StepApply) // its plan is not there
	lines, err = h.LooseRows(t.Context())
	h.must(err)
	want := []string{
		"events of step nobody have no step", "the plan of step r-9/ankara/apply.1, which has no result, is not there",
		fmt.Sprintf("the newest state of %s is not the one that its head names", ankara),
	}
	if !slices.Equal(lines, want) {
		t.Errorf("loose %q, want %q", lines, want)
	}
}

func TestRefenceLeavesNoFenceOfBefore(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	f := h.mustTake(ankara, step, "a1")
	h.must(h.Ship(ctx, ankara, f, step, journal.Batch{State: snapshot(5, "")}))
	var epoch int64
	h.must(h.st.Write(ctx, func(tx *store.Tx) (err error) {
		epoch, err = h.Refence(tx, 0)
		return err
	}))
	if err := h.Ship(ctx, ankara, f, step, journal.Batch{State: snapshot(6, "")}); err == nil {
		t.Error("an attempt from before the restore wrote")
	}
	head := h.head(ankara)
	if epoch != 2 || head.Fence.Epoch != 2 || head.Status != journal.HeadIdle || head.Fence.Number <= f.Number {
		t.Errorf("epoch %d, head %+v", epoch, head)
	}
	h.applied(ankara, 9) // life goes on
	if got := h.latest(ankara); got.Fence.Epoch != 2 || got.Serial != 9 {
		t.Errorf("newest %s", got.Version())
	}
}
