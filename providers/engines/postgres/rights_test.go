package postgres

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

const ownerPassword = "Admin+Secret/ordinary"

// cloudlike makes a server one whose administrator is no superuser, as in Amazon RDS: it makes roles and databases, and may grant rds_replication but
// not the attribute REPLICATION. What RDS lets its administrator do beyond PostgreSQL (slots, publications of all tables) is done by the caller.
func cloudlike(t *testing.T, s *server) providers.Target {
	t.Helper()
	super := s.session(t, "postgres", "", "")
	mustExec(t, super, `CREATE ROLE rds_replication; CREATE ROLE rds_superuser;
		GRANT rds_replication, pg_read_all_data TO rds_superuser WITH ADMIN OPTION; GRANT pg_monitor, pg_signal_backend TO rds_superuser;
		CREATE ROLE ordinary LOGIN CREATEROLE CREATEDB REPLICATION PASSWORD `+quoteLiteral(ownerPassword)+`; GRANT rds_superuser TO ordinary;
		ALTER DATABASE postgres OWNER TO ordinary`)
	target := s.target("ankara")
	target.Endpoint.User, target.Password = "ordinary", ownerPassword
	return target
}

// TestLinkFromAServerWithoutASuperuser makes objects and a link on a real server whose administrator is an ordinary user with RDS's roles.
func TestLinkFromAServerWithoutASuperuser(t *testing.T) {
	oldest, newest := lab.bins[0], lab.bins[len(lab.bins)-1]
	t.Run("oldest", func(t *testing.T) { linkFromCloudlike(t, oldest) })
	if newest.major != oldest.major {
		t.Run("newest", func(t *testing.T) { linkFromCloudlike(t, newest) })
	}
}

func linkFromCloudlike(t *testing.T, bin programs) {
	// Who is no superuser cannot keep a statement out of the log: a cloud's log holds what its settings say.
	src := ownServerOf(t, "rds", bin, map[string]string{"log_statement": "none", "log_min_duration_statement": "-1"})
	dst := ownServerOf(t, "subscriber", bin, nil)
	from := cloudlike(t, src)
	e := newEngine()
	o := providers.Objects{RunNumber: runs.Add(1), Users: []stacks.User{{Name: "app"}, {Name: "other"}}, Passwords: map[string]string{"app": appPassword, "other": appPassword},
		Databases: []stacks.LogicalDatabase{{Name: "orders", Owner: "app"}}}
	for _, target := range []providers.Target{from, dst.target("istanbul")} {
		if _, err := e.EnsureObjects(t.Context(), target, o); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := e.EnsureObjects(t.Context(), from, o); err != nil || len(report.Changed) > 0 {
		t.Errorf("the second time changed %q, %v", report.Changed, err)
	}
	app := src.session(t, "orders", "app", appPassword)
	mustExec(t, app, "CREATE TABLE parcels (id int PRIMARY KEY); INSERT INTO parcels SELECT generate_series(1, 100); ALTER TABLE parcels ENABLE ROW LEVEL SECURITY")
	in := providers.LinkInput{
		Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "rdsinc12", Region: "istanbul"}, RunNumber: o.RunNumber,
		Link: stacks.Link{From: "ankara", To: "istanbul", Mode: stacks.LinkLogical, Databases: []string{"orders"}},
		From: from, To: dst.target("istanbul"), Password: "Repl-Secret-rds", Objects: o, MaxLag: 1 << 40,
	}
	super := src.session(t, "orders", "", "")
	// RDS lets its administrator publish all tables; PostgreSQL does not.
	publication := ident(linkName(in, "orders"))
	mustExec(t, super, "CREATE PUBLICATION "+publication+" FOR ALL TABLES")
	err := e.EnsureLink(t.Context(), in)
	if !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "row-level security") || !strings.Contains(err.Error(), "parcels") {
		t.Fatalf("a role that has to obey policies: %v", err)
	}
	role := roleName(in)
	rights := list(t, super, "SELECT concat(rolcanlogin, rolreplication, rolbypassrls, rolsuper) FROM pg_roles WHERE rolname = $1", role)
	if !slices.Equal(rights, []string{"tfff"}) {
		t.Errorf("the link's role has the attributes %q", rights)
	}
	member := list(t, super, "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE m.member = $1::regrole ORDER BY 1", role)
	if !slices.Equal(member, []string{"pg_read_all_data", rdsReplication}) {
		t.Errorf("the link's role is a member of %q", member)
	}
	mustExec(t, app, "ALTER TABLE parcels DISABLE ROW LEVEL SECURITY")
	// What RDS gives with rds_replication, and what it lets its administrator own; a superuser's publication stays one of all tables.
	mustExec(t, super, "ALTER ROLE "+ident(role)+" REPLICATION")
	mustExec(t, super, "UPDATE pg_publication SET pubowner = 'ordinary'::regrole")
	if err := e.EnsureLink(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the link is ready", func() bool {
		st, err := e.CheckLink(t.Context(), in)
		if err != nil || st.State == providers.StateFailed {
			t.Fatalf("%+v, %v", st, err)
		}
		return st.State == providers.StateReady
	})
	if rows := list(t, dst.session(t, "orders", "", ""), "SELECT count(*)::text FROM parcels"); !slices.Equal(rows, []string{"100"}) {
		t.Errorf("%s rows arrived", rows)
	}
	mustExec(t, super, "ALTER ROLE "+ident(role)+" NOREPLICATION") // RDS's administrator alters roles that have it in RDS's way
	in.RunNumber = runs.Add(1)
	if err := e.RemoveLink(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if left := list(t, super, "SELECT slot_name::text FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication UNION ALL SELECT rolname FROM pg_roles WHERE rolname = $1", role); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	o.RunNumber, o.Users[1].Drop, o.Databases[0].Owner = in.RunNumber, true, ""
	if _, err := e.EnsureObjects(t.Context(), from, o); err != nil {
		t.Error(err)
	}
	if owner := list(t, super, "SELECT pg_get_userbyid(datdba)::text || (SELECT count(*) FROM pg_roles WHERE rolname = 'other') FROM pg_database WHERE datname = 'orders'"); !slices.Equal(owner, []string{"ordinary0"}) {
		t.Errorf("owner and dropped users: %q", owner)
	}
}
