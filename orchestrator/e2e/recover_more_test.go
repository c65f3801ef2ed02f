package e2e

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// verbs counts the lines of the audit of orders, by verb.
func (m *meridian) verbs() map[string]int {
	m.site.t.Helper()
	audits, err := m.catalog.Audits(m.site.t.Context(), stacks.DefaultNamespace, "orders", 0)
	if err != nil {
		m.site.t.Fatal(err)
	}
	out := map[string]int{}
	for _, a := range audits {
		out[a.Verb]++
	}
	return out
}

// TestKilledInADestroy kills terraform and its plugin in the middle of a destruction: it goes on under the one yes to exactly that, and
// leaves nothing.
func TestKilledInADestroy(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	srv := s.serve(beside(4, 1500*time.Millisecond))
	m := s.look()
	srv.wantDone(srv.submitApproved(orders("orders")))
	v, err := srv.Destroy(t.Context(), stacks.DefaultNamespace, "orders", "ada")
	if err != nil {
		t.Fatal(err)
	}
	if v = srv.wait(v.ID); v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the destruction is %s: %s", v.Phase, v.Message)
	}
	if _, err := srv.Approve(t.Context(), v.ID, v.PlanDigest, "ada"); err != nil {
		t.Fatal(err)
	}
	s.inFlight("delete", 3)
	if s.killAll("terraform apply", "terraform-provider-localdb") == 0 {
		t.Fatal("nothing to kill")
	}
	srv.wantDone(v.ID)
	m.nothingLeft()
	if said := m.verbs(); said["approve"] != 2 || said["carry-over"] == 0 {
		t.Errorf("audit %v, want a yes to each plan, the second one carried over", said)
	}
}

// TestCancelledInACreate cancels a run in the middle of an apply: it lists what stands, and the next apply goes on from there.
func TestCancelledInACreate(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	srv := s.serve(beside(6, 1500*time.Millisecond))
	m := s.look()
	run := srv.submitApproved(orders("orders"))
	s.inFlight("create", 3)
	if _, err := srv.Cancel(t.Context(), run, "ada"); err != nil {
		t.Fatal(err)
	}
	v := srv.wait(run)
	if v.Phase != stacks.PhaseCancelled || !strings.Contains(v.Message, "localdb") {
		t.Fatalf("run is %s: %s; want cancelled, with the objects that stand", v.Phase, v.Message)
	}
	t.Log(v.Message)
	for _, h := range s.heads(m) {
		if h.Status != journal.HeadIdle {
			t.Errorf("head of %s is %s", h.Stack, h.Status)
		}
	}
	srv.wantDone(srv.submitApproved(orders("orders")))
	s.finishedOnce()
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run, want 2", n)
	}
}

func (s *site) heads(m *meridian) []journal.Head {
	s.t.Helper()
	heads, err := m.journal.Heads(s.t.Context(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	return heads
}

// cut plays an apply in ankara that was cut while it made an object; taint says that the state has it as tainted.
func (m *meridian) cut(run, address, typ string, taint bool) {
	m.site.t.Helper()
	t, ctx := m.site.t, m.site.t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := m.catalog.Run(ctx, run)
	must(err)
	id := stacks.StackID{Namespace: r.Namespace, Name: r.Name, Incarnation: r.Incarnation, Region: "ankara"}
	step, err := m.journal.PutStep(ctx, journal.Step{ID: run + "/ankara/apply.99", Run: run, Kind: journal.StepApply, Stack: stacks.Stack{ID: id}})
	must(err)
	var fence journal.Fence
	must(m.store.Write(ctx, func(tx *store.Tx) (err error) {
		fence, err = m.journal.TakeFence(ctx, tx, journal.TakeInput{Stack: id, Step: step.ID, Attempt: "cut", Site: "elsewhere"})
		return err
	}))
	line, err := json.Marshal(map[string]any{
		"type": terraform.EventApplyStart, "@timestamp": time.Now(), "hook": map[string]any{"action": "create", "resource": map[string]any{"addr": address, "resource_type": typ}},
	})
	must(err)
	batch := journal.Batch{Events: []journal.Event{{Seq: 1, At: time.Now(), Payload: line}}}
	if taint {
		st, err := m.journal.LatestState(ctx, id)
		must(err)
		raised, err := terraform.RaiseSerial(st.Payload)
		must(err)
		before, after, found := bytes.Cut(raised, []byte(`"type": "`+typ+`"`))
		if !found {
			t.Fatalf("the state has no %s", typ)
		}
		after = bytes.Replace(after, []byte(`"schema_version"`), []byte(`"status": "tainted", "schema_version"`), 1)
		payload := append(append(bytes.Clone(before), []byte(`"type": "`+typ+`"`)...), after...)
		batch.State = &journal.State{Serial: st.Serial + 1, Lineage: st.Lineage, Payload: payload}
	}
	must(m.journal.Ship(ctx, id, fence, step.ID, batch))
	must(m.journal.Finish(ctx, id, fence, journal.Result{Step: step.ID, Outcome: journal.OutcomeInterrupted}, nil))
}

// TestTaintedByAnInterruptionIsKept: a server that is whole and that only an interruption tainted keeps its data, without a question.
func TestTaintedByAnInterruptionIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	srv := s.serve()
	m := s.look()
	run := srv.submitApproved(orders("orders"))
	srv.wantDone(run)
	m.query("orders", "ankara", "create table parcels (id int primary key)")
	m.query("orders", "ankara", "insert into parcels values (7)")
	born := m.query("orders", "ankara", "select pg_postmaster_start_time()::text")
	m.cut(run, "module.database.localdb_postgres.this", "localdb_postgres", true)
	v := srv.submitApprovedOrDone(orders("orders"))
	if v.Phase != stacks.PhaseDone || v.HasChanges {
		t.Fatalf("run is %s with %+v: %s\n%s", v.Phase, v.Changes, v.Message, logOf(srv, v.ID))
	}
	if got := m.query("orders", "ankara", "select id from parcels"); got != "7" {
		t.Errorf("the row is %q", got)
	}
	if now := m.query("orders", "ankara", "select pg_postmaster_start_time()::text"); now != born {
		t.Errorf("another server: %s, then %s", born, now)
	}
}

// TestWhatCannotBeProvenIsAsked: a run whose interrupted object nobody can look up awaits an answer, and goes on with it.
func TestWhatCannotBeProvenIsAsked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	srv := s.serve()
	m := s.look()
	run := srv.submitApproved(orders("orders"))
	srv.wantDone(run)
	const address = `module.database.localdb_directory.beside["09"]`
	m.cut(run, address, "localdb_directory", false)
	v := srv.submitApprovedOrDone(orders("orders"))
	if v.Phase != stacks.PhaseAwaiting || v.Reason != "Question" || len(v.Questions) != 1 || v.Questions[0].Address != address || v.Questions[0].Evidence == "" {
		t.Fatalf("run is %s (%s): %s, %+v", v.Phase, v.Reason, v.Message, v.Questions)
	}
	_, err := srv.Answer(t.Context(), orchestrator.AnswerRequest{Run: v.ID, Address: "x.y", Kind: "absent", Actor: "ada"})
	wantProblem(t, err, orchestrator.CodeNotFound)
	if _, err := srv.Answer(t.Context(), orchestrator.AnswerRequest{Run: v.ID, Address: address, Kind: "absent", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	srv.wantDone(v.ID)
	if m.verbs()["answer"] != 1 {
		t.Errorf("audit %v", m.verbs())
	}
}
