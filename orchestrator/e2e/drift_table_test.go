package e2e

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"meridian/orchestrator"
	"meridian/stacks"
)

// TestEveryDriftIsSeen holds for each attribute of a local server and of the directories beside it that it is seen where it moved.
func TestEveryDriftIsSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	srv := s.serve(beside(2, 0))
	m := s.look()
	res, err := srv.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: orders("orders", `max_connections: "50"`, `max_connections: "50", work_mem: "8MB"`)}}, Yes: true, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	srv.wantDone(res.Runs[0].ID)
	m.everyDrift("orders", "ankara", nil, driftTable{
		unseen: map[string]string{"localdb_postgres.deletion_protection": "null: the module's default"},
		refused: map[string]string{
			"localdb_postgres.owner":          "A server does not change its owner",
			"localdb_postgres.engine_version": "A server does not change its major version in place",
		},
		wanted: map[string]string{"localdb_postgres.status": "running", "localdb_postgres.admin_user": "the only one"},
	})
}

// driftTable are the exceptions among the attributes of a stack, "type.attribute", each with its reason. A reason that is no longer true fails.
type driftTable struct {
	unseen  map[string]string // the module sets it, and no plan tells
	refused map[string]string // the plugin can only refuse to plan, with this word: a check ends with it
	wanted  map[string]string // no configuration can set it, and the plugin wants this all the same
	growths []stacks.Growth   // what the cloud raises by itself, which is none where it is higher
}

// everyDrift holds for each attribute that the module of a region's stack sets, by the schemas of its plugins, that it is drift where the
// world has another value; and for each that is only computed that it is none. The state stands for what a refresh has seen: the real
// plugin plans against it.
func (m *meridian) everyDrift(name, region string, env []string, table driftTable) {
	t := m.site.t
	t.Helper()
	id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: name, Incarnation: m.incarnation(name), Region: region}
	last, err := m.journal.LastStackOf(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	state, err := m.journal.LatestState(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	plans := newDriftPlans(m, last.Stack, state.Payload, env)
	plans.growths = table.growths
	if got := plans.after(nil); len(got) > 0 {
		t.Fatalf("before anything moved there is %v", got)
	}
	set := plans.attributes(func(_ schemaAttribute, set bool) bool { return set })
	computed := plans.attributes(func(a schemaAttribute, _ bool) bool { return a.Computed && !a.Optional })
	for _, exceptions := range []map[string]string{table.unseen, table.refused} {
		for a := range exceptions {
			if !slices.Contains(set, a) {
				t.Errorf("the table has %s, which the module does not set", a)
			}
			set = slices.DeleteFunc(set, func(b string) bool { return a == b })
		}
	}
	wanted := slices.Sorted(maps.Keys(table.wanted))
	computed = slices.DeleteFunc(computed, func(a string) bool { return slices.Contains(wanted, a) })
	if len(set) < 3 || len(computed) == 0 {
		t.Fatalf("the stack sets only %q, and has %q computed", set, computed)
	}
	plans.wantSeen(slices.Concat(set, wanted))
	for a := range plans.after(append(slices.Collect(maps.Keys(table.unseen)), computed...)) {
		t.Errorf("%s is told, though it is only computed, or the table says: %s", a, table.unseen[a])
	}
	for a, word := range table.refused {
		if _, err := plans.tryAfter([]string{a}); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("a plan after %s moved says %v, want %q", a, err, word)
		}
	}
	plans.wantRefreshed(computed, set)
	t.Logf("seen: %q\nonly computed: %q", set, computed)
}
