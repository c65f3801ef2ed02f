package e2e

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/temporal"
	"meridian/stacks"
)

// temporalFiles lists Temporal's database and what SQLite keeps beside it.
func (s *site) temporalFiles() []string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.data, temporal.FileName+"*"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("files of Temporal: %v %v", files, err)
	}
	return files
}

// loseTemporal removes Temporal's database.
func (s *site) loseTemporal() {
	s.t.Helper()
	for _, file := range s.temporalFiles() {
		if err := os.Remove(file); err != nil {
			s.t.Fatal(err)
		}
	}
}

// copyTemporal keeps a copy of Temporal's database as it is now; restore puts it back in place of the one that is there then.
func (s *site) copyTemporal() (restore func()) {
	s.t.Helper()
	kept := map[string][]byte{}
	for _, file := range s.temporalFiles() {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		kept[file] = text
	}
	return func() {
		s.t.Helper()
		s.loseTemporal()
		for file, text := range kept {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// TestTemporalLost loses Temporal's file, or finds an older one in its place, again and again in the middle of a run: rows bring
// everything back, nothing is done twice, and no workflow is left over.
func TestTemporalLost(t *testing.T) {
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
	srv.killIn(m, 0, stacks.PhasePlanning)
	older := s.copyTemporal()
	s.loseTemporal()
	srv = s.serve(slowly)

	s.eventually("both regions are being made", func() error {
		if n := len(s.ledger()); n < 2 {
			return errNotYet
		}
		return nil
	})
	srv.killIn(m, 0, stacks.PhaseApplying)
	s.loseTemporal()
	srv = s.serve()
	srv.killIn(m, 0, stacks.PhaseLinking)
	older()
	srv = s.serve()
	srv.wantDone(run)
	m.atRest()
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})
	m.wantFences(2)
	m.wantSlots("ankara", 1)
	v, err := srv.Destroy(ctx, stacks.DefaultNamespace, "orders", "test")
	if err != nil {
		t.Fatal(err)
	}
	v = srv.wait(v.ID)
	go func() { _, _ = srv.Approve(ctx, v.ID, v.PlanDigest, "test") }()
	srv.killIn(m, 1, stacks.PhaseApplying)
	s.loseTemporal()
	srv = s.serve()
	srv.wantDone(v.ID)
	m.nothingLeft()
	want := m.world("orders")
	srv.stop()

	// An old file in which the first run still plans a database that is gone by now: its workflow finds nothing to do, and ends.
	older()
	live := s.start()
	live.histories() // there are some, and all of them close
	live.nothingLeft()
	if d := difference(want, live.world("orders")); d != "" {
		t.Errorf("the old workflow did something:\n%s", d)
	}
	live.close()
}

// TestTemporalLostWhileAwaiting loses Temporal's file while a run waits for a yes, and finds that old one in its place once the run is done:
// the plan that was shown is the one that is approved and applied, once.
func TestTemporalLostWhileAwaiting(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	run := s.look().submitWithout(orders("orders"))
	m := s.start()
	shown := m.wait(run.ID)
	if shown.Phase != stacks.PhaseAwaiting {
		t.Fatalf("run is %s, want it to await a yes: %s", shown.Phase, shown.Message)
	}
	m.close()
	older := s.copyTemporal()
	s.loseTemporal()

	m = s.start()
	m.atRest()
	if v, err := m.Run(t.Context(), run.ID); err != nil || v.Phase != stacks.PhaseAwaiting || v.PlanDigest != shown.PlanDigest {
		t.Fatalf("run is %s with plan %q, %v; want it to await a yes to %q", v.Phase, v.PlanDigest, err, shown.PlanDigest)
	}
	m.approve(shown)
	s.wantDone(m, run.ID)
	m.close()
	older()

	m = s.start()
	m.atRest()
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})
	m.wantFences(2)
	m.destroy("orders")
	m.nothingLeft()
	m.close()
}

