package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/orchestrator"
	"meridian/persistence/store/storetest"
	"meridian/persistence/temporal/cassandratest"
	"meridian/stacks"
)

// configured gives a server a settings file.
func (s *site) configured(text string) func(*exec.Cmd) {
	s.t.Helper()
	path := filepath.Join(s.aside(), fmt.Sprintf("settings-%d.yaml", len(text)))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "MERIDIAN_CONFIG="+path) }
}

// postgresSettings are the lines that name a database, whose password is in a file.
func (s *site) postgresSettings(where, indent string) string {
	s.t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		s.t.Fatal(err)
	}
	password, _ := u.User.Password()
	u.User = url.User(u.User.Username())
	path := filepath.Join(s.aside(), "password")
	if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("%surl: %s\n%spassword: {file: %s}\n", indent, u, indent, path)
}

// TestMovedToAnEmptyTemporal is the main job on one Temporal store after the other: a run that began on SQLite and was cut short in its
// apply is finished on an empty PostgreSQL; the database is destroyed on an empty
// Cassandra with its lists in PostgreSQL. The catalog brings everything, nothing is done twice, and no password is in clear.
func TestMovedToAnEmptyTemporal(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	srv := s.serve(slowly)
	m := s.look()
	ctx := t.Context()
	res, err := srv.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: orders("orders")}}, Yes: true, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	run := res.Runs[0].ID
	s.eventually("the run applies", func() error {
		r, err := m.catalog.Run(ctx, run)
		if err == nil && r.Phase != stacks.PhaseApplying {
			err = errNotYet
		}
		return err
	})
	srv.kill()

	db := storetest.Start(t)
	onPostgres := s.configured("temporal:\n  store: postgres\n  postgres:\n" + s.postgresSettings(db.URL, "    "))
	srv = s.serve(slowly, onPostgres)
	if v := srv.wantDone(run); len(v.Links) != 1 || v.Links[0].Phase != "verified" {
		t.Errorf("on PostgreSQL: links = %+v, want one that is verified", v.Links)
	}
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})
	wantNoPassword(t, s)
	srv.kill()

	node := cassandratest.Start(t, "dc1", true, nil)
	onCassandra := s.configured(fmt.Sprintf("temporal:\n  store: cassandra\n  shards: 4\n  cassandra:\n    hosts: [%s]\n  visibility:\n    postgres:\n%s",
		node.Address, s.postgresSettings(db.URL, "      ")))
	srv = s.serve(slowly, onCassandra)
	v, err := srv.Destroy(ctx, stacks.DefaultNamespace, "orders", "test")
	if err != nil {
		t.Fatal(err)
	}
	v = s.rest(srv, v.ID)
	if _, err := srv.Approve(ctx, v.ID, v.PlanDigest, "test"); err != nil {
		t.Fatal(err)
	}
	srv.wantDone(v.ID)
	m.atRest()
	log, err := os.ReadFile(srv.log)
	if err != nil || strings.Contains(string(log), storetest.Password) {
		t.Errorf("the password is in the server's log (%v)", err)
	}
}
