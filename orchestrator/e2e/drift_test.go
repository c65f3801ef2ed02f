package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"meridian/orchestrator"
	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

// checkDrift asks for a check and waits for what it found.
func (m *meridian) checkDrift(name string) orchestrator.DriftCheckView {
	m.site.t.Helper()
	v, err := m.CheckDrift(context.Background(), stacks.DefaultNamespace, name, "test")
	if err != nil {
		m.site.t.Fatalf("check %s: %v", name, err)
	}
	return m.driftEnded(name, v.ID)
}

func (m *meridian) driftEnded(name, check string) (v orchestrator.DriftCheckView) {
	m.site.t.Helper()
	m.site.eventually("check "+check+" ends", func() (err error) {
		v, err = m.DriftCheck(context.Background(), stacks.DefaultNamespace, name, check)
		if err == nil && v.EndedAt == nil {
			err = errNotYet
		}
		return err
	})
	return v
}

// found are the items of a check, "kind key", without what is ignored.
func found(v orchestrator.DriftCheckView) []string {
	out := []string{}
	for _, i := range v.Drift {
		if i.Ignored == "" {
			out = append(out, string(i.Kind)+" "+i.Key)
		}
	}
	return out
}

// wantDrift wants a check to find exactly this.
func (m *meridian) wantDrift(v orchestrator.DriftCheckView, want ...string) {
	m.site.t.Helper()
	got := found(v)
	if !slices.Equal(got, append([]string{}, want...)) {
		m.site.t.Fatalf("check %s is %s (%s) and found\n  %s\nwant\n  %s\n%s", v.ID, v.Outcome, v.Message, strings.Join(got, "\n  "), strings.Join(want, "\n  "), m.runLog(v.ID))
	}
	outcome := "clean"
	if len(want) > 0 {
		outcome = "drifted"
	}
	if v.Outcome != outcome || v.Found != len(want) {
		m.site.t.Fatalf("check %s is %s with %d found: %s, want %s with %d", v.ID, v.Outcome, v.Found, v.Message, outcome, len(want))
	}
}

// remedy puts back what the newest check found, without any other yes.
func (m *meridian) remedy(name string, yes bool) orchestrator.RunView {
	m.site.t.Helper()
	v, err := m.Remediate(context.Background(), stacks.DefaultNamespace, name, yes, "test")
	if err != nil {
		m.site.t.Fatalf("remediate %s: %v", name, err)
	}
	return m.wait(v.ID)
}

// mended puts back what was found, and wants the check that follows by itself to find nothing.
func (m *meridian) mended(name string) {
	m.site.t.Helper()
	v := m.remedy(name, true)
	if v.Phase != stacks.PhaseDone {
		m.site.t.Fatalf("remedy %s is %s (%s): %s %s\n%s", v.ID, v.Phase, v.Reason, v.Message, v.NeedsApproval, m.runLog(v.ID))
	}
	m.wantDrift(m.checkDrift(name))
}

// asAdmin runs statements on a region's server as its administrator.
func (m *meridian) asAdmin(name, region, database string, statements ...string) {
	m.site.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	v, err := m.Connect(ctx, orchestrator.ConnectRequest{Namespace: stacks.DefaultNamespace, Name: name, Region: region, Database: database, User: pgserver.AdminUser, Reveal: true, Actor: "test"})
	if err != nil {
		m.site.t.Fatal(err)
	}
	// The first user of the spec is what connect gives; the administrator's password is the region's secret.
	id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: name, Incarnation: m.incarnation(name), Region: region}
	endpoint, err := m.catalog.Endpoint(ctx, id)
	if err != nil {
		m.site.t.Fatal(err)
	}
	password, err := m.catalog.Secret(ctx, id.Incarnation, endpoint.Secret)
	if err != nil {
		m.site.t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=disable", endpoint.User, password, v.Host, v.Port, database))
	if err != nil {
		m.site.t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			m.site.t.Fatalf("%s in %s: %v", s, region, err)
		}
	}
}

func (m *meridian) incarnation(name string) string {
	m.site.t.Helper()
	db, err := m.catalog.Database(context.Background(), stacks.DefaultNamespace, name)
	if err != nil {
		m.site.t.Fatal(err)
	}
	return db.Incarnation
}

