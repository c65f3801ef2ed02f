package e2e

import (
	"strings"
	"testing"
	"time"

	"meridian/stacks"
)

// The regions of examples/orders.yaml, and a third one.
const (
	replica = "    - {name: istanbul, provider: local, role: replica}\n"
	third   = replica + "    - {name: izmir, provider: local, role: replica}\n"
	link    = "      - {to: istanbul, mode: logical, databases: [orders]}\n"
	links   = link + "      - {to: izmir, mode: logical, databases: [orders]}\n"
)

// TestStory is the main job: two regions made, a row written in one and read in the other, a change, a removal that leaves nothing.
func TestStory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	started := time.Now()
	v := m.done(orders("orders"))
	t.Logf("from submission to the verified link: %s", time.Since(started).Round(time.Millisecond))
	if len(v.Links) != 1 || v.Links[0].Phase != "verified" || v.Links[0].LagMS <= 0 {
		t.Errorf("links = %+v, want one that is verified, with a lag", v.Links)
	}
	m.query("orders", "ankara", "create table parcels (id int primary key, town text)")
	again := m.done(orders("orders"))
	if again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	m.query("orders", "ankara", "insert into parcels values (1, 'Ankara')")
	s.eventually("the row arrives", func() error {
		got, err := m.tryQuery("orders", "istanbul", "select town from parcels where id = 1")
		if err == nil && got != "Ankara" {
			err = errNotYet
		}
		return err
	})

	changed := m.done(orders("orders", `max_connections: "50"`, `max_connections: "60"`))
	if !changed.HasChanges {
		t.Error("a changed parameter shows no change")
	}
	for _, region := range []string{"ankara", "istanbul"} {
		if got := m.query("orders", region, "show max_connections"); got != "60" {
			t.Errorf("max_connections in %s = %s, want 60", region, got)
		}
	}
	gone := m.destroy("orders")
	if gone.Phase != stacks.PhaseDone {
		t.Errorf("destroy is %s", gone.Phase)
	}
	if log := m.runLog(gone.ID); !strings.Contains(log, "Destruction complete") {
		t.Errorf("terraform's own words are not in the log of the destroy run:\n%s", log)
	}
	m.nothingLeft()
}

// TestRegionAddedAndRemoved adds a third region to two that hold data, then removes the second: its link goes first, and nothing of
// either is left at the source.
func TestRegionAddedAndRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	m.done(orders("orders"))
	m.query("orders", "ankara", "create table parcels (id int primary key)")
	m.query("orders", "ankara", "insert into parcels select generate_series(1, 1000)")

	v := m.done(orders("orders", replica, third, link, links))
	if len(v.Links) != 2 {
		t.Fatalf("links = %+v, want two", v.Links)
	}
	if got := m.query("orders", "izmir", "select count(*) from parcels"); got != "1000" {
		t.Errorf("rows in izmir = %s, want the 1000 that were there before it", got)
	}
	m.wantSlots("ankara", 2)

	gone := m.submit(orders("orders", replica, "    - {name: izmir, provider: local, role: replica}\n", link, "      - {to: izmir, mode: logical, databases: [orders]}\n"))
	gone = m.wait(gone.ID)
	if gone.Phase != stacks.PhaseAwaiting || gone.NeedsApproval == "" {
		t.Fatalf("the removal of a region is %s (needs %q), want it to await a yes in spite of --yes\n%s", gone.Phase, gone.NeedsApproval, m.runLog(gone.ID))
	}
	m.approve(gone)
	if gone = m.wait(gone.ID); gone.Phase != stacks.PhaseDone {
		t.Fatalf("removal is %s: %s\n%s", gone.Phase, gone.Message, m.runLog(gone.ID))
	}
	m.wantSlots("ankara", 1)
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run, want 2", n)
	}
	m.destroy("orders")
	m.nothingLeft()
}

// TestTwoDatabasesAndASecondLife runs two databases at once, and makes a second database of a name whose first is gone.
func TestTwoDatabasesAndASecondLife(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	a, b := m.submit(orders("orders")), m.submit(orders("bills"))
	for _, run := range []string{a.ID, b.ID} {
		if v := m.wait(run); v.Phase != stacks.PhaseDone {
			t.Fatalf("run %s is %s: %s\n%s", run, v.Phase, v.Message, m.runLog(run))
		}
	}
	m.query("orders", "ankara", "create table parcels (id int primary key)")
	first, err := m.Database(t.Context(), stacks.DefaultNamespace, "orders")
	if err != nil {
		t.Fatal(err)
	}
	m.destroy("orders")
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run after one of two databases is gone, want 2", n)
	}
	m.done(orders("orders"))
	second, err := m.Database(t.Context(), stacks.DefaultNamespace, "orders")
	if err != nil {
		t.Fatal(err)
	}
	if first.Incarnation == second.Incarnation {
		t.Errorf("both lives have incarnation %s", first.Incarnation)
	}
	if _, err := m.tryQuery("orders", "ankara", "select 1 from parcels"); err == nil {
		t.Error("the second life has a table of the first")
	}
	m.destroy("orders")
	m.destroy("bills")
	m.nothingLeft()
}

// TestSubmittedTwice submits one spec many times at once: one database, each run ends, and the last says that nothing changes.
func TestSubmittedTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	var runs []string
	for range 5 {
		runs = append(runs, m.submit(orders("orders")).ID)
	}
	ends := map[stacks.Phase]int{}
	for _, run := range runs {
		ends[m.wait(run).Phase]++
	}
	if ends[stacks.PhaseDone] == 0 || ends[stacks.PhaseDone]+ends[stacks.PhaseSuperseded] != len(runs) {
		t.Errorf("ends = %v, want done and superseded only", ends)
	}
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run, want 2", n)
	}
	m.destroy("orders")
	m.nothingLeft()
}
