package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/store/storetest"
	"meridian/persistence/temporal"
	"meridian/persistence/temporal/astratest"
	"meridian/persistence/temporal/tlstest"
	"meridian/stacks"
)

var storeAway = flag.Duration("away", 3*time.Second, "how long the stories take Temporal's store away")

// footing is where a story finds Temporal's state: the settings' section, and how it goes away and comes back, where it does.
type footing struct {
	settings string
	down, up func()
}

// TestStoryOnEachStore is the main job with Temporal on each store but SQLite (TestStory), told by a real server: two regions made, a row written in one
// and read in the other, a change while the store is away, a check for drift, a removal that leaves nothing, a stop while the store is away. Plain Cassandra
// and Astra's look-alike share a node, so they come one after the other: the limits bind the role of Astra alone.
func TestStoryOnEachStore(t *testing.T) {
	t.Parallel()
	ledgerFile()
	node := sync.OnceValue(func() *astratest.Lookalike { return astratest.Start(t) })
	for _, story := range []struct {
		name    string
		footing func(s *site) footing
	}{
		{"postgres", func(s *site) footing {
			db := storetest.Start(s.t)
			return footing{"  store: postgres\n  postgres:\n" + s.postgresSettings(db.URL, "    "), db.Down, db.Up}
		}},
		{"cassandra, lists in postgres", func(s *site) footing {
			look, db := node(), storetest.Start(s.t)
			return footing{fmt.Sprintf("  store: cassandra\n  shards: 4\n  cassandra:\n    hosts: [%s]\n    keyspace: plain\n    user: %s\n    password: {file: %s}\n  visibility:\n    postgres:\n%s",
				look.Node.Address, astratest.Superuser, s.keep("superuser", astratest.Superuser), s.postgresSettings(db.URL, "      ")), look.Node.Kill, look.Node.Up}
		}},
		{"astra, lists in sqlite", func(s *site) footing {
			look := node()
			return footing{fmt.Sprintf("  store: astra\n  shards: 4\n  astra: {bundle: %s, token: {file: %s}, keyspace: temporal}\n", look.Bundle, s.keep("token", astratest.Token)),
				look.Node.Kill, look.Node.Up}
		}},
		{"external", func(s *site) footing {
			host, err := temporal.Start(s.t.Context(), temporal.Options{Namespace: "theirs"})
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(host.Stop)
			ca := tlstest.New(s.t)
			cert, key := ca.Issue("meridian.test")
			return footing{settings: fmt.Sprintf("  external:\n    address: %s\n    namespace: theirs\n    apiKey: {file: %s}\n    tls: {ca: %s, cert: %s, key: %s, serverName: frontend.test}\n",
				tlstest.Front(s.t, host.FrontendAddress(), ca.Mutual("frontend.test")), s.keep("key", host.Key()), ca.CA, cert, key)}
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			s := newSite(t)
			s.patience = 2 * patience
			on := story.footing(s)
			tellStory(s.serve(slowly, s.configured("temporal:\n"+on.settings)), s.look(), on)
		})
	}
}

// keep writes a secret into a file beside the site, and returns its path.
func (s *site) keep(name, secret string) string {
	s.t.Helper()
	path := filepath.Join(s.aside(), name)
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// apply submits a spec to the server with a yes and wants its run done; while it applies, meanwhile happens.
func (srv *server) apply(m *meridian, spec string, meanwhile func()) orchestrator.RunView {
	srv.site.t.Helper()
	res, err := srv.Submit(srv.site.t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Yes: true, Actor: "test"})
	if err != nil {
		srv.site.t.Fatal(err)
	}
	run := res.Runs[0].ID
	if meanwhile != nil {
		srv.site.eventually("the run applies", func() error {
			r, err := m.catalog.Run(srv.site.t.Context(), run)
			if err == nil && r.Phase != stacks.PhaseApplying {
				err = errNotYet
			}
			return err
		})
		meanwhile()
	}
	return srv.wantDone(run)
}

// outage takes the store of Temporal away for a while, in which the server lives.
func (srv *server) outage(on footing) func() {
	if on.down == nil {
		return nil
	}
	return func() {
		on.down()
		select {
		case <-time.After(*storeAway):
		case <-srv.ended:
			srv.site.t.Fatalf("the server ended while Temporal's store was away: %v\n%s", srv.err, srv.logTail())
		}
		on.up()
	}
}

// tellStory tells the main job to a server, whose rows m reads.
func tellStory(srv *server, m *meridian, on footing) {
	s := srv.site
	t, ctx := s.t, s.t.Context()
	t.Helper()
	if v := srv.apply(m, orders("orders"), nil); len(v.Links) != 1 || v.Links[0].Phase != "verified" {
		t.Errorf("links = %+v, want one that is verified", v.Links)
	}
	m.query("orders", "ankara", "create table parcels (id int primary key, town text)")
	srv.apply(m, orders("orders"), nil)
	m.query("orders", "ankara", "insert into parcels values (1, 'Ankara')")
	s.eventually("the row arrives", func() error {
		got, err := m.tryQuery("orders", "istanbul", "select town from parcels where id = 1")
		if err == nil && got != "Ankara" {
			err = errNotYet
		}
		return err
	})

	if changed := srv.apply(m, orders("orders", `max_connections: "50"`, `max_connections: "60"`), srv.outage(on)); !changed.HasChanges {
		t.Error("a changed parameter shows no change")
	}
	for _, region := range []string{"ankara", "istanbul"} {
		if got := m.query("orders", region, "show max_connections"); got != "60" {
			t.Errorf("max_connections in %s = %s, want 60", region, got)
		}
	}
	check, err := srv.CheckDrift(ctx, stacks.DefaultNamespace, "orders", "test")
	if err != nil {
		t.Fatal(err)
	}
	m.wantDrift(m.driftEnded("orders", check.ID))

	gone, err := srv.Destroy(ctx, stacks.DefaultNamespace, "orders", "test")
	if err != nil {
		t.Fatal(err)
	}
	gone = srv.wait(gone.ID)
	if gone.Phase != stacks.PhaseAwaiting {
		t.Fatalf("destroy is %s, not awaiting: %s\n%s", gone.Phase, gone.Message, m.runLog(gone.ID))
	}
	if _, err := srv.Approve(ctx, gone.ID, gone.PlanDigest, "test"); err != nil {
		t.Fatal(err)
	}
	srv.wantDone(gone.ID)
	if on.down != nil {
		on.down()
		defer on.up()
	}
	began := time.Now()
	srv.stop()
	took := time.Since(began)
	t.Logf("it took %s to stop, its store away: %v", took.Round(time.Millisecond), on.down != nil)
	if took > 10*time.Second { // five on a quiet machine
		t.Error("that is too long")
	}
	m.nothingLeft()
}
