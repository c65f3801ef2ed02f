package journal_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

const lineage = "3f6cbc34-0000-5000-8000-6d6572696469"

var (
	ankara   = stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "ankara"}
	istanbul = stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "istanbul"}
)

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
	st, err := store.Open(h.t.Context(), h.dir)
	h.must(err)
	h.t.Cleanup(func() { _ = st.Close() })
	return st
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

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func artifact(id, run string, stack stacks.StackID, serial int64, content string) *journal.Artifact {
	plan := []byte("PK plan " + content)
	return &journal.Artifact{
		ID: id, Run: run, Stack: stack, Digest: digest(plan), StackDigest: "d1", StateSerial: serial, Terraform: "1.11.4", Template: "tmpl", WorkPath: "/w",
		Changes: []stacks.Change{{Address: content, Action: stacks.ActionCreate}},
		Files:   []stacks.File{{Path: ".terraform.lock.hcl", Content: []byte("lock")}, {Path: "meridian.tfplan", Content: plan}},
	}
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

func TestTakeFenceRefuses(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	h.stack(istanbul)
	one, two := h.step(ankara, "r-1", "plan.1", journal.StepPlan), h.step(ankara, "r-1", "apply.1", journal.StepApply)
	base := journal.TakeInput{Stack: ankara, Step: one, Attempt: "a1"}
	for name, c := range map[string]struct {
		change func(*journal.TakeInput)
		want   error
	}{
		"an unknown stack":        {func(in *journal.TakeInput) { in.Stack.Region = "izmir" }, journal.ErrNotFound},
		"an unknown step":         {func(in *journal.TakeInput) { in.Step = "nothing" }, journal.ErrNotFound},
		"a step of another stack": {func(in *journal.TakeInput) { in.Stack = istanbul }, nil},
		"no attempt":              {func(in *journal.TakeInput) { in.Attempt = "" }, nil},
	} {
		in := base
		c.change(&in)
		if _, err := h.take(in); err == nil || (c.want != nil && !errors.Is(err, c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := h.mustTake(ankara, one, "a1")
	for _, step := range []string{one, two} {
		if _, err := h.take(journal.TakeInput{Stack: ankara, Step: step, Attempt: "a2"}); !errors.Is(err, journal.ErrRunning) {
			t.Errorf("a running head was taken for %s: %v", step, err)
		}
	}
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: one, Outcome: journal.OutcomeUnchanged}, nil))
	if _, err := h.take(base); !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("a step with a result was taken: %v", err)
	}
	in := base
	in.OverProven = true
	if _, err := h.take(in); !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("proof that the attempt is over opens a finished step: %v", err)
	}
	if next := h.mustTake(ankara, two, "a2"); next.Number != 2 {
		t.Errorf("fence %+v", next)
	}
}

// A fence that is not the head's lets nothing pass.
func TestAnOldFenceWritesNothing(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	old := h.mustTake(ankara, step, "a1")
	h.must(h.Ship(ctx, ankara, old, step, journal.Batch{Events: events(1, 3), State: snapshot(2, "")}))
	fresh, err := h.take(journal.TakeInput{Stack: ankara, Step: step, Attempt: "a2", OverProven: true})
	h.must(err)
	forged := fresh
	forged.Attempt = "a3"
	for name, f := range map[string]journal.Fence{"old": old, "of another attempt": forged, "none": {}, "of another epoch": {Epoch: 2, Number: fresh.Number, Attempt: fresh.Attempt}} {
		if err := h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(4, 9), State: snapshot(9, "")}); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence shipped: %v", name, err)
		}
		if _, err := h.Beat(ctx, ankara, f); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence beat: %v", name, err)
		}
		if err := h.Finish(ctx, ankara, f, journal.Result{Step: step}, nil); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence finished: %v", name, err)
		}
		if err := h.Adopted(ctx, ankara, f, 7, "boot"); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s fence adopted: %v", name, err)
		}
	}
	if head := h.head(ankara); head.Serial != 2 || head.Fence != fresh || head.Shipped != 0 {
		t.Fatalf("head %+v", head)
	}
	if got := seqs(h.allEvents(step)); !slices.Equal(got, upTo(3)) {
		t.Fatalf("events %v", got)
	}
	// What the second attempt ships goes on counting; its own sequence starts at 1.
	h.must(h.Ship(ctx, ankara, fresh, step, journal.Batch{Events: events(1, 2), State: snapshot(3, "")}))
	all := h.allEvents(step)
	if !slices.Equal(seqs(all), upTo(5)) || all[2].Fence != old || all[3].Fence != fresh || string(all[3].Payload) != `{"line":1}` {
		t.Fatalf("events %+v", all)
	}
	h.must(h.Finish(ctx, ankara, fresh, journal.Result{Step: step, Outcome: journal.OutcomeApplied}, nil))
	if err := h.Finish(ctx, ankara, fresh, journal.Result{Step: step, Outcome: journal.OutcomeFailed}, nil); !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("finished twice: %v", err)
	}
	err = h.Ship(ctx, ankara, fresh, step, journal.Batch{Events: events(3, 3)})
	if !errors.Is(err, journal.ErrFenced) || !errors.Is(err, journal.ErrHasResult) {
		t.Errorf("shipped after the end: %v", err)
	}
	if r, err := h.Result(ctx, step); err != nil || r.Outcome != journal.OutcomeApplied {
		t.Errorf("result %+v, %v", r, err)
	}
}

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
	h.must(h.Adopted(ctx, ankara, f, 43, "boot2"))
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
		return tx.QueryRow("SELECT group_concat(serial, ' ') FROM (SELECT serial FROM states ORDER BY fence, serial)").Scan(&serials)
	}))
	if serials != "1 4 6" {
		t.Fatalf("kept states %s", serials)
	}
}

