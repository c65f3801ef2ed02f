package e2e

import (
	"testing"
	"time"

	"meridian/stacks"
)

// TestStory is the main job: two regions made, a row written in one and read in the other, a change, a removal that leaves nothing.
func TestStory(t *testing.T) {
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
	if v := m.destroy("orders"); v.Phase != stacks.PhaseDone {
		t.Errorf("destroy is %s", v.Phase)
	}
	m.nothingLeft()
}
