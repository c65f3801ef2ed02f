package journal_test

import (
	"errors"
	"fmt"
	"testing"

	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
)

// applied keeps a state of each serial by a step of its own.
func (h *house) applied(id stacks.StackID, serials ...int64) {
	h.t.Helper()
	for _, n := range serials {
		step := h.step(id, fmt.Sprintf("r-%d", n), "apply.1", journal.StepApply)
		f := h.mustTake(id, step, fmt.Sprintf("a%d", n))
		h.must(h.Ship(h.t.Context(), id, f, step, journal.Batch{Events: events(1, 2), State: snapshot(n, fmt.Sprintf(`{"mode":"managed","n":%d}`, n))}))
		h.must(h.Finish(h.t.Context(), id, f, journal.Result{Step: step, Outcome: journal.OutcomeApplied}, nil))
	}
}

func (h *house) edit(in journal.EditInput) (s journal.State, err error) {
	err = h.st.Write(h.t.Context(), func(tx *store.Tx) error {
		s, err = h.EditState(h.t.Context(), tx, in)
		return err
	})
	return s, err
}

func TestStatesAreListedWithTheirRuns(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	h.applied(ankara, 2, 3)
	list, err := h.States(t.Context(), ankara)
	h.must(err)
	got := ""
	for _, s := range list {
		got += fmt.Sprintf("%s by %q; ", s.Version(), s.Run)
	}
	if want := `1.2.3 by "r-3"; 1.1.2 by "r-2"; 1.0.1 by ""; `; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	v, err := journal.ParseVersion("1.1.2")
	h.must(err)
	s, err := h.State(t.Context(), ankara, v)
	h.must(err)
	if s.Serial != 2 || string(s.Payload) != string(stateText(2, `{"mode":"managed","n":2}`)) {
		t.Fatalf("state %s", s.Payload)
	}
	if _, err := h.State(t.Context(), ankara, journal.Version{Epoch: 1, Fence: 9, Serial: 9}); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, err := h.States(t.Context(), istanbul); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a stack that is not there: %v", err)
	}
	for _, bad := range []string{"", "1", "1.2", "1.2.x", "1.2.3.4", "1.-2.3", "../1.2.3"} {
		if _, err := journal.ParseVersion(bad); err == nil {
			t.Errorf("version %q was taken", bad)
		}
	}
}

func TestAnEditIsTheNewestStateUnderAFenceOfItsOwn(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	h.applied(ankara, 2, 3)
	old, err := h.State(ctx, ankara, journal.Version{Epoch: 1, Fence: 1, Serial: 2})
	h.must(err)
	in := journal.EditInput{Stack: ankara, Expect: journal.Version{Epoch: 1, Fence: 2, Serial: 3}, Payload: old.Payload, Kind: journal.EditRestore, ID: "x"}
	s, err := h.edit(in)
	h.must(err)
	newest := h.latest(ankara)
	head := h.head(ankara)
	if newest.Version() != (journal.Version{Epoch: 1, Fence: 3, Serial: 4}) || newest.Edit() != journal.EditRestore || newest.Lineage != lineage ||
		head.Fence != s.Fence || head.Serial != 4 || head.Status != journal.HeadIdle {
		t.Fatalf("newest %s, head %+v", newest.Version(), head)
	}
	if _, err := h.edit(in); !errors.Is(err, journal.ErrStale) {
		t.Errorf("the same edit again: %v", err)
	}
	h.applied(ankara, 5)
	if got := h.latest(ankara); got.Serial != 5 || got.Edit() != "" {
		t.Errorf("after the edit: %s", got.Version())
	}
}

func TestAnEditIsRefused(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	h.applied(ankara, 2)
	base := journal.EditInput{Stack: ankara, Expect: journal.Version{Epoch: 1, Fence: 1, Serial: 2}, Payload: stateText(2, ""), Kind: journal.EditTerraform, ID: "x"}
	for name, c := range map[string]struct {
		change func(*journal.EditInput)
		want   error
	}{
		"no such stack":    {func(in *journal.EditInput) { in.Stack.Region = "izmir" }, journal.ErrNotFound},
		"another newest":   {func(in *journal.EditInput) { in.Expect.Serial = 1 }, journal.ErrStale},
		"another lineage":  {func(in *journal.EditInput) { in.Payload = []byte(`{"version":4,"serial":2,"lineage":"other"}`) }, nil},
		"no JSON":          {func(in *journal.EditInput) { in.Payload = []byte(`secret words`) }, nil},
		"no kind":          {func(in *journal.EditInput) { in.Kind = "" }, nil},
		"nobody's edit":    {func(in *journal.EditInput) { in.ID = "" }, nil},
		"a list, no state": {func(in *journal.EditInput) { in.Payload = []byte(`[]`) }, nil},
	} {
		in := base
		c.change(&in)
		if _, err := h.edit(in); err == nil || (c.want != nil && !errors.Is(err, c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := h.mustTake(ankara, h.step(ankara, "r-9", "plan.1", journal.StepPlan), "a9")
	if _, err := h.edit(base); !errors.Is(err, journal.ErrRunning) {
		t.Errorf("a head that runs: %v", err)
	}
	if h.head(ankara).Fence != f || h.latest(ankara).Serial != 2 {
		t.Errorf("a refused edit changed something: %+v", h.head(ankara))
	}
}

// A damaged newest state is what a restore is for.
func TestADamagedNewestStateCanBeReplaced(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	h.applied(ankara, 2, 3)
	h.must(h.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE states SET sealed = (SELECT sealed FROM states WHERE serial = 2) WHERE serial = 3")
		return err
	}))
	if _, err := h.LatestState(ctx, ankara); !errors.Is(err, journal.ErrChecksum) {
		t.Fatalf("a damaged state was read: %v", err)
	}
	old, err := h.State(ctx, ankara, journal.Version{Epoch: 1, Fence: 1, Serial: 2})
	h.must(err)
	_, err = h.edit(journal.EditInput{Stack: ankara, Expect: journal.Version{Epoch: 1, Fence: 2, Serial: 3}, Payload: old.Payload, Kind: journal.EditRestore, ID: "x"})
	h.must(err)
	if got := h.latest(ankara); got.Serial != 4 {
		t.Errorf("newest %s", got.Version())
	}
}