// home is the directory of a region's server.
func (m *meridian) home(name, region string) string {
	m.site.t.Helper()
	id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: name, Incarnation: m.incarnation(name), Region: region}
	p, err := m.catalog.Placement(context.Background(), id)
	if err != nil {
		m.site.t.Fatal(err)
	}
	for _, v := range p.Values {
		if filepath.IsAbs(v) {
			return v
		}
	}
	m.site.t.Fatalf("no directory in %v", p.Values)
	return ""
}

// killServer kills the server of a region, its postmaster first.
func (m *meridian) killServer(name, region string) {
	m.site.t.Helper()
	home := m.home(name, region)
	for _, pid := range m.site.processes() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(cmdline), home) {
			_ = kill(pid)
		}
	}
	m.site.eventually("the server of "+region+" is dead", func() error {
		if slices.ContainsFunc(m.servers(), func(dir string) bool { return strings.HasPrefix(dir, home) }) {
			return errNotYet
		}
		return nil
	})
}

const driftServer = ": module.database.localdb_postgres.this"

// TestDriftOfEachKind lets the world move in every way that a local database can, and puts each back.
func TestDriftOfEachKind(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	spec := orders("orders", `max_connections: "50"`, `max_connections: "50", work_mem: "8MB"`)
	m.done(spec)
	m.query("orders", "ankara", "create table parcels (id int primary key, town text)")
	m.wantDrift(m.checkDrift("orders"))

	t.Log("an attribute is changed by hand")
	m.asAdmin("orders", "ankara", "postgres", "ALTER SYSTEM SET work_mem = '64MB'", "SELECT pg_reload_conf()")
	v := m.checkDrift("orders")
	m.wantDrift(v, "changed ankara"+driftServer+".settings.work_mem")
	if i := v.Drift[0]; i.Want != `"8MB"` || i.Found != `"64MB"` || i.SpecField != "spec.engine.parameters.work_mem" {
		t.Errorf("it says %+v", i)
	}
	m.mended("orders")

	t.Log("what somebody ignores, or accepts with this value, is no drift; undone, it is")
	m.asAdmin("orders", "ankara", "postgres", "ALTER SYSTEM SET work_mem = '32MB'", "SELECT pg_reload_conf()")
	key := "ankara" + driftServer + ".settings.work_mem"
	m.wantDrift(m.checkDrift("orders"), "changed "+key)
	for _, verb := range []string{orchestrator.DriftIgnore, orchestrator.DriftAccept} {
		m.sayDrift("orders", verb, key)
		m.wantDrift(m.checkDrift("orders"))
		m.sayDrift("orders", orchestrator.DriftWatch, key)
	}
	m.sayDrift("orders", orchestrator.DriftAccept, key)
	m.asAdmin("orders", "ankara", "postgres", "ALTER SYSTEM SET work_mem = '33MB'", "SELECT pg_reload_conf()")
	m.wantDrift(m.checkDrift("orders"), "changed "+key)
	m.sayDrift("orders", orchestrator.DriftWatch, key)
	m.mended("orders")

	t.Log("a user's password is changed, and a slot is left behind")
	m.asAdmin("orders", "ankara", "postgres", "ALTER ROLE orders_app PASSWORD 'somebody-elses-password'",
		"SELECT pg_create_physical_replication_slot('meridian_"+m.incarnation("orders")+"_left_behind')")
	m.wantDrift(m.checkDrift("orders"), "slot ankara: slot meridian_"+m.incarnation("orders")+"_left_behind", "login ankara: user orders_app")
	m.mended("orders")
	m.wantSlots("ankara", 1)

	t.Log("the link's slot and subscription are dropped")
	m.asAdmin("orders", "istanbul", "orders", subscriptionGone)
	m.wantDrift(m.checkDrift("orders"), "link istanbul: link ankara-istanbul")
	m.mended("orders")

	t.Log("a server is killed")
	m.killServer("orders", "istanbul")
	m.wantDrift(m.checkDrift("orders"), "unreachable istanbul: endpoint", "link istanbul: link ankara-istanbul", "changed istanbul"+driftServer+".status")
	m.mended("orders")

	t.Log("a server is deleted with its data: only an explicit yes makes it anew")
	m.killServer("orders", "istanbul")
	if err := os.RemoveAll(m.home("orders", "istanbul")); err != nil {
		t.Fatal(err)
	}
	m.wantDrift(m.checkDrift("orders"), "unreachable istanbul: endpoint", "link istanbul: link ankara-istanbul", "gone istanbul"+driftServer)
	run := m.remedy("orders", true)
	if run.Phase != stacks.PhaseAwaiting || !strings.Contains(run.NeedsApproval, "its data is gone") {
		t.Fatalf("the remedy of a deleted server is %s: %s; it needs %q, want a question about the data", run.Phase, run.Message, run.NeedsApproval)
	}
	if n := len(m.servers()); n != 1 {
		t.Errorf("%d servers run before the yes, want 1", n)
	}
	m.approve(run)
	m.site.wantDone(m, run.ID)
	m.wantDrift(m.checkDrift("orders"))
}

