package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian/orchestrator"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

// tools are the paths of pg_dump and pg_restore of a server's version.
func tools(t *testing.T, url string) (dump, restore string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var number string
	if err := conn.QueryRow(t.Context(), "SHOW server_version_num").Scan(&number); err != nil {
		t.Fatal(err)
	}
	version, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	if dump, err = pgserver.PgDump(version / 10000); err != nil {
		t.Fatal(err)
	}
	restore = filepath.Join(filepath.Dir(dump), "pg_restore")
	if _, err := exec.LookPath(restore); err != nil {
		t.Skipf("no pg_restore beside %s: %v", dump, err)
	}
	return dump, restore
}

// run runs a program that must end well.
func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// cli runs meridian on the site's data directory and store.
func (s *site) cli(args ...string) (code int, said string) {
	s.t.Helper()
	cmd := command(append(args, "--data", s.data)...)
	cmd.Env = append(cmd.Env, store.Env+"="+s.db)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

const oneRegion = `apiVersion: meridian/v1
kind: Database
metadata: {name: NAME}
spec:
  engine: {name: postgres}
  regions: [{name: ankara, provider: local, role: primary}]
  deletion: {protect: false}
`

// TestRestoredInPlace puts an older dump of the store back with pg_restore while a runner works for something that the dump does not know. It is not
// marked as restored while a server or that runner lives; what the runner still sends is refused; then the epoch is raised, nothing is applied until
// fsck's findings are accepted, and nothing that was there is made again, changed or removed.
func TestRestoredInPlace(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	db := storetest.Start(t)
	s.db = db.URL
	dump, restore := tools(t, db.URL)
	slow := func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, pgserver.EnvDelay+"=6s") }
	srv := s.serve(slow)
	submit := func(name string) orchestrator.RunView {
		t.Helper()
		res, err := srv.Submit(t.Context(), orchestrator.SubmitRequest{
			Documents: []orchestrator.Document{{File: "spec.yaml", Text: strings.ReplaceAll(oneRegion, "NAME", name)}}, Yes: true, Actor: "test",
		})
		if err != nil {
			t.Fatalf("submit: %+v", err)
		}
		return res.Runs[0]
	}
	srv.wantDone(submit("kept").ID)
	file := filepath.Join(s.aside(), "store.dump")
	run(t, dump, "--format=custom", "--file", file, db.URL)
	submit("late")
	s.inFlight("create", 1)
	if code, said := s.cli("restore", "--in-place", "--yes"); code == 0 {
		t.Errorf("marked while the server holds the data directory: %s", said)
	}
	srv.kill()
	run(t, restore, "--clean", "--if-exists", "--exit-on-error", "--dbname", db.URL, file)
	if code, said := s.cli("restore", "--in-place", "--yes"); code != 3 || !strings.Contains(said, "a runner or a terraform holds") {
		t.Fatalf("marked while a runner lives: %d, %s", code, said)
	}
	m := s.look()
	m.atRest()
	if code, said := s.cli("restore", "--in-place", "--yes"); code != 0 || !strings.Contains(said, "the epoch is 2") {
		t.Fatalf("it is not marked: %d, %s", code, said)
	}
	if spools, err := filepath.Glob(filepath.Join(s.data, "before-restore-*", "spool", "*", "late-*", "ankara", "*")); err != nil || len(spools) == 0 {
		t.Errorf("what the runner could not ship is not kept: %v, %v", spools, err)
	}
	wantNoPassword(t, s)

	srv = s.serve()
	before := m.servers()
	_, err := srv.Submit(t.Context(), orchestrator.SubmitRequest{
		Documents: []orchestrator.Document{{File: "spec.yaml", Text: strings.ReplaceAll(oneRegion, "NAME", "kept")}}, Yes: true, Actor: "test",
	})
	wantProblem(t, err, orchestrator.CodeRefused)
	v, err := srv.Fsck(t.Context(), orchestrator.FsckRequest{Repair: true, Actor: "test"})
	if err != nil || v.ReadOnly == "" || v.Agree() {
		t.Fatalf("fsck: %+v, %v", v, err)
	}
	for _, f := range v.Findings {
		if f.Repaired == "" && (f.Check != orchestrator.CheckWorldKnown || !strings.Contains(f.Subject+f.What, "late")) {
			t.Errorf("it finds %+v", f)
		}
	}
	if v, err = srv.Fsck(t.Context(), orchestrator.FsckRequest{Accept: v.Digest, Actor: "test"}); err != nil || !v.Ended {
		t.Fatalf("accepted: %+v, %v", v, err)
	}
	if v := srv.wantDone(submit("kept").ID); v.HasChanges {
		t.Errorf("what was kept is changed: %+v", v.Changes)
	}
	if after := m.servers(); len(before) != 2 || strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("servers were %v, are %v", before, after)
	}
	s.finishedOnce()
	for _, h := range s.heads(m) {
		if h.Stack.Name != "kept" || h.Fence.Epoch != 2 && h.Fence.Number > 2 {
			t.Errorf("head %+v", h)
		}
	}
	if dbs, err := srv.Databases(t.Context(), stacks.DefaultNamespace); err != nil || len(dbs) != 1 {
		t.Errorf("databases %+v, %v", dbs, err)
	}
	if text := []byte(srv.logTail()); bytes.Contains(text, []byte(storetest.Password)) {
		t.Error("the store's password is in the server's log")
	}
}
