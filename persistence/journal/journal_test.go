package journal_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	"meridian/stacks"
)

const lineage = "3f6cbc34-0000-5000-8000-6d6572696469"

var (
	ankara   = stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "ankara"}
	istanbul = stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "istanbul"}
)

func TestOnPostgres(t *testing.T) { storetest.Again(t) }

type house struct {
	*journal.Journal
	t    *testing.T
	dir  string
	st   *store.Store
	keys *keyring.Keyring
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	var err error
	if h.keys, err = keyring.Open(keyring.Source{Dir: h.dir}, true); err != nil {
		t.Fatal(err)
	}
	h.st = h.openStore()
	h.Journal = journal.New(h.st, h.keys)
	return h
}

func (h *house) openStore() *store.Store {
	h.t.Helper()
	return storetest.Open(h.t, h.dir)
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func stateText(serial int64, content string) []byte {
	return fmt.Appendf(nil, `{"version":4,"serial":%d,"lineage":%q,"resources":[%s]}`, serial, lineage, content)
}

func snapshot(serial int64, content string) *journal.State {
	return &journal.State{Serial: serial, Lineage: lineage, Payload: stateText(serial, content)}
}

func (h *house) stack(id stacks.StackID) {
	h.t.Helper()
	h.must(h.EnsureStack(h.t.Context(), id, stateText(1, ""), lineage))
}

func (h *house) step(id stacks.StackID, run, name string, kind journal.StepKind) string {
	h.t.Helper()
	s, err := h.PutStep(h.t.Context(), journal.Step{
		ID: run + "/" + id.Region + "/" + name, Run: run, Kind: kind,
		Stack: stacks.Stack{ID: id, Digest: "d1", Files: []stacks.File{{Path: "main.tf", Content: []byte("resource {}")}}},
	})
	h.must(err)
	return s.ID
}

func (h *house) take(in journal.TakeInput) (f journal.Fence, err error) {
	err = h.st.Write(h.t.Context(), func(tx *store.Tx) error {
		f, err = h.TakeFence(h.t.Context(), tx, in)
		return err
	})
	return f, err
}

func (h *house) mustTake(id stacks.StackID, step, attempt string) journal.Fence {
	h.t.Helper()
	f, err := h.take(journal.TakeInput{Stack: id, Step: step, Attempt: attempt, Site: "here", RunnerPID: 42, BootID: "boot", Terraform: "1.11.4", Template: "tmpl"})
	h.must(err)
	return f
}

func events(from, to int64) (out []journal.Event) {
	for i := from; i <= to; i++ {
		out = append(out, journal.Event{Seq: i, At: time.UnixMicro(1e15 + i), Payload: fmt.Appendf(nil, `{"line":%d}`, i)})
	}
	return out
}

func seqs(events []journal.Event) (out []int64) {
	for _, e := range events {
		out = append(out, e.Seq)
	}
	return out
}

func upTo(n int64) (out []int64) {
	for i := int64(1); i <= n; i++ {
		out = append(out, i)
	}
	return out
}

func (h *house) allEvents(step string) []journal.Event {
	h.t.Helper()
	out, err := h.Events(h.t.Context(), step, 0, 10000)
	h.must(err)
	return out
}

func (h *house) head(id stacks.StackID) journal.Head {
	h.t.Helper()
	head, err := h.Head(h.t.Context(), id)
	h.must(err)
	return head
}

func (h *house) latest(id stacks.StackID) journal.State {
	h.t.Helper()
	s, err := h.LatestState(h.t.Context(), id)
	h.must(err)
	return s
}

func TestEnsureStackIsBornWithAnEmptyState(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	if _, err := h.Head(ctx, ankara); !errors.Is(err, journal.ErrNotFound) {
		t.Fatalf("head of nothing: %v", err)
	}
	h.stack(ankara)
	h.stack(ankara)
	head := h.head(ankara)
	if head.Status != journal.HeadIdle || head.Serial != 1 || head.Lineage != lineage || head.Stack != ankara {
		t.Fatalf("head %+v", head)
	}
	if s := h.latest(ankara); string(s.Payload) != string(stateText(1, "")) || s.SHA256 != digest(s.Payload) {
		t.Fatalf("state %+v", s)
	}
	if err := h.EnsureStack(ctx, istanbul, []byte(`{"serial":1,"lineage":"other"}`), lineage); err == nil {
		t.Error("an empty state of another lineage was taken")
	}
	if err := h.EnsureStack(ctx, stacks.StackID{Region: "x"}, stateText(1, ""), lineage); err == nil {
		t.Error("a stack without a name was taken")
	}
	h.stack(istanbul)
	heads, err := h.Heads(ctx, "abcdefgh")
	h.must(err)
	if len(heads) != 2 || heads[0].Stack != ankara || heads[1].Stack != istanbul {
		t.Errorf("heads %+v", heads)
	}
	if none, err := h.Heads(ctx, "zzzzzzzz"); err != nil || len(none) != 0 {
		t.Errorf("heads of another incarnation: %v, %v", none, err)
	}
}

func TestTheFirstStepOfAnIDWins(t *testing.T) {
	h := newHouse(t)
	step := h.step(ankara, "r-1", "plan.1", journal.StepPlan)
	again, err := h.PutStep(t.Context(), journal.Step{ID: step, Run: "r-1", Kind: journal.StepPlan, Stack: stacks.Stack{ID: ankara, Digest: "d2"}})
	h.must(err)
	if again.Stack.Digest != "d1" || string(again.Stack.Files[0].Content) != "resource {}" || again.CreatedAt.IsZero() {
		t.Fatalf("step %+v", again)
	}
	if _, err := h.Step(t.Context(), "r-1/ankara/plan.2"); !errors.Is(err, journal.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := h.PutStep(t.Context(), journal.Step{ID: "x"}); err == nil {
		t.Error("a step of no run was taken")
	}
}

func TestAStepFromPlanToResult(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "plan.1", journal.StepPlan)
	f := h.mustTake(ankara, step, "a1")
	if f.Number != 1 || f.Epoch != 1 || f.Attempt != "a1" {
		t.Fatalf("fence %+v", f)
	}
	head := h.head(ankara)
	if head.Status != journal.HeadRunning || head.Step != step || head.Fence != f || head.Site != "here" || head.RunnerPID != 42 || head.BootID != "boot" ||
		head.Terraform != "1.11.4" || head.Template != "tmpl" || time.Since(head.BeatAt) > time.Minute {
		t.Fatalf("head %+v", head)
	}
	running, err := h.HeadsRunning(ctx)
	h.must(err)
	if len(running) != 1 {
		t.Fatalf("running %+v", running)
	}
	h.must(h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(1, 5), State: snapshot(2, "")}))
	if _, err := h.Result(ctx, step); !errors.Is(err, journal.ErrNotFound) {
		t.Fatalf("result of a running step: %v", err)
	}
	started := time.Now().UTC().Truncate(time.Microsecond)
	r := journal.Result{Step: step, Outcome: journal.OutcomeChanges, ExitCode: 2, Launches: 1, StartedAt: started, Diagnostics: []stacks.Diagnostic{{Summary: "careful"}}}
	h.must(h.Finish(ctx, ankara, f, r, artifact("art-1", "r-1", ankara, 2, "local_x.y")))
	got, err := h.Result(ctx, step)
	h.must(err)
	if got.Outcome != journal.OutcomeChanges || got.Artifact != "art-1" || got.Serial != 2 || len(got.Changes) != 1 || got.Launches != 1 ||
		!got.StartedAt.Equal(started) || got.FinishedAt.IsZero() || got.Diagnostics[0].Summary != "careful" {
		t.Fatalf("result %+v", got)
	}
	head = h.head(ankara)
	if head.Status != journal.HeadIdle || head.Serial != 2 || head.Desired != "" {
		t.Fatalf("head %+v", head)
	}
	a, err := h.FindArtifact(ctx, "r-1", ankara, "d1", 2)
	h.must(err)
	if a.ID != "art-1" || string(a.Files[1].Content) != "PK plan local_x.y" || a.WorkPath != "/w" || a.CreatedAt.IsZero() {
		t.Fatalf("artifact %+v", a)
	}
	if _, err := h.FindArtifact(ctx, "r-1", ankara, "d1", 3); !errors.Is(err, journal.ErrNotFound) {
		t.Fatalf("artifact of another serial: %v", err)
	}
	infos, err := h.Steps(ctx, "r-1")
	h.must(err)
	if len(infos) != 1 || infos[0].ID != step || infos[0].Outcome != journal.OutcomeChanges || infos[0].Stack != ankara || infos[0].FinishedAt.IsZero() {
		t.Fatalf("steps %+v", infos)
	}
}

