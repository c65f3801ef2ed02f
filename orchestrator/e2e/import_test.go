package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/orchestrator"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

const legacyPassword = "known-to-people-only"

// legacy makes a server as somebody else's Terraform would have, with our plugin, and puts a row in it.
func (s *site) legacy(name, owner string, octet int) (pgserver.Spec, pgserver.Info) {
	s.t.Helper()
	found, err := pgserver.Find(s.t.Context())
	if err != nil || len(found) == 0 {
		s.t.Fatalf("no PostgreSQL: %v", err)
	}
	major, _, _ := strings.Cut(found[0].Version, ".")
	n := time.Now().UnixNano()
	spec := pgserver.Spec{
		Home: filepath.Join(s.data, "legacy", name), Name: "legacy " + name, Owner: owner, Address: fmt.Sprintf("127.%d.%d.%d", octet, n>>8%254+1, n%254+1), Port: 5433,
		EngineVersion: major, PasswordVersion: 3,
		Settings: map[string]string{
			"wal_level": "logical", "max_wal_senders": "20", "max_replication_slots": "20", "max_worker_processes": "16",
			"max_logical_replication_workers": "12", "wal_retrieve_retry_interval": "1s", "work_mem": "7MB",
		},
	}
	info, err := pgserver.Ensure(s.t.Context(), spec, legacyPassword)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = pgserver.Destroy(context.Background(), spec.Home, spec.Owner) })
	return spec, info
}

func legacySpec(major, workMem string) string {
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: orders}
spec:
  engine: {name: postgres, version: %q, parameters: {work_mem: %q}}
  regions: [{name: ankara, provider: local, role: primary}]
  deletion: {protect: false}
