package e2e

import "testing"

// TestAWSLogicalLinks links a database in AWS with another in AWS and one on this machine: rows made before and after the links arrive.
func TestAWSLogicalLinks(t *testing.T) {
	t.Parallel()
	w := newAWS(t)
	m := w.m
	v := m.done(w.spec(w.region("here", frankfurt, "primary")+w.region("there", virginia, "replica")+
		"    - {name: home, provider: local, role: replica}\n", "{mode: logical, databases: [orders]}"))
	if len(v.Links) != 2 {
		t.Fatalf("links = %+v, want two", v.Links)
	}
	for _, l := range v.Links {
		if l.Phase != "verified" {
			t.Errorf("link %+v is not verified", l)
		}
	}
	for _, region := range []string{"here", "there", "home"} {
		m.query("orders", region, "create table parcels (id int primary key, town text)")
	}
	if again := m.done(w.spec(w.region("here", frankfurt, "primary")+w.region("there", virginia, "replica")+
		"    - {name: home, provider: local, role: replica}\n", "{mode: logical, databases: [orders]}")); again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	m.query("orders", "here", "insert into parcels values (1, 'Frankfurt')")
	for _, region := range []string{"there", "home"} {
		w.site.eventually("the row arrives in "+region, func() error {
			got, err := m.tryQuery("orders", region, "select town from parcels where id = 1")
			if err == nil && got != "Frankfurt" {
				err = errNotYet
			}
			return err
		})
	}
}
