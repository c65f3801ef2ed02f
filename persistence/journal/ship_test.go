package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
)

func TestShipTakesWhatIsNewOnce(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	f := h.mustTake(ankara, step, "a1")
	ship := func(b journal.Batch) {
		t.Helper()
		h.must(h.Ship(ctx, ankara, f, step, b))
	}
	ship(journal.Batch{Events: events(1, 3)})
	ship(journal.Batch{Events: events(1, 3)}) // the reply was lost
	ship(journal.Batch{Events: events(2, 6), State: snapshot(4, `{"mode":"managed","n":4}`)})
	ship(journal.Batch{State: snapshot(4, `{"mode":"managed","n":5}`)}) // not newer
	ship(journal.Batch{State: snapshot(3, "")})
	ship(journal.Batch{})
	same, err := h.Adopted(ctx, ankara, f, 43, "boot2")
	h.must(err)
	if same != f {
		t.Fatalf("the adopter's fence is %+v, want %+v", same, f)
	}
	if head := h.head(ankara); head.Shipped != 6 || head.Serial != 4 || head.RunnerPID != 43 || head.BootID != "boot2" {
		t.Fatalf("head %+v", head)
	}
	ship(journal.Batch{Events: events(1, 8)}) // an adopter reads the output from its start
	if got := seqs(h.allEvents(step)); !slices.Equal(got, upTo(8)) {
		t.Fatalf("events %v", got)
	}
	if s := h.latest(ankara); s.Serial != 4 || !strings.Contains(string(s.Payload), `"n":4`) || s.Fence != f {
		t.Fatalf("state %+v", s)
	}
	for name, s := range map[string]*journal.State{
		"another serial inside":   {Serial: 9, Lineage: lineage, Payload: stateText(8, "")},
		"a torn file":             {Serial: 9, Lineage: lineage, Payload: stateText(9, "")[:20]},
		"an empty file":           {Serial: 9, Lineage: lineage},
		"a wrong checksum":        {Serial: 9, Lineage: lineage, Payload: stateText(9, ""), SHA256: digest(nil)},
		"another stack's lineage": {Serial: 9, Lineage: "other", Payload: []byte(`{"serial":9,"lineage":"other"}`)},
	} {
		if err := h.Ship(ctx, ankara, f, step, journal.Batch{State: s}); err == nil {
			t.Errorf("%s was kept", name)
		}
	}
	if err := h.Ship(ctx, ankara, f, "another step", journal.Batch{Events: events(9, 9)}); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("shipped for another step: %v", err)
	}
	if s := h.latest(ankara); s.Serial != 4 {
		t.Fatalf("state %+v", s)
	}
}

func TestEventsInPages(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	f := h.mustTake(ankara, step, "a1")
	for first := int64(1); first <= 91; first += 10 {
		h.must(h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(first, first+9)}))
	}
	for _, limit := range []int{1, 3, 10, 15, 1000} {
		var got []int64
		after := int64(0)
		for {
			page, err := h.Events(ctx, step, after, limit)
			h.must(err)
			if len(page) > limit {
				t.Fatalf("page of %d, limit %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, seqs(page)...)
			after = page[len(page)-1].Seq
		}
		if !slices.Equal(got, upTo(100)) {
			t.Errorf("limit %d: %v", limit, got)
		}
	}
	page, err := h.Events(ctx, step, 57, 2)
	h.must(err)
	if len(page) != 2 || page[0].Seq != 58 || string(page[0].Payload) != `{"line":58}` || page[0].Step != step || page[0].Stack != ankara || !page[0].At.Equal(time.UnixMicro(1e15+58)) {
		t.Fatalf("page %+v", page)
	}
}

func TestStatesAreOrderedByFenceAndPruned(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	for n, serials := range [][]int64{{2, 3, 4}, {5, 6}} {
		step := h.step(ankara, "r-1", fmt.Sprintf("apply.%d", n), journal.StepApply)
		f := h.mustTake(ankara, step, fmt.Sprintf("a%d", n))
		for _, s := range serials {
			h.must(h.Ship(ctx, ankara, f, step, journal.Batch{State: snapshot(s, "")}))
		}
		h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step, Outcome: journal.OutcomeApplied}, nil))
		if got := h.latest(ankara); got.Serial != serials[len(serials)-1] || got.Fence != f {
			t.Fatalf("state %+v", got)
		}
	}
	var serials string
	h.must(h.st.Read(ctx, func(tx *store.Tx) error {
		serials = ""
		rows, err := tx.Query("SELECT serial FROM states ORDER BY fence, serial")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var serial int64
			if err := rows.Scan(&serial); err != nil {
				return err
			}
			serials += fmt.Sprint(serial, " ")
		}
		return rows.Err()
	}))
	if serials != "1 4 6 " {
		t.Fatalf("kept states %s", serials)
	}
}

