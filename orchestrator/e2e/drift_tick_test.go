package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"

	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// ticking is how often the checks of these stories come by themselves.
const ticking = 3 * time.Second

// alone is a database of one region whose checks come as often as the server says.
func alone(drift string) string {
	return `apiVersion: meridian/v1
kind: Database
metadata: {name: alone}
spec:
  engine: {name: postgres, parameters: {work_mem: 8MB}}
  regions: [{name: ankara, provider: local, role: primary}]
  drift: ` + drift + `
  deletion: {protect: false}
`
}

// checksOf are a database's checks, newest first. All of them were made by the clock: nobody asked.
func (m *meridian) checksOf(name string) []catalog.DriftCheck {
	m.site.t.Helper()
	got, err := m.catalog.Drifts(context.Background(), m.incarnation(name), 0)
	if err != nil {
		m.site.t.Fatal(err)
	}
	return got
}

// nextCheck waits for the first check that begins from now on, and says something of a database that no run changes, and returns it with what it
// found.
func (m *meridian) nextCheck(name string) catalog.DriftCheck {
	m.site.t.Helper()
	began := time.Now()
	var out catalog.DriftCheck
	m.site.eventually("a check of "+name+" comes by itself", func() error {
		for _, d := range m.checksOf(name) {
			if d.Reason != catalog.DriftScheduled {
				continue
			}
			if d.StartedAt.Before(began) {
				break
			}
			if d.EndedAt != nil && d.Outcome != catalog.DriftSkipped {
				out = d
			}
		}
		if out.ID == "" {
			return errNotYet
		}
		return nil
	})
	out, err := m.catalog.Drift(context.Background(), out.ID)
	if err != nil {
		m.site.t.Fatal(err)
	}
	return out
}

// TestDriftByTheClock asks for nothing: the schedules' own ticks find what was changed, put it back where the spec says so, and find a replica that
// is later than it may be. The schedule is as spread and as bounded as the documentation says, and no check that ended badly stops the next.
func TestDriftByTheClock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.driftEvery = ticking
	m := s.start()
	lagging := m.submit(orders("orders", "maxLag: 5s", "maxLag: 1s"))
	m.done(alone("{action: remediate}"))
	s.wantDone(m, lagging.ID)

	installation, err := m.catalog.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := workflows.ScheduleID(installation, m.incarnation("alone"))
	handle := m.sdk.ScheduleClient().GetHandle(t.Context(), id)
	s.eventually("there is a schedule", func() error { _, err := handle.Describe(t.Context()); return err })
	d, err := handle.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if is := d.Schedule.Spec.Intervals; len(is) != 1 || is[0].Every != ticking || is[0].Offset < 0 || is[0].Offset >= ticking {
		t.Errorf("the intervals are %+v, want one of %s with an offset in it", is, ticking)
	}
	if got, want := d.Schedule.Spec.Jitter, ticking/10; got != want {
		t.Errorf("the jitter is %s, want %s", got, want)
	}
	if p := d.Schedule.Policy; p.Overlap != enums.SCHEDULE_OVERLAP_POLICY_SKIP || p.CatchupWindow != 10*time.Second {
		t.Errorf("the policy is %+v, want no two at a time and at most 10 s to make up for", p)
	}

	if c := m.nextCheck("alone"); c.Outcome != catalog.DriftClean {
		t.Errorf("untouched, a check is %s: %s", c.Outcome, c.Message)
	}
	view, err := m.Database(t.Context(), stacks.DefaultNamespace, "alone")
	if err != nil || view.Drift == nil || view.Drift.CheckedAt == nil || view.Drift.Outcome != string(catalog.DriftClean) || view.Drift.Every != ticking.String() {
		t.Errorf("what is shown of the last check: %+v, %v", view.Drift, err)
	}

	t.Log("what was changed is found and put back, and the next check is clean")
	m.asAdmin("alone", "ankara", "postgres", "ALTER SYSTEM SET work_mem = '64MB'", "SELECT pg_reload_conf()")
	s.eventually("it is put back", func() error {
		if got := m.query("alone", "ankara", "show work_mem"); got != "8MB" {
			return fmt.Errorf("work_mem is %s", got)
		}
		return nil
	})
	checks := m.checksOf("alone")
	i := slices.IndexFunc(checks, func(d catalog.DriftCheck) bool { return d.Remedy != "" })
	if i < 0 || checks[i].Reason != catalog.DriftScheduled {
		t.Fatalf("no check of the clock put it back: %+v", checks)
	}
	s.wantDone(m, checks[i].Remedy)
	if c := m.nextCheck("alone"); c.Outcome != catalog.DriftClean {
		t.Errorf("put back, a check is %s: %s", c.Outcome, c.Message)
	}

	t.Log("a replica is held up: it is told as late, and as right again afterwards")
	m.query("orders", "ankara", "create table parcels (id int primary key, town text)")
	clean := func() error {
		if c := m.nextCheck("orders"); c.Outcome != catalog.DriftClean {
			return fmt.Errorf("check %s is %s: %s %+v", c.ID, c.Outcome, c.Message, c.Drift)
		}
		return nil
	}
	s.eventually("the table has joined the link", clean)
	release := m.holdUp("orders", "istanbul", "parcels")
	m.query("orders", "ankara", "insert into parcels values (1, 'Ankara')")
	var late stacks.DriftItem
	s.eventually("the lag is found", func() error {
		c := m.nextCheck("orders")
		if len(c.Drift) != 1 || c.Found != 1 {
			return fmt.Errorf("check %s is %s: %s %+v", c.ID, c.Outcome, c.Message, c.Drift)
		}
		late = c.Drift[0]
		return nil
	})
	if late.Kind != stacks.DriftLag || late.Subject != "link ankara-istanbul" || !strings.Contains(late.Message, "behind") {
		t.Errorf("it is told as %+v, want a lag of the link", late)
	}
	release()
	s.eventually("it has caught up", clean)

	t.Log("a check whose workflow is ended from outside says that it knows nothing, and the next one comes")
	var open catalog.DriftCheck
	s.eventually("a check is at work", func() error {
		checks, err := m.catalog.OpenDrifts(t.Context())
		if i := slices.IndexFunc(checks, func(d catalog.DriftCheck) bool { return d.Workflow != "" }); i >= 0 {
			open = checks[i]
			return m.sdk.TerminateWorkflow(t.Context(), open.Workflow, "", "test")
		}
		if err == nil {
			err = errNotYet
		}
		return err
	})
	s.eventually("it ends", func() error {
		c, err := m.catalog.Drift(t.Context(), open.ID)
		if err == nil && c.Outcome != catalog.DriftUnknown {
			err = fmt.Errorf("it is %q: %s", c.Outcome, c.Message)
		}
		return err
	})
	if c := m.nextCheck("alone"); c.Outcome != catalog.DriftClean {
		t.Errorf("the check after it is %s: %s", c.Outcome, c.Message)
	}
	s.eventually("the check of orders after it is clean", clean)
}

