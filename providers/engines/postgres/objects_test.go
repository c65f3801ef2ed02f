package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

func isPermanent(err error) bool { return errors.Is(err, providers.ErrPermanent) }

// freshObjects names a database and two users that no other test has.
func freshObjects() providers.Objects {
	n := names.Add(1)
	owner, guest := fmt.Sprintf("owner%d", n), fmt.Sprintf("Guest %d\"", n)
	return providers.Objects{
		RunNumber: runs.Add(1),
		Databases: []stacks.LogicalDatabase{{Name: fmt.Sprintf("Data base%d", n), Owner: owner}},
		Users:     []stacks.User{{Name: owner}, {Name: guest}},
		Passwords: map[string]string{owner: appPassword, guest: "App-Secret-' \\ \"$x$"},
	}
}

func mustObjects(t *testing.T, target providers.Target, o providers.Objects) providers.ObjectsReport {
	t.Helper()
	report, err := newEngine().EnsureObjects(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestObjectsAreMadeOnce(t *testing.T) {
	s, o := lab.target, freshObjects()
	db, owner, guest := o.Databases[0].Name, o.Users[0].Name, o.Users[1].Name
	first := mustObjects(t, s.target("r"), o)
	if len(first.Changed) != 3 {
		t.Errorf("changed first: %q", first.Changed)
	}
	conn := s.session(t, db, owner, appPassword)
	mustExec(t, conn, "CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1)")
	s.session(t, db, guest, o.Passwords[guest])

	admin := s.session(t, "postgres", "", "")
	verifiers := func() []string {
		return list(t, admin, "SELECT rolname || rolpassword FROM pg_authid WHERE rolname = ANY($1) ORDER BY 1", []string{owner, guest})
	}
	before := verifiers()
	o.RunNumber = runs.Add(1)
	if again := mustObjects(t, s.target("r"), o); len(again.Changed) != 0 {
		t.Errorf("changed again: %q", again.Changed)
	}
	if !slices.Equal(before, verifiers()) {
		t.Error("a password that was right was written again")
	}

	o.Passwords[owner] = appPassword + "-new"
	mustObjects(t, s.target("r"), o)
	s.session(t, db, owner, appPassword+"-new")
	if ok, err := logsIn(t.Context(), s.target("r"), db, owner, appPassword); ok || err != nil {
		t.Errorf("old password: %v %v", ok, err)
	}
	if rows := list(t, conn, "SELECT id::text FROM kept"); len(rows) != 1 {
		t.Errorf("rows: %q", rows)
	}
}

func TestObjectsFollowTheSpec(t *testing.T) {
	s, o := lab.target, freshObjects()
	db, owner, guest := o.Databases[0].Name, o.Users[0].Name, o.Users[1].Name
	mustObjects(t, s.target("r"), o)
	admin := s.session(t, "postgres", "", "")
	mustExec(t, admin, "ALTER ROLE "+ident(guest)+" NOLOGIN; REVOKE CONNECT ON DATABASE "+ident(db)+" FROM PUBLIC, "+ident(guest))
	o.Databases[0].Owner = guest
	mustObjects(t, s.target("r"), o)
	conn := s.session(t, db, guest, o.Passwords[guest])
	mustExec(t, conn, "CREATE TABLE by_the_new_owner (id int)")
	if got := list(t, admin, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1", db); got[0] != guest {
		t.Errorf("owner %q, want %q (was %q)", got[0], guest, owner)
	}
}

func TestObjectsLeaveUnmanagedAlone(t *testing.T) {
	s, o := ownServer(t, "unmanaged", nil), freshObjects()
	admin := s.session(t, "postgres", "", "")
	mustExec(t, admin, "CREATE DATABASE old")
	mustExec(t, admin, "CREATE ROLE bob LOGIN; CREATE ROLE crowd NOLOGIN")
	for range 2 {
		report := mustObjects(t, s.target("r"), o)
		if want := []string{"database old", "user bob"}; !slices.Equal(report.Unmanaged, want) {
			t.Errorf("unmanaged %q, want %q", report.Unmanaged, want)
		}
	}
	if got := list(t, admin, "SELECT datname FROM pg_database WHERE datname = 'old' UNION ALL SELECT rolname FROM pg_roles WHERE rolname IN ('bob', 'crowd') ORDER BY 1"); len(got) != 3 {
		t.Errorf("left: %q", got)
	}
}

func TestObjectsDrop(t *testing.T) {
	s, o := lab.target, freshObjects()
	db, owner, guest := o.Databases[0].Name, o.Users[0].Name, o.Users[1].Name
	second := fmt.Sprintf("second%d", names.Add(1))
	o.Databases = append(o.Databases, stacks.LogicalDatabase{Name: second, Owner: owner})
	mustObjects(t, s.target("r"), o)
	busy := s.session(t, db, guest, o.Passwords[guest])
	ownerConn := s.session(t, second, owner, appPassword)
	mustExec(t, ownerConn, "CREATE TABLE shared (id int PRIMARY KEY); GRANT ALL ON shared TO "+ident(guest)+"; GRANT CREATE ON SCHEMA public TO "+ident(guest))
	guestConn := s.session(t, second, guest, o.Passwords[guest])
	mustExec(t, guestConn, "CREATE TABLE of_guest (id int); INSERT INTO of_guest VALUES (1)")

	o.Databases[0].Drop, o.Users[1].Drop = true, true
	for range 2 {
		mustObjects(t, s.target("r"), o)
	}
	admin := s.session(t, "postgres", "", "")
	if left := list(t, admin, "SELECT datname FROM pg_database WHERE datname = $1 UNION ALL SELECT rolname FROM pg_roles WHERE rolname = $2", db, guest); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if err := busy.Ping(t.Context()); err == nil {
		t.Error("a session of the dropped database lives")
	}
	if rows := list(t, ownerConn, "SELECT id::text FROM of_guest"); len(rows) != 1 {
		t.Errorf("the dropped user's table has %q, or is not the database owner's", rows)
	}
}

func TestObjectsDropWhatADroppedDatabaseIsLinkedBy(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	mustExec(t, lab.source.session(t, w.in.Link.Databases[0], w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY)")
	w.ensure()
	w.ready()
	o := w.in.Objects
	o.RunNumber = runs.Add(1)
	o.Databases = []stacks.LogicalDatabase{{Name: w.in.Link.Databases[0], Drop: true}}
	for _, target := range []providers.Target{w.in.From, w.in.To} {
		mustObjects(t, target, o)
	}
	if slots := w.slots(); len(slots) != 0 {
		t.Errorf("slots %q", slots)
	}
	for _, s := range []*server{lab.source, lab.target} {
		if left := list(t, s.session(t, "postgres", "", ""), "SELECT datname FROM pg_database WHERE datname = $1", w.in.Link.Databases[0]); len(left) != 0 {
			t.Errorf("%s has %q", s.name, left)
		}
	}
}

func TestObjectsRefuse(t *testing.T) {
	s := lab.target
	slot := fmt.Sprintf("foreign%d", names.Add(1))
	for name, test := range map[string]struct {
		change func(*providers.Objects)
		want   string
	}{
		"no password":        {func(o *providers.Objects) { clear(o.Passwords) }, "has no password"},
		"password not ASCII": {func(o *providers.Objects) { o.Passwords[o.Users[0].Name] = "App-Secret-ä" }, "not plain ASCII"},
		"the admin":          {func(o *providers.Objects) { o.Users[0].Name = "meridian_admin" }, "belongs to the server"},
		"the admin dropped": {func(o *providers.Objects) {
			o.Databases, o.Users = nil, []stacks.User{{Name: "meridian_admin", Drop: true}}
		}, "belongs to the server"},
		"maintenance database": {func(o *providers.Objects) { o.Databases[0].Name = "postgres" }, "belongs to the server"},
		"maintenance dropped":  {func(o *providers.Objects) { o.Databases[0] = stacks.LogicalDatabase{Name: "postgres", Drop: true} }, "belongs to the server"},
		"half dropped": {func(o *providers.Objects) {
			mustObjects(t, s.target("r"), *o)
			mustExec(t, s.session(t, "postgres", "", ""), "UPDATE pg_database SET datconnlimit = -2 WHERE datname = $1", o.Databases[0].Name)
		}, "half dropped"},
		"wrong admin password": {func(*providers.Objects) {}, "password authentication failed"},
	} {
		t.Run(name, func(t *testing.T) {
			o, target := freshObjects(), s.target("r")
			if name == "wrong admin password" {
				target.Password = "App-Secret-wrong"
			}
			test.change(&o)
			_, err := newEngine().EnsureObjects(t.Context(), target, o)
			if !isPermanent(err) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "Secret") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("half dropped is dropped", func(t *testing.T) {
		o := freshObjects()
		mustObjects(t, s.target("r"), o)
		admin := s.session(t, "postgres", "", "")
		mustExec(t, admin, "UPDATE pg_database SET datconnlimit = -2 WHERE datname = $1", o.Databases[0].Name)
		o.Databases[0].Drop = true
		mustObjects(t, s.target("r"), o)
	})
	t.Run("idle foreign slot goes with its database", func(t *testing.T) {
		o := freshObjects()
		mustObjects(t, s.target("r"), o)
		conn := s.session(t, o.Databases[0].Name, "", "")
		mustExec(t, conn, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
		o.Databases[0].Drop = true
		mustObjects(t, s.target("r"), o)
	})
}

func TestFence(t *testing.T) {
	s := ownServer(t, "fence", nil)
	target, e := s.target("r"), newEngine()
	o := freshObjects()
	o.RunNumber = 7
	mustObjects(t, target, o)
	t.Run("a smaller run is refused", func(t *testing.T) {
		late := freshObjects()
		late.RunNumber = 6
		if _, err := e.EnsureObjects(t.Context(), target, late); !errors.Is(err, providers.ErrSuperseded) || isPermanent(err) {
			t.Errorf("got %v", err)
		}
		if made := list(t, s.session(t, "postgres", "", ""), "SELECT rolname FROM pg_roles WHERE rolname = $1", late.Users[0].Name); len(made) != 0 {
			t.Errorf("made %q", made)
		}
	})
	t.Run("a newer run ends a stuck one", func(t *testing.T) {
		old, err := newGuard(t.Context(), target, 7)
		if err != nil {
			t.Fatal(err)
		}
		defer old.close()
		next, err := newGuard(t.Context(), target, 8)
		if err != nil {
			t.Fatal(err)
		}
		defer next.close()
		if err := old.hold(t.Context()); err == nil {
			t.Error("the old run still holds the fence")
		}
	})
	t.Run("attempts of one run wait for each other", func(t *testing.T) {
		g, err := newGuard(t.Context(), target, 8)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		if second, err := newGuard(ctx, target, 8); err == nil {
			second.close()
			t.Error("two attempts hold the fence")
		}
		if err := g.hold(t.Context()); err != nil {
			t.Error(err)
		}
		g.close()
		o := freshObjects()
		o.RunNumber = 8
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := e.EnsureObjects(t.Context(), target, o); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("a look of a smaller run is refused", func(t *testing.T) {
		in := providers.LinkInput{RunNumber: 7, From: target, To: target, Link: stacks.Link{From: "a", To: "b", Mode: stacks.LinkLogical}}
		for name, err := range map[string]error{
			"ensure": e.EnsureLink(t.Context(), in), "remove": e.RemoveLink(t.Context(), in),
			"check": func() error { _, err := e.CheckLink(t.Context(), in); return err }(),
		} {
			if !errors.Is(err, providers.ErrSuperseded) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Each call is stopped a little later than the one before, anywhere in its work, until one gets through.
func TestObjectsInterrupted(t *testing.T) {
	s, o := lab.target, freshObjects()
	e := newEngine()
	stopped := 0
	for wait := 2 * time.Millisecond; ; wait += wait / 4 {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err := e.EnsureObjects(ctx, s.target("r"), o)
		cancel()
		if err == nil {
			break
		}
		if isPermanent(err) {
			t.Fatalf("stopped after %s: %v", wait, err)
		}
		stopped++
	}
	if stopped == 0 {
		t.Error("never stopped")
	}
	if report := mustObjects(t, s.target("r"), o); len(report.Changed) != 0 {
		t.Errorf("not complete: %q", report.Changed)
	}
	s.session(t, o.Databases[0].Name, o.Users[0].Name, appPassword)
}