// subscriptionGone drops every subscription of a database with its slot at the publisher, as somebody who tidies up would.
const subscriptionGone = `DO $$ DECLARE s text; BEGIN
	FOR s IN SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) LOOP
		EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', s);
		EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', s);
		EXECUTE format('DROP SUBSCRIPTION %I', s);
	END LOOP; END $$`

func (m *meridian) sayDrift(name, verb string, keys ...string) {
	m.site.t.Helper()
	_, err := m.SayDrift(context.Background(), orchestrator.DriftRuleRequest{Namespace: stacks.DefaultNamespace, Name: name, Verb: verb, Keys: keys, Actor: "test"})
	if err != nil {
		m.site.t.Fatalf("%s %v: %v", verb, keys, err)
	}
}

// TestDriftOnSchedule lets a schedule find what was changed by hand and put it back by itself; the same drift again is told, and waits. A
// schedule that is lost is made again, and goes with its database. Ten checks of an untouched database find nothing.
func TestDriftOnSchedule(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	const one = `apiVersion: meridian/v1
kind: Database
metadata: {name: alone}
spec:
  engine: {name: postgres, parameters: {work_mem: 8MB}}
  regions: [{name: ankara, provider: local, role: primary}]
  drift: {every: 1m, action: remediate}
  deletion: {protect: false}
`
	m.done(one)
	for range 10 {
		m.wantDrift(m.checkDrift("alone"))
	}
	installation, err := m.catalog.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	handle := m.sdk.ScheduleClient().GetHandle(t.Context(), workflows.ScheduleID(installation, m.incarnation("alone")))
	exists := func() error { _, err := handle.Describe(t.Context()); return err }
	s.eventually("there is a schedule", exists)
	if err := handle.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.eventually("the lost schedule is made again", exists)

	m.asAdmin("alone", "ankara", "postgres", "ALTER SYSTEM SET work_mem = '64MB'", "SELECT pg_reload_conf()")
	if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
		t.Fatal(err)
	}
	mended := func() error {
		got, err := m.catalog.Drifts(t.Context(), m.incarnation("alone"), 0)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(got, func(d catalog.DriftCheck) bool { return d.Remedy != "" })
		if i <= 0 || got[0].Outcome != catalog.DriftClean { // the check after the remedy comes by itself
			return errNotYet
		}
		return nil
	}
	s.eventually("the drift is put back, and looked at again", mended)

	m.asAdmin("alone", "ankara", "postgres", "ALTER SYSTEM SET work_mem = '64MB'", "SELECT pg_reload_conf()")
	if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("the same drift again is told, and not put back at once", func() error {
		got, err := m.catalog.Drifts(t.Context(), m.incarnation("alone"), 1)
		if err == nil && (got[0].Outcome != catalog.DriftDrifted || got[0].Remedy != "") {
			err = errNotYet
		}
		return err
	})

	m.destroy("alone")
	s.eventually("the schedule is gone", func() error {
		if exists() == nil {
			return errNotYet
		}
		return nil
	})
}
