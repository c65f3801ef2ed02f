package e2e

import (
	"testing"

	"meridian/stacks"
)

// TestDropStaysInTheSpec drops a database once, with one yes, and keeps what comes back under its name until somebody is asked again.
func TestDropStaysInTheSpec(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	const one = "- {name: orders, owner: orders_app}\n"
	with, dropped := one+"    - {name: old}\n", one+"    - {name: old, drop: true}\n"
	there := func(want string) {
		t.Helper()
		for _, region := range []string{"ankara", "istanbul"} {
			if got := m.query("orders", region, "select count(*) from pg_database where datname = 'old'"); got != want {
				t.Errorf("%s has %s databases of that name, want %s", region, got, want)
			}
		}
	}
	m.done(orders("orders", one, with))
	there("1")

	asked := m.wait(m.submit(orders("orders", one, dropped)).ID)
	if asked.Phase != stacks.PhaseAwaiting || asked.NeedsApproval != "drops database old" || !asked.HasChanges {
		t.Fatalf("the drop is %s, needs %q, changes %+v", asked.Phase, asked.NeedsApproval, asked.Changes)
	}
	there("1")
	m.approve(asked)
	if v := m.wait(asked.ID); v.Phase != stacks.PhaseDone {
		t.Fatalf("the drop is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	there("0")
	if v := m.done(orders("orders", one, dropped)); v.HasChanges {
		t.Errorf("the same spec again has changes: %+v", v.Changes)
	}

	db, err := m.Database(t.Context(), stacks.DefaultNamespace, "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"ankara", "istanbul"} {
		conn, err := m.admin(stacks.StackID{Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Region: region}, "postgres")
		if err == nil {
			_, err = conn.Exec(t.Context(), "create database old")
			conn.Close(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m.done(orders("orders", one, dropped)) // nobody was asked: it is found and kept
	there("1")
	if db, err = m.Database(t.Context(), stacks.DefaultNamespace, "orders"); err != nil || len(db.Unmanaged) != 1 || db.Unmanaged[0] != "database old" {
		t.Errorf("unmanaged %v, %v", db.Unmanaged, err)
	}
	again := m.wait(m.submit(orders("orders", one, dropped)).ID)
	if again.Phase != stacks.PhaseAwaiting || again.NeedsApproval != "drops database old" {
		t.Fatalf("the next apply is %s, needs %q", again.Phase, again.NeedsApproval)
	}
	m.approve(again)
	if v := m.wait(again.ID); v.Phase != stacks.PhaseDone {
		t.Fatalf("the second drop is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	there("0")
	m.destroy("orders")
	m.nothingLeft()
}
