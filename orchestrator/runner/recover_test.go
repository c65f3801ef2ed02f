package runner_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/orchestrator/runner"
	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// taint makes the world's newest state say that its first object is tainted, as an apply that was interrupted does.
func (w *world) taint() {
	w.t.Helper()
	ctx := context.Background()
	st, _ := w.state()
	raised, err := terraform.RaiseSerial(st.Payload)
	check(w.t, err)
	raised = bytes.Replace(raised, []byte(`"schema_version"`), []byte(`"status": "tainted", "schema_version"`), 1)
	step := w.put(journal.StepApply, w.stack(""), nil)
	fence := w.take(step, "elsewhere")
	check(w.t, w.journal.Ship(ctx, w.id, fence, step, journal.Batch{State: &journal.State{Serial: st.Serial + 1, Lineage: st.Lineage, Payload: raised}}))
	check(w.t, w.journal.Finish(ctx, w.id, fence, journal.Result{Step: step, Outcome: journal.OutcomeInterrupted}, nil))
}

// TestUntaintedBeforeThePlan: what only an interruption tainted is not replaced, whether or not it was tried before, and no plan of before
// can be applied any more.
func TestUntaintedBeforeThePlan(t *testing.T) {
	w := newWorld(t)
	w.open()
	s := w.slow(2)
	if r := w.do(w.applyStep(s, w.plan(s))); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("apply: %+v\n%s", r, w.log())
	}
	before, _ := w.state()
	w.taint()
	w.end()
	w.submit(true)
	replaces := w.do(w.put(journal.StepPlan, s, nil))
	if len(replaces.Changes) != 1 || replaces.Changes[0].Action != stacks.ActionReplace {
		t.Fatalf("a tainted object is not replaced: %+v", replaces.Changes)
	}
	address := replaces.Changes[0].Address
	for range 2 { // the second time there is nothing to untaint
		serial, _ := w.state()
		recovered := w.do(w.put(journal.StepPlan, s, func(st *journal.Step) {
			st.Recovery = stacks.Recovery{Untaint: []string{address}, Anew: true}
		}))
		if recovered.Outcome != journal.OutcomeUnchanged {
			t.Fatalf("plan after the untaint: %+v\n%s", recovered, w.log())
		}
		after, file := w.state()
		if after.Serial != serial.Serial+1 || recovered.Serial != after.Serial || slices.ContainsFunc(file.Resources, func(r terraform.StateResource) bool { return r.Tainted }) {
			t.Errorf("state %d after %d: %+v", after.Serial, serial.Serial, file.Resources)
		}
		if !bytes.Contains(after.Payload, idOf(t, before.Payload)) {
			t.Error("the object is another one")
		}
	}
	w.planned(replaces, s)
	if r := w.do(w.applyStep(s, replaces)); r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != terraform.RulePlanStale {
		t.Errorf("the plan of before: %+v", r)
	}
	w.clean()
}

// idOf is the first ID in a state.
func idOf(t *testing.T, state []byte) []byte {
	t.Helper()
	_, rest, found := bytes.Cut(state, []byte(`"id": "`))
	if !found {
		t.Fatalf("no ID in %s", state)
	}
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return id
}

// TestImportedByThePlan: an object that no state knows is taken over by an import block beside the stack, which is in the artifact and not
// in the stack's digest.
func TestImportedByThePlan(t *testing.T) {
	w := newWorld(t)
	s := w.stack(`
resource "terraform_data" "kept" {
  input = "v"
}
resource "terraform_data" "made" {
  input = "w"
}
`)
	r := w.do(w.put(journal.StepPlan, s, func(st *journal.Step) {
		st.Recovery = stacks.Recovery{Import: []stacks.Import{{Address: "terraform_data.kept", ID: "found"}}, Anew: true}
	}))
	w.planned(r, s)
	i := slices.IndexFunc(r.Changes, func(c stacks.Change) bool { return c.Address == "terraform_data.kept" })
	if len(r.Changes) != 2 || i < 0 || !r.Changes[i].Importing || r.Changes[i].Action != stacks.ActionUpdate {
		t.Fatalf("changes: %+v", r.Changes)
	}
	a, err := w.journal.Artifact(t.Context(), r.Artifact)
	check(t, err)
	if a.StackDigest != s.Digest || a.StateSerial != 2 || !slices.ContainsFunc(a.Files, func(f stacks.File) bool { return f.Path == stacks.RecoveryFile }) {
		t.Errorf("artifact of digest %s, state %d", a.StackDigest, a.StateSerial)
	}
	if r := w.do(w.applyStep(s, r)); r.Outcome != journal.OutcomeApplied {
		t.Fatalf("apply: %+v\n%s", r, w.log())
	}
	st, file := w.state()
	if len(file.Resources) != 2 || !bytes.Contains(st.Payload, []byte(`"id": "found"`)) {
		t.Errorf("state: %s", st.Payload)
	}
	w.clean()
}

// TestARecoveryThatCannotBe: a plan whose imports cannot be written fails and says so.
func TestARecoveryThatCannotBe(t *testing.T) {
	w := newWorld(t)
	r := w.do(w.put(journal.StepPlan, w.items(1, 0), func(st *journal.Step) {
		st.Recovery = stacks.Recovery{Import: []stacks.Import{{Address: "no address", ID: "x"}}}
	}))
	if r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != runner.RuleRecover {
		t.Errorf("%+v", r)
	}
	w.clean()
}

// TestHang: an apply that says nothing but that time passes is told to stop after its limit, and fails with the reason; one that goes on
// saying something new is let alone.
func TestHang(t *testing.T) {
	hang := func(limit time.Duration) string {
		return fmt.Sprintf(`%s={"ApplyHang":%d}`, terraform.EnvTiming, limit)
	}
	t.Run("hangs", func(t *testing.T) {
		w := newWorld(t)
		w.env = append(w.env, hang(time.Second))
		step, _ := w.applying(1)
		w.gone("runner")
		r := w.result(step)
		if r.Outcome != journal.OutcomeFailed || r.Diagnostics[0].Rule != runner.RuleHang || r.Retryable || r.StoppedAt.IsZero() {
			t.Errorf("%+v", r)
		}
		if !strings.Contains(w.log(), "told terraform to stop") {
			t.Errorf("it was not told to stop:\n%s", w.log())
		}
	})
	t.Run("is slow", func(t *testing.T) {
		w := newWorld(t)
		w.env = append(w.env, hang(2*time.Second))
		s := w.made(1, "for i in 1 2 3 4 5 6 7 8; do echo still here $i; sleep 0.5; done")
		if r := w.do(w.applyStep(s, w.plan(s))); r.Outcome != journal.OutcomeApplied {
			t.Errorf("%+v\n%s", r, w.log())
		}
	})
}