func TestTheFirstArtifactOfAPlanWins(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	finish := func(n int, a *journal.Artifact) journal.Result {
		t.Helper()
		step := h.step(ankara, "r-1", fmt.Sprintf("plan.%d", n), journal.StepPlan)
		f := h.mustTake(ankara, step, fmt.Sprintf("a%d", n))
		h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step, Outcome: journal.OutcomeChanges, Changes: a.Changes}, a))
		r, err := h.Result(ctx, step)
		h.must(err)
		return r
	}
	finish(1, artifact("art-1", "r-1", ankara, 1, "first"))
	r := finish(2, artifact("art-2", "r-1", ankara, 1, "second"))
	if r.Artifact != "art-1" || r.Changes[0].Address != "first" {
		t.Fatalf("result %+v", r)
	}
	if _, err := h.Artifact(ctx, "art-2"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("the second artifact stayed: %v", err)
	}
	if r := finish(3, artifact("art-3", "r-1", ankara, 2, "third")); r.Artifact != "art-3" {
		t.Errorf("a plan of another serial: %+v", r)
	}
}

func TestAnArtifactWithoutItsPlanIsRefused(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	step := h.step(ankara, "r-1", "plan.1", journal.StepPlan)
	f := h.mustTake(ankara, step, "a1")
	a := artifact("art-1", "r-1", ankara, 1, "x")
	a.Files = a.Files[:1]
	if err := h.Finish(t.Context(), ankara, f, journal.Result{Step: step}, a); !errors.Is(err, journal.ErrChecksum) {
		t.Fatal(err)
	}
	if head := h.head(ankara); head.Status != journal.HeadRunning {
		t.Fatalf("head %+v", head)
	}
}

func TestCancelReachesOnlyTheRunThatRuns(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	cancel := func(run string) {
		t.Helper()
		h.must(h.st.Write(ctx, func(tx *store.Tx) error { return h.RequestCancel(ctx, tx, ankara, run) }))
	}
	cancel("r-1") // nothing runs yet
	f := h.mustTake(ankara, step, "a1")
	cancel("r-2")
	if d, err := h.Beat(ctx, ankara, f); err != nil || d != "" {
		t.Fatalf("desired %q, %v", d, err)
	}
	cancel("r-1")
	if d, err := h.Beat(ctx, ankara, f); err != nil || d != "cancel" {
		t.Fatalf("desired %q, %v", d, err)
	}
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step, Outcome: journal.OutcomeCancelled}, nil))
	if head := h.head(ankara); head.Desired != "" {
		t.Fatalf("head %+v", head)
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
	for _, table := range []string{"heads", "steps", "results", "events", "states", "artifacts"} {
		column := "stack"
		if table == "results" {
			column = "step"
		}
		var n int
		h.must(h.st.Read(ctx, func(tx *store.Tx) error {
			return tx.QueryRow("SELECT count(*) FROM " + table + " WHERE " + column + " LIKE '%/ankara%'").Scan(&n)
		}))
		if n != 0 {
			t.Errorf("%d rows of %s stayed", n, table)
		}
	}
	if _, err := h.Step(ctx, other); err != nil {
		t.Errorf("another stack's step: %v", err)
	}
	h.stack(ankara) // the same name may be born again
}

func TestAttemptsRaceForOneFence(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	step := h.step(ankara, "r-1", "apply.1", journal.StepApply)
	results := make(chan error, 12)
	for i := range 12 {
		j := h.Journal
		if i%2 == 1 {
			j = journal.New(h.openStore(), h.keys)
		}
		go func() {
			results <- j.Store().Write(context.Background(), func(tx *store.Tx) error {
				_, err := j.TakeFence(context.Background(), tx, journal.TakeInput{Stack: ankara, Step: step, Attempt: fmt.Sprint("a", i)})
				return err
			})
		}()
	}
	won := 0
	for range 12 {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, journal.ErrRunning) {
			t.Errorf("a loser was told %v", err)
		}
	}
	if won != 1 || h.head(ankara).Fence.Number != 1 {
		t.Fatalf("%d attempts took the fence; head %+v", won, h.head(ankara))
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
	ch := h.st.Watch(ctx, 0)
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