// holdUp keeps a replica from applying what comes for a table, until the function that it returns is called.
func (m *meridian) holdUp(name, region, table string) (release func()) {
	t := m.site.t
	t.Helper()
	ctx := context.Background()
	conn, err := m.admin(stacks.StackID{Namespace: stacks.DefaultNamespace, Name: name, Incarnation: m.incarnation(name), Region: region}, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	for _, s := range []string{"BEGIN", "LOCK TABLE " + table + " IN EXCLUSIVE MODE"} {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

// byTheClock has a server or a worker check by itself, as often as these stories want.
func byTheClock(cmd *exec.Cmd) {
	t := timing()
	t.DriftEvery, t.WorkflowTaskTimeout = ticking, 2*time.Second
	text, _ := json.Marshal(t)
	cmd.Env = append(cmd.Env, terraform.EnvTiming+"="+string(text))
}

// inCheck waits until terraform plans for a check of alone, does what it is given, and returns the check, which had not ended then.
func (m *meridian) inCheck(do func()) catalog.DriftCheck {
	m.site.t.Helper()
	var cut catalog.DriftCheck
	m.site.eventually("something happens in the middle of a check", func() error {
		if len(m.site.terraforms("plan")) == 0 {
			return errNotYet
		}
		checks, err := m.catalog.OpenDrifts(context.Background())
		if err != nil || len(checks) == 0 {
			return errNotYet
		}
		do()
		if cut, err = m.catalog.Drift(context.Background(), checks[0].ID); err != nil || cut.EndedAt != nil {
			m.site.t.Fatalf("check %+v, %v: want one that had not ended", cut, err)
		}
		return nil
	})
	return cut
}

// TestKilledInACheck kills the worker, then the server, in the middle of a check that came by itself: the same check is made to its end by whoever is
// there next, without anybody's turn, and the checks after it come.
func TestKilledInACheck(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	srv := s.serve(withoutWorker, byTheClock)
	worker := s.work(nil, byTheClock).joins()
	m := s.look()
	srv.wantDone(srv.submitted(alone("{action: report}")).ID)
	m.query("alone", "ankara", "select 1")

	cut := m.inCheck(worker.kill)
	s.work(nil, byTheClock).joins()
	s.eventually("the check that lost its worker ends", func() error {
		c, err := m.catalog.Drift(t.Context(), cut.ID)
		if err == nil && c.Outcome != catalog.DriftClean {
			err = fmt.Errorf("it is %q: %s", c.Outcome, c.Message)
		}
		return err
	})

	cut = m.inCheck(srv.kill)
	if db, err := m.catalog.Database(t.Context(), stacks.DefaultNamespace, "alone"); err != nil || db.ActiveRun != "" {
		t.Errorf("in the middle of a check the turn is %q's, %v", db.ActiveRun, err)
	}
	srv = s.serve(withoutWorker, byTheClock)
	began := time.Now()
	v := srv.wantDone(srv.submitted(strings.Replace(alone("{action: report}"), "8MB", "9MB", 1)).ID)
	if !v.HasChanges {
		t.Error("the apply beside the check changed nothing")
	}
	t.Logf("an apply beside a check took %s", time.Since(began).Round(time.Millisecond))
	s.eventually("the check that lost its server ends", func() error {
		c, err := m.catalog.Drift(t.Context(), cut.ID)
		if err == nil && c.EndedAt == nil {
			err = errNotYet
		}
		if err == nil && c.Outcome != catalog.DriftSkipped && c.Outcome != catalog.DriftClean { // the apply was at work meanwhile
			t.Fatalf("it is %q: %s", c.Outcome, c.Message)
		}
		return err
	})
	if c := m.nextCheck("alone"); c.Outcome != catalog.DriftClean {
		t.Errorf("the check after it is %s: %s %+v", c.Outcome, c.Message, c.Drift)
	}
	srv.stop()
}