`, major, workMem)
}

// TestImport takes a running server of somebody else under control, and changes nothing of it.
func TestImport(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	m := s.start()
	legacy, before := s.legacy("orders", "shop/terraform", 71)
	imports := func(spec string, change bool, from orchestrator.ImportFrom) (orchestrator.RunView, error) {
		from.Region = "ankara"
		res, err := m.Import(t.Context(), orchestrator.ImportRequest{
			Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, From: []orchestrator.ImportFrom{from}, Change: change, Actor: "ada",
		})
		if err != nil {
			return orchestrator.RunView{}, err
		}
		return m.wait(res.Runs[0].ID), nil
	}
	same := legacySpec(legacy.EngineVersion, "7MB")
	for what, c := range map[string]struct {
		spec string
		from orchestrator.ImportFrom
		says string
	}{
		"a wrong password":     {same, orchestrator.ImportFrom{ID: legacy.Home, Password: "wrong-guess"}, "nobody can log in"},
		"no password":          {same, orchestrator.ImportFrom{ID: legacy.Home}, "needs the password"},
		"nothing there":        {same, orchestrator.ImportFrom{ID: filepath.Join(s.data, "nowhere"), Password: "x"}, "there is no server"},
		"nothing named":        {same, orchestrator.ImportFrom{Password: "x"}, "nothing, or both"},
		"a state of nothing":   {same, orchestrator.ImportFrom{State: `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{},"resources":[]}`, Password: "x"}, "has no localdb_postgres"},
		"what is inside of it": {strings.Replace(same, "  regions:", "  users: [{name: app}]\n  regions:", 1), orchestrator.ImportFrom{ID: legacy.Home, Password: legacyPassword}, "leaves what is inside"},
		"an unknown region":    {strings.Replace(same, "name: ankara", "name: izmir", 1), orchestrator.ImportFrom{ID: legacy.Home, Password: legacyPassword}, "no region"},
	} {
		_, err := imports(c.spec, false, c.from)
		var p *orchestrator.Problem
		if !errors.As(err, &p) || !strings.Contains(p.Title+": "+p.Detail, c.says) || p.Next == "" {
			t.Errorf("%s: %+v", what, err)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%+v", p), "wrong-guess") {
			t.Errorf("%s: the password is told: %+v", what, p)
		}
	}
	if dbs, err := m.Databases(t.Context(), "default"); err != nil || len(dbs) != 0 {
		t.Fatalf("refused imports left %+v, %v", dbs, err)
	}

	other, err := imports(legacySpec(legacy.EngineVersion, "9MB"), false, orchestrator.ImportFrom{ID: legacy.Home, Password: legacyPassword})
	if err != nil {
		t.Fatal(err)
	}
	if other.Phase != stacks.PhaseFailed || other.Reason != "ImportRefused" || len(other.Diagnostics) != 1 ||
		!strings.Contains(other.Diagnostics[0].Summary, `settings.work_mem ("7MB" becomes "9MB")`) || !strings.Contains(other.Diagnostics[0].Next, "--change") {
		t.Fatalf("where the spec says otherwise: %s %s\n%+v", other.Phase, other.Message, other.Diagnostics)
	}

	v, err := imports(same, false, orchestrator.ImportFrom{ID: legacy.HostPort(), Password: legacyPassword})
	if err != nil {
		t.Fatal(err)
	}
	if v.Phase != stacks.PhaseAwaiting || !strings.Contains(v.NeedsApproval, "takes module.database.localdb_postgres.this in ankara under control") {
		t.Fatalf("the import is %s (%s): %s\n%s", v.Phase, v.NeedsApproval, v.Message, m.runLog(v.ID))
	}
	for _, c := range v.Changes {
		if c.Type != "" && (!c.Importing || c.Action != stacks.ActionNoop) {
			t.Errorf("it would %s %s: %+v", c.Action, c.Address, c.Attributes)
		}
	}
	m.approve(v)
	s.wantDone(m, v.ID)
	after, err := pgserver.Inspect(t.Context(), legacy)
	if err != nil {
		t.Fatal(err)
	}
	if after.PID != before.PID || after.PasswordStamp != before.PasswordStamp || after.SystemIdentifier != before.SystemIdentifier || after.Has.Settings["work_mem"] != "7MB" {
		t.Errorf("the import changed something:\n%+v\n%+v", before, after)
	}
	if n := m.query("orders", "ankara", "select 1"); n != "1" {
		t.Errorf("it answers %q", n)
	}
	if view, err := m.Fsck(t.Context(), orchestrator.FsckRequest{}); err != nil || len(view.Findings) > 0 {
		t.Errorf("fsck finds %+v, %v", view.Findings, err)
	}
	if _, err := imports(same, false, orchestrator.ImportFrom{ID: legacy.Home, Password: legacyPassword}); err == nil || !strings.Contains(err.Error(), "is Meridian's already") {
		t.Errorf("a second import: %v", err)
	}
	if again := m.done(same); again.HasChanges {
		t.Errorf("the next apply changes %+v", again.Changes)
	}
	m.done(legacySpec(legacy.EngineVersion, "9MB"))
	if changed, err := pgserver.Inspect(t.Context(), legacy); err != nil || changed.Has.Settings["work_mem"] != "9MB" || changed.PasswordStamp != before.PasswordStamp {
		t.Errorf("an apply after it: %+v, %v", changed, err)
	}
	m.destroy("orders")
	if sight, err := pgserver.Look(t.Context(), legacy.Home, legacy.Owner); err != nil || sight.State != pgserver.StateAbsent {
		t.Errorf("after the destroy it is %+v, %v", sight, err)
	}
}

// TestImportOfAState finds the server in somebody's Terraform state, changes in place what it was allowed to, and refuses another
// Meridian's; a database whose import was given up leaves the server as it was.
func TestImportOfAState(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	m := s.start()
	legacy, before := s.legacy("orders", "shop/terraform", 72)
	theirs, _ := s.legacy("theirs", "0123456789abcdef/default/orders/k3m9x2pq/ankara", 73)
	state := func(home string) string {
		return fmt.Sprintf(`{"version":4,"terraform_version":"1.11.4","serial":9,"lineage":"theirs","outputs":{},"resources":[{"mode":"managed","type":"localdb_postgres","name":"shop",
			"provider":"provider[\"meridian.internal/meridian/localdb\"]","instances":[{"schema_version":0,"attributes":{"data_dir":%q,"owner":"shop/terraform"}}]}]}`, home)
	}
	request := func(home string, change bool) orchestrator.ImportRequest {
		return orchestrator.ImportRequest{
			Documents: []orchestrator.Document{{File: "spec.yaml", Text: legacySpec(legacy.EngineVersion, "9MB")}},
			From:      []orchestrator.ImportFrom{{Region: "ankara", State: state(home), Password: legacyPassword}}, Change: change, Actor: "ada",
		}
	}
	if _, err := m.Import(t.Context(), request(theirs.Home, true)); err == nil || !strings.Contains(fmt.Sprintf("%+v", err), "cannot be imported") {
		t.Errorf("the server of another Meridian: %v", err)
	}
	res, err := m.Import(t.Context(), request(legacy.Home, false))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0].Next, "terraform state rm 'localdb_postgres.shop'") {
		t.Errorf("warnings %+v", res.Warnings)
	}
	if v := m.wait(res.Runs[0].ID); v.Reason != "ImportRefused" {
		t.Fatalf("the import is %s: %s", v.Phase, v.Message)
	}
	m.destroy("orders")
	if now, err := pgserver.Inspect(t.Context(), legacy); err != nil || now.PID != before.PID {
		t.Fatalf("giving an import up touched the server: %+v, %v", now, err)
	}

	if res, err = m.Import(t.Context(), request(legacy.Home, true)); err != nil {
		t.Fatal(err)
	}
	v := m.wait(res.Runs[0].ID)
	if v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the import is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	m.approve(v)
	s.wantDone(m, v.ID)
	now, err := pgserver.Inspect(t.Context(), legacy)
	if err != nil || now.Has.Settings["work_mem"] != "9MB" || now.PasswordStamp != before.PasswordStamp || now.SystemIdentifier != before.SystemIdentifier {
		t.Errorf("after the change: %+v, %v", now, err)
	}
}