// TestSubmittedWithoutTemporal submits to a Meridian whose Temporal is away: the row is there, and moves once Temporal is.
func TestSubmittedWithoutTemporal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	run := s.look().submitWithout(orders("orders"))
	if run.Phase != stacks.PhasePending {
		t.Errorf("run is %s, want pending", run.Phase)
	}
	m := s.start()
	if v := m.wait(run.ID); v.Phase != stacks.PhaseAwaiting || len(v.PlanDigest) != 64 {
		t.Errorf("run is %s with plan %q, want it to await a yes: %s", v.Phase, v.PlanDigest, v.Message)
	}
	if _, err := m.Cancel(t.Context(), run.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if v := m.wait(run.ID); v.Phase != stacks.PhaseCancelled {
		t.Errorf("cancelled run is %s", v.Phase)
	}
	m.close()
}

// TestServerRefusesToStart starts servers that cannot work: each says what is wrong and what to do, ends with exit code 1, and has made
// and changed nothing.
func TestServerRefusesToStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	srv := s.serve()
	path := func(name string) string { return filepath.Join(s.data, name) }

	s.wantRefusal("a data directory that is held", "127.0.0.1:0", fmt.Sprintf("pid %d", srv.cmd.Process.Pid), srv.url, "--data")
	if _, err := srv.Health(t.Context()); err != nil {
		t.Errorf("the server that holds the directory: %v", err)
	}
	srv.stop()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	refused := func(name, listen string, said ...string) {
		t.Helper()
		s.untouched(func() { s.wantRefusal(name, listen, said...) })
	}
	refused("a taken port", taken.Addr().String(), taken.Addr().String()+" is taken", "--listen")

	aside := func(name string) (back func()) {
		t.Helper()
		if err := os.Rename(path(name), path(name)+".aside"); err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := os.Rename(path(name)+".aside", path(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	back := aside(keyring.FileName)
	refused("a lost keyring", "127.0.0.1:0", "the key is lost", path(keyring.FileName), "backup")
	if _, err := os.Stat(path(keyring.FileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a lost keyring was made anew: %v", err)
	}
	if _, err := keyring.Open(keyring.Source{Dir: s.data}, true); err != nil { // another installation's
		t.Fatal(err)
	}
	refused("another installation's keyring", "127.0.0.1:0", "the key is lost")
	back()

	s.edit("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	refused("a store of a newer version", "127.0.0.1:0", "version 9999", "newer meridian")
	s.edit("DELETE FROM goose_db_version WHERE version_id = 9999")

	file := path(store.FileName)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a store that is none", "127.0.0.1:0", file, "backup")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}

	// With everything back in its place it starts as if nothing had been.
	srv = s.serve()
	if _, err := srv.Databases(t.Context(), ""); err != nil {
		t.Errorf("the server that is whole again: %v", err)
	}
	srv.stop()
}

// edit changes the store behind Meridian's back, while nobody has it open.
func (s *site) edit(statement string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.data, store.FileName))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := db.Exec(statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	if err := db.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// untouched wants f to leave the data directory as it was.
func (s *site) untouched(f func()) {
	s.t.Helper()
	before := s.listing()
	f()
	if after := s.listing(); !slices.Equal(before, after) {
		s.t.Errorf("the data directory was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// wantRefusal starts a server that must not start.
func (s *site) wantRefusal(name, listen string, said ...string) {
	s.t.Helper()
	cmd := command("server", "--data", s.data, "--listen", listen)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	guard := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	guard.Stop()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		s.t.Errorf("%s: the server ended with %v, want exit code 1\n%s", name, err, stderr.String())
	}
	if stdout.Len() > 0 {
		s.t.Errorf("%s: the server says that it is ready: %s", name, stdout.String())
	}
	for _, want := range append(said, "error:") {
		if !strings.Contains(stderr.String(), want) {
			s.t.Errorf("%s: the server says nothing of %q:\n%s", name, want, stderr.String())
		}
	}
	for _, no := range []string{"panic", "goroutine ", "fatal"} {
		if strings.Contains(stderr.String(), no) {
			s.t.Errorf("%s: the server ended deep inside:\n%s", name, stderr.String())
		}
	}
}

// listing is what is in the data directory, by name and mode, without what SQLite keeps beside an open file.
func (s *site) listing() []string {
	s.t.Helper()
	var out []string
	err := filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm") {
			return nil //nolint:nilerr // a file that vanishes is not there
		}
		info, err := d.Info()
		if err == nil {
			out = append(out, info.Mode().String()+" "+path)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}
