package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"

	"meridian/orchestrator"
	"meridian/stacks"
)

// submitWithout submits a spec without a yes.
func (m *meridian) submitWithout(spec string) orchestrator.RunView {
	m.site.t.Helper()
	res, err := m.Submit(context.Background(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Actor: "test"})
	if err != nil {
		m.site.t.Fatalf("submit: %v", err)
	}
	return res.Runs[0]
}

func wantProblem(t *testing.T, err error, code string) *orchestrator.Problem {
	t.Helper()
	var p *orchestrator.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Fatalf("error = %v, want a problem with code %s", err, code)
	}
	if p.Next == "" && len(p.Diagnostics) == 0 {
		t.Errorf("%v says nothing about what to do next", err)
	}
	return p
}

// TestApproval waits for a yes, refuses a stale digest, goes on with the right one, and is superseded by a newer submission.
func TestApproval(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	ctx := t.Context()

	first := m.wait(m.submitWithout(orders("orders")).ID)
	if first.Phase != stacks.PhaseAwaiting || len(first.PlanDigest) != 64 {
		t.Fatalf("run is %s with plan %q, want it to await a yes", first.Phase, first.PlanDigest)
	}
	if n := len(m.servers()); n != 0 {
		t.Errorf("%d servers run before the yes", n)
	}
	second := m.wait(m.submitWithout(orders("orders", `max_connections: "50"`, `max_connections: "70"`)).ID)
	if got := m.wait(first.ID); got.Phase != stacks.PhaseSuperseded {
		t.Errorf("the first run is %s, want superseded by the second", got.Phase)
	}
	_, err := m.Approve(ctx, first.ID, first.PlanDigest, "test")
	wantProblem(t, err, orchestrator.CodeConflict)
	_, err = m.Approve(ctx, second.ID, first.PlanDigest, "test")
	wantProblem(t, err, orchestrator.CodeStalePlan)
	_, err = m.Approve(ctx, second.ID, "", "test")
	wantProblem(t, err, orchestrator.CodeStalePlan)

	m.approve(second)
	if v := m.wait(second.ID); v.Phase != stacks.PhaseDone {
		t.Fatalf("approved run is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	if got := m.query("orders", "ankara", "show max_connections"); got != "70" {
		t.Errorf("max_connections = %s, want 70: the newer plan", got)
	}

	waiting := m.wait(m.submitWithout(orders("orders")).ID)
	if _, err := m.Cancel(ctx, waiting.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if v := m.wait(waiting.ID); v.Phase != stacks.PhaseCancelled {
		t.Errorf("cancelled run is %s", v.Phase)
	}
	m.destroy("orders")
	m.nothingLeft()
}

// TestRefusals are the changes that are refused before anything is touched.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	ctx := t.Context()
	submit := func(spec string) error {
		_, err := m.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Yes: true, Actor: "test"})
		return err
	}
	p := wantProblem(t, submit(strings.Replace(orders("orders"), "role: primary", "role: primari", 1)), orchestrator.CodeInvalidSpec)
	if d := p.Diagnostics[0]; d.File != "spec.yaml" || d.Line == 0 || d.Column == 0 || d.Next == "" {
		t.Errorf("diagnostic = %+v, want a place and what to do", d)
	}
	wantProblem(t, submit(orders("orders", `max_connections: "50"`, `max_connextions: "50"`)), orchestrator.CodeInvalidSpec)
	wantProblem(t, submit(orders("orders", "name: postgres\n", "name: postgres\n    version: \"9\"\n")), orchestrator.CodeInvalidSpec)
	if dbs, err := m.Databases(ctx, ""); err != nil || len(dbs) != 0 {
		t.Fatalf("databases = %v, %v: a refused spec left something", dbs, err)
	}

	protected := orders("orders", "deletion: {protect: false}", "deletion: {protect: true}")
	m.done(protected)
	_, err := m.Destroy(ctx, stacks.DefaultNamespace, "orders", "test")
	wantProblem(t, err, orchestrator.CodeRefused)
	one := strings.Replace(strings.Replace(protected, replica, "", 1), link, "", 1)
	one = strings.Replace(one, "    links:\n", "", 1)
	wantProblem(t, submit(one), orchestrator.CodeRefused)
	if got := m.query("orders", "istanbul", "select 1"); got != "1" {
		t.Errorf("istanbul answers %q", got)
	}
	if runs, err := m.Runs(ctx, stacks.DefaultNamespace, "orders", 0); err != nil || len(runs) != 1 {
		t.Errorf("runs = %d, %v: a refused change made one", len(runs), err)
	}
	_, err = m.Destroy(ctx, stacks.DefaultNamespace, "nobody", "test")
	wantProblem(t, err, orchestrator.CodeNotFound)
}

// TestCheck plans a database that does not exist and one that does, and changes nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	ctx := t.Context()
	check := func(spec string) orchestrator.RunView {
		res, err := m.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Check: true, Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		v := m.wait(res.Runs[0].ID)
		if v.Phase != stacks.PhaseDone {
			t.Fatalf("check is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
		}
		return v
	}
	if v := check(orders("orders")); !v.HasChanges {
		t.Error("the check of a new database shows no change")
	}
	if dbs, err := m.Databases(ctx, ""); err != nil || len(dbs) != 0 {
		t.Errorf("databases = %+v, %v: a check made one", dbs, err)
	}
	m.nothingLeft()
	m.done(orders("orders"))
	if v := check(orders("orders")); v.HasChanges {
		t.Errorf("the check of an untouched database shows %+v", v.Changes)
	}
	if v := check(orders("orders", `max_connections: "50"`, `max_connections: "60"`)); !v.HasChanges {
		t.Error("the check of a change shows none")
	}
	if got := m.query("orders", "ankara", "show max_connections"); got != "50" {
		t.Errorf("max_connections = %s after a check, want 50", got)
	}
	if v := check(orders("orders", replica, third)); !v.HasChanges {
		t.Error("the check of another region shows no change")
	}
	heads, err := m.journal.Heads(ctx, "")
	if err != nil || len(heads) != 2 {
		t.Errorf("heads %+v, %v, want two", heads, err)
	}
	if addresses, err := m.catalog.Addresses(ctx); err != nil || len(addresses) != 2 {
		t.Errorf("addresses %v, %v, want two", addresses, err)
	}
	if v := m.done(orders("orders")); v.HasChanges || len(v.Regions) != 2 {
		t.Errorf("the apply after it has regions %+v and changes %+v", v.Regions, v.Changes)
	}
}