func TestWritersOfOneFenceShipEachEventOnce(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	f := h.mustTake(ankara, step, "a1")
	done := make(chan error, 4)
	for i := range 4 {
		j := h.Journal
		if i%2 == 1 {
			j = journal.New(h.openStore(), h.keys)
		}
		go func() {
			for n := int64(1); n <= 30; n++ { // a runner and its adopter, both reading the output from its start
				if err := j.Ship(ctx, ankara, f, step, journal.Batch{Events: events(1, n)}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		h.must(<-done)
	}
	if got := seqs(h.allEvents(step)); !slices.Equal(got, upTo(30)) {
		t.Fatalf("events %v", got)
	}
}

func TestChangesAreFed(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	ch := h.st.Watch(ctx)
	f := h.mustTake(ankara, step, "a1")
	h.must(h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(1, 1)}))
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step}, nil))
	for i, want := range []string{"head " + ankara.String(), "head " + ankara.String(), "step " + step, "head " + ankara.String()} {
		select {
		case c := <-ch:
			if c.Topic+" "+c.Key != want {
				t.Fatalf("change %d is %+v, want %s", i, c, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("change %d did not come", i)
		}
	}
}

func BenchmarkAttachLook(b *testing.B) {
	dir := b.TempDir()
	keys, err := keyring.Open(keyring.Source{Dir: dir}, true)
	if err != nil {
		b.Fatal(err)
	}
	st, err := store.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	j := journal.New(st, keys)
	if err := j.EnsureStack(b.Context(), ankara, stateText(1, ""), lineage); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := j.Head(b.Context(), ankara); err != nil {
			b.Fatal(err)
		}
		if _, err := j.Result(b.Context(), "x"); !errors.Is(err, journal.ErrNotFound) {
			b.Fatal(err)
		}
		if _, err := j.Events(b.Context(), "x", 10, 100); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShip(b *testing.B) {
	dir := b.TempDir()
	keys, err := keyring.Open(keyring.Source{Dir: dir}, true)
	if err != nil {
		b.Fatal(err)
	}
	st, err := store.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	j := journal.New(st, keys)
	step := journal.Step{ID: "r/ankara/apply.1", Run: "r", Kind: journal.StepApply, Stack: stacks.Stack{ID: ankara}}
	var f journal.Fence
	_, err = j.PutStep(b.Context(), step)
	err = errors.Join(err, j.EnsureStack(b.Context(), ankara, stateText(1, ""), lineage))
	err = errors.Join(err, st.Write(b.Context(), func(tx *store.Tx) (err error) {
		f, err = j.TakeFence(b.Context(), tx, journal.TakeInput{Stack: ankara, Step: step.ID, Attempt: "a"})
		return err
	}))
	if err != nil {
		b.Fatal(err)
	}
	content := strings.Repeat(`{"mode":"managed","x":"some attribute or other"},`, 400) + "{}"
	for n := int64(1); b.Loop(); n++ {
		if err := j.Ship(b.Context(), ankara, f, step.ID, journal.Batch{Events: events(n*10-9, n*10), State: snapshot(n+1, content)}); err != nil {
			b.Fatal(err)
		}
	}
}
