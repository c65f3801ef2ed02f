package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// outage is longer than any transaction waits for a store that is away (10 s), and than any attempt of a step that needs rows (15 s), one after
// the other: whoever waits has given up and begun again when it ends.
const outage = 45 * time.Second

// TestStoreInPostgres is the main job with the rows in PostgreSQL: the server is killed in the middle of an apply, and the store goes
// away in the middle of it for longer than anybody waits. terraform ends meanwhile; its runner tries for a while, then leaves all in the spool, which
// the head still names; who adopts it ships when the store is back. The run goes on by itself, nothing is lost or made twice, and the password is nowhere in clear.
func TestStoreInPostgres(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	db := storetest.Start(t)
	s.db = db.URL
	slowly := func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, pgserver.EnvDelay+"=30s") } // a server starts meanwhile
	srv := s.serve(slowly)
	if _, err := os.Stat(filepath.Join(s.data, store.FileName)); err == nil {
		t.Error("there is a store in the data directory too")
	}
	m := s.look()
	ctx := t.Context()
	res, err := srv.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: orders("orders")}}, Yes: true, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	run := res.Runs[0]
	s.eventually("the run applies", func() error {
		r, err := m.catalog.Run(ctx, run.ID)
		if err == nil && r.Phase != stacks.PhaseApplying {
			err = errNotYet
		}
		return err
	})
	s.inFlight("create", 2)
	wantNoPassword(t, s)
	srv.kill()
	srv = s.serve(slowly)
	db.Down()
	down := time.Now()
	s.eventually("a runner notices", func() error {
		logs, err := filepath.Glob(filepath.Join(s.data, "logs", "*.log"))
		for _, log := range logs {
			if text, err := os.ReadFile(log); err == nil && bytes.Contains(text, []byte("the store cannot be reached")) {
				return nil
			}
		}
		return errors.Join(err, errNotYet)
	})
	wantNoPassword(t, s)
	s.eventually("the outage is over", func() error {
		if time.Since(down) < outage {
			return errNotYet
		}
		return nil
	})
	if left := s.terraforms("apply"); len(left) > 0 {
		t.Errorf("terraform did not end while the store was away: %+v", left)
	}
	if kept, err := (terraform.Site{Root: s.data}).Spools(); err != nil || len(kept) != 2 { // their runners may have left: who adopts them ships
		t.Errorf("while the store is away the spools %q are kept (%v), want 2", kept, err)
	}
	db.Up()
	if v := srv.wantDone(run.ID); len(v.Links) != 1 || v.Links[0].Phase != "verified" {
		t.Errorf("links = %+v, want one that is verified", v.Links)
	}
	m.atRest()
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})
	m.wantFences(2) // one plan, one apply
	log, err := os.ReadFile(srv.log)
	if err != nil || bytes.Contains(log, []byte(storetest.Password)) {
		t.Errorf("the store's password is in the server's log (%v)", err)
	}
}

// wantNoPassword looks for the store's password in the arguments of every process and in the site's logs.
func wantNoPassword(t *testing.T, s *site) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.data, s.aside()} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && (filepath.Ext(path) == ".log" || filepath.Ext(path) == ".json") {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(storetest.Password)) {
			t.Errorf("the store's password is in %s", strconv.Quote(f))
		}
	}
}
