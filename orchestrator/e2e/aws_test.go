package e2e

import (
	"testing"

	"golang.org/x/sync/errgroup"
)

// awsStories are the stories told on an emulated AWS, the longest first.
var awsStories = []struct {
	name string
	tell func(*testing.T)
}{
	{"Global", awsGlobal},
	{"Drift", awsDrift},
	{"MySQL", awsMySQL},
	{"Replica", awsReplica},
	{"CreatedTwice", awsTwice},
	{"Import", awsImport},
	{"KilledInTheMiddle", awsKilledInTheMiddle},
	{"LogicalLinks", awsLogicalLinks},
	{"AuroraKilled", awsAuroraKilled},
	{"Module", awsModule},
	{"AuroraImport", awsAuroraImport},
}

// awsAtOnce is how many stories of AWS are told at once: each has a server, databases and a provider of half a gigabyte, and mostly waits.
const awsAtOnce = 5

// TestAWS tells the stories of AWS, some of them at once. They mostly wait for the provider hashicorp/aws, so that together they take the place
// of one test among those that run in parallel; -run TestAWS/Replica tells one.
func TestAWS(t *testing.T) {
	t.Parallel()
	var stories errgroup.Group
	stories.SetLimit(awsAtOnce)
	for _, s := range awsStories {
		stories.Go(func() error { t.Run(s.name, s.tell); return nil })
	}
	_ = stories.Wait() // each has told its own failure
}

// awsLogicalLinks links a database in AWS with another in AWS and one on this machine: rows made before and after the links arrive.
func awsLogicalLinks(t *testing.T) {
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
