package e2e

import (
	"sync"
	"testing"
)

// awsStories are the stories told on an emulated AWS.
var awsStories = map[string]func(*testing.T){
	"LogicalLinks":      awsLogicalLinks,
	"Replica":           awsReplica,
	"MySQL":             awsMySQL,
	"CreatedTwice":      awsTwice,
	"Drift":             awsDrift,
	"Import":            awsImport,
	"KilledInTheMiddle": awsKilledInTheMiddle,
	"Global":            awsGlobal,
	"AuroraKilled":      awsAuroraKilled,
	"AuroraImport":      awsAuroraImport,
	"Module":            awsModule,
}

// TestAWS tells the stories of AWS all at once. They mostly wait for the provider hashicorp/aws, so that together they take the place of one
// test among those that run in parallel; -run TestAWS/Replica tells one.
func TestAWS(t *testing.T) {
	t.Parallel()
	var stories sync.WaitGroup
	for name, story := range awsStories {
		stories.Go(func() { t.Run(name, story) })
	}
	stories.Wait()
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