func TestAChecksResult(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	check, plan := h.step(ankara, "r-1", "check.1", journal.StepCheck), h.step(ankara, "r-1", "plan.1", journal.StepPlan)
	h.must(h.FinishCheck(ctx, journal.Result{Step: check, Outcome: journal.OutcomeChanges}))
	h.must(h.FinishCheck(ctx, journal.Result{Step: check, Outcome: journal.OutcomeFailed}))
	if r, err := h.Result(ctx, check); err != nil || r.Outcome != journal.OutcomeChanges {
		t.Fatalf("result %+v, %v", r, err)
	}
	if err := h.FinishCheck(ctx, journal.Result{Step: plan}); err == nil {
		t.Error("a plan finished without a fence")
	}
	if err := h.FinishCheck(ctx, journal.Result{Step: "nothing"}); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("an unknown step finished: %v", err)
	}
}

func TestForget(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	h.stack(istanbul)
	other := h.step(istanbul, "r-1", "plan.1", journal.StepPlan)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	forget := func() error {
		return h.st.Write(ctx, func(tx *store.Tx) error { return h.Forget(ctx, tx, ankara) })
	}
	f := h.mustTake(ankara, step, "a1")
	if err := forget(); !errors.Is(err, journal.ErrRunning) {
		t.Fatalf("a running stack was forgotten: %v", err)
	}
	h.must(h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(1, 3), State: snapshot(2, `{"mode":"managed"}`)}))
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step}, artifact("art-1", "r-1", ankara, 2, "x")))
	if err := forget(); !errors.Is(err, journal.ErrNotEmpty) {
		t.Fatalf("a stack with resources was forgotten: %v", err)
	}
	gone := h.step(ankara, "r-2", "apply.1", journal.StepApply)
	f = h.mustTake(ankara, gone, "a2")
	h.must(h.Ship(ctx, ankara, f, gone, journal.Batch{State: snapshot(3, `{"mode":"data"}`)}))
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: gone}, nil))
	h.must(forget())
	h.must(forget())
	for table, kept := range map[string]int{"heads": 0, "states": 0, "artifacts": 0, "steps": 2, "results": 2, "events": 1} {
		column := "stack"
		if table == "results" {
			column = "step"
		}
		var n int
		h.must(h.st.Read(ctx, func(tx *store.Tx) error {
			return tx.QueryRow("SELECT count(*) FROM " + table + " WHERE " + column + " LIKE '%/ankara%'").Scan(&n)
		}))
		if n != kept {
			t.Errorf("%d rows of %s stayed, want %d", n, table, kept)
		}
	}
	if _, err := h.Step(ctx, other); err != nil {
		t.Errorf("another stack's step: %v", err)
	}
	h.stack(ankara) // the same name may be born again, and its events lie beside those of the one before
	again := h.step(ankara, "r-3", "plan.1", journal.StepPlan)
	f = h.mustTake(ankara, again, "a3")
	h.must(h.Ship(ctx, ankara, f, again, journal.Batch{Events: events(1, 2)}))
	for id, want := range map[string]int{step: 3, again: 2} {
		if got, err := h.Events(ctx, id, 0, 10); err != nil || len(got) != want {
			t.Errorf("%d events of %s, want %d: %v", len(got), id, want, err)
		}
	}
}
