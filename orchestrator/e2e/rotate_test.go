package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/stacks"
)

// counted is the spec of orders with a version of its administrators' passwords.
func counted(version int) string {
	return orders("orders", "  databases:\n", fmt.Sprintf("  adminPasswordVersion: %d\n  databases:\n", version))
}

// adminOf is where a region's administrator logs in, and the password that Meridian takes for the one in force.
func (m *meridian) adminOf(region string) (stacks.Endpoint, string) {
	m.site.t.Helper()
	id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: "orders", Incarnation: m.incarnation("orders"), Region: region}
	e, err := m.catalog.Endpoint(context.Background(), id)
	if err != nil {
		m.site.t.Fatal(err)
	}
	password, err := m.catalog.Secret(context.Background(), id.Incarnation, e.Secret)
	if err != nil {
		m.site.t.Fatal(err)
	}
	return e, password
}

// adminLogsIn tries a password of an administrator.
func adminLogsIn(e stacks.Endpoint, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@%s:%d/postgres?sslmode=disable", e.User, password, e.Host, e.Port))
	if err == nil {
		err = conn.Close(ctx)
	}
	return err
}

// TestAdminPasswordRotates gives the administrators new passwords, by a count in the spec. Until the yes nothing changes; what dies in the middle
// leaves a password in force that Meridian has; afterwards gates, links and checks use the new one, and one that somebody sets is told.
func TestAdminPasswordRotates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.start()
	m.done(orders("orders"))
	m.query("orders", "ankara", "create table parcels (id int primary key, town text)")
	endpoint, old := m.adminOf("ankara")

	run := m.wait(m.submitWithout(counted(2)).ID)
	if run.Phase != stacks.PhaseAwaiting || len(run.Changes) != 2 {
		t.Fatalf("the run is %s with %+v, want it to wait with a change for each region", run.Phase, run.Changes)
	}
	for _, c := range run.Changes {
		if c.Action != stacks.ActionUpdate || len(c.Attributes) != 1 || c.Attributes[0].Path != "admin_password_wo_version" || c.Attributes[0].Before != "1" || c.Attributes[0].After != "2" {
			t.Errorf("it changes %+v, want the version of the password alone", c)
		}
	}
	now, err := m.catalog.Secret(t.Context(), m.incarnation("orders"), "region/ankara/admin/2")
	if err != nil || now == old {
		t.Fatalf("the new password is not in custody before it is set: %v", err)
	}
	if e, password := m.adminOf("ankara"); e.Secret != endpoint.Secret || password != old || adminLogsIn(e, old) != nil {
		t.Errorf("before the yes another password is in force, or taken for it: %s", e.Secret)
	}
	m.wantDrift(m.checkDrift("orders"))

	t.Log("it is set, and who set it died before it could say so; then every terraform is killed for a while")
	m.asAdmin("orders", "ankara", "postgres", "ALTER ROLE "+endpoint.User+" PASSWORD '"+now+"'")
	m.approve(run)
	killed := 0
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until) && killed < 3; {
		for _, pid := range s.processes() {
			if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(filepath.Base(exe), "terraform") && kill(pid) == nil {
				killed++
			}
		}
		if adminLogsIn(endpoint, old) != nil {
			if err := adminLogsIn(endpoint, now); err != nil {
				t.Fatalf("neither password is in force: %v", err)
			}
		}
	}
	t.Logf("killed %d", killed)
	v := m.wait(run.ID)
	for again := 0; v.Phase == stacks.PhaseFailed && again < 3; again++ { // killed more often than a run goes on by itself
		v = m.wait(m.submit(counted(2)).ID)
	}
	if v.Phase != stacks.PhaseDone {
		t.Fatalf("the run is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	for _, region := range []string{"ankara", "istanbul"} {
		e, password := m.adminOf(region)
		if e.Secret != "region/"+region+"/admin/2" || adminLogsIn(e, password) != nil {
			t.Errorf("%s takes %s for the password in force", region, e.Secret)
		}
	}
	if adminLogsIn(endpoint, old) == nil {
		t.Error("the old password still lets somebody in")
	}
	m.query("orders", "ankara", "insert into parcels values (1, 'Ankara')")
	s.eventually("the row arrives", func() error {
		got, err := m.tryQuery("orders", "istanbul", "select town from parcels where id = 1")
		if err == nil && got != "Ankara" {
			err = errNotYet
		}
		return err
	})
	m.wantDrift(m.checkDrift("orders"))
	if again := m.done(counted(2)); again.HasChanges {
		t.Errorf("the same version again changes %+v", again.Changes)
	}

	t.Log("somebody sets another password: it is told, and the next version puts it right")
	m.asAdmin("orders", "istanbul", "postgres", "ALTER ROLE "+endpoint.User+" PASSWORD 'somebody-elses-password'")
	check := m.checkDrift("orders")
	if len(check.Drift) == 0 || check.Drift[0].Kind != stacks.DriftLogin {
		t.Errorf("a password that was set outside: %+v", check.Drift)
	}
	m.done(counted(3))
	m.wantDrift(m.checkDrift("orders"))
	for _, version := range []string{"", "/2", "/3"} {
		if _, err := m.catalog.Secret(t.Context(), m.incarnation("orders"), "region/istanbul/admin"+version); err != nil {
			t.Errorf("password %q is not in custody: %v", version, err)
		}
	}
	m.destroy("orders")
}
