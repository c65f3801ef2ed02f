package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/providers"
)

func TestLinkFollowsNewTables(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	db := w.in.Link.Databases[0]
	src := lab.source.session(t, db, w.app(), appPassword)
	w.ensure()
	w.ready() // an empty database is a link too
	mustExec(t, src, `CREATE TYPE mood AS ENUM ('good'); CREATE TABLE late (id int PRIMARY KEY, m mood); INSERT INTO late VALUES (1, 'good');
		CREATE TABLE gone (id int PRIMARY KEY)`)
	w.ready()
	dst := lab.target.session(t, db, w.app(), appPassword)
	if n := list(t, dst, "SELECT id::text FROM late"); len(n) != 1 {
		t.Errorf("%q in the new table", n)
	}
	mustExec(t, src, "DROP TABLE gone; CREATE INDEX late_m ON late (m); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
	w.ready()
	w.ensure()
	if n := list(t, dst, "SELECT indexname FROM pg_indexes WHERE indexname = 'late_m' UNION ALL SELECT proname FROM pg_proc WHERE proname = 'f'"); len(n) != 2 {
		t.Errorf("followed: %q", n)
	}
	if n := list(t, dst, "SELECT to_regclass('gone')::text"); len(n) != 1 || n[0] != "gone" {
		t.Errorf("a table that the source dropped: %q", n)
	}
}

// What a look finds broken it calls failed, with a reason; what can heal by another EnsureLink does.
func TestLinkDamage(t *testing.T) {
	for name, test := range map[string]struct {
		source, target string // run by the admin in the linked database; NAME is the link's
		want           string
		heal           string // run by the admin at the target before the next EnsureLink
		slot           bool   // the slot is dropped
		lost           bool   // EnsureLink asks a person
	}{
		"subscription disabled": {target: "ALTER SUBSCRIPTION NAME DISABLE", want: "is disabled"},
		"subscription dropped":  {target: "ALTER SUBSCRIPTION NAME DISABLE; ALTER SUBSCRIPTION NAME SET (slot_name = NONE); DROP SUBSCRIPTION NAME; TRUNCATE a", want: "no subscription"},
		"other connection":      {target: "ALTER SUBSCRIPTION NAME CONNECTION 'host=/nonexistent'", want: "does not reach ankara"},
		"key dropped":           {source: "CREATE TABLE bare (id int)", want: "public.bare", lost: true},
		"column added":          {source: "ALTER TABLE a ADD COLUMN x int; INSERT INTO a VALUES (2, 2)", want: "public.a.x (integer) is missing", heal: "ALTER TABLE a ADD COLUMN x int"},
		"slot dropped":          {slot: true, want: "slot of link", lost: true},
		"publication dropped":   {source: "DROP PUBLICATION NAME", lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, lab.source, lab.target)
			db := w.in.Link.Databases[0]
			mustExec(t, lab.source.session(t, db, w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
			w.ensure()
			w.ready()
			run := func(s *server, sql string) {
				for stmt := range strings.SplitSeq(strings.ReplaceAll(sql, "NAME", linkName(w.in, db)), "; ") {
					if stmt != "" {
						mustExec(t, s.session(t, db, "", ""), stmt)
					}
				}
			}
			run(lab.target, test.target)
			run(lab.source, test.source)
			if test.slot {
				if err := dropSlot(t.Context(), lab.source.session(t, db, "", ""), linkName(w.in, db)); err != nil {
					t.Fatal(err)
				}
			}
			if test.want != "" {
				eventually(t, test.want, func() bool {
					status, err := w.engine.CheckLink(t.Context(), w.in)
					return err == nil && status.State != providers.StateReady && strings.Contains(status.Message, test.want)
				})
			}
			run(lab.target, test.heal)
			err := w.engine.EnsureLink(t.Context(), w.in)
			if test.lost {
				if !isPermanent(err) {
					t.Errorf("ensure: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.ready()
			if n := list(t, lab.target.session(t, db, "", ""), "SELECT id::text FROM a WHERE id = 1"); len(n) != 1 {
				t.Errorf("rows %q", n)
			}
		})
	}
}

func TestLinkFollowsPassword(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	w.ensure()
	w.ready()
	admin := lab.source.session(t, "postgres", "", "")
	name := linkName(w.in, w.in.Link.Databases[0])
	eventually(t, "password refused", func() bool {
		mustExec(t, admin, "ALTER ROLE "+roleName(w.in)+" PASSWORD 'other'")
		mustExec(t, admin, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", name)
		status, err := w.engine.CheckLink(t.Context(), w.in)
		return err == nil && status.State == providers.StatePending && strings.Contains(status.Message, "ankara refuses the replication role's password")
	})
	w.in.Password = "Repl-Secret-rotated"
	w.ensure()
	w.ready()
}

func TestLinkOfTwoDatabasesShrinks(t *testing.T) {
	n := names.Add(1)
	first, second := fmt.Sprintf("first%d", n), fmt.Sprintf("second%d", n)
	w := newWorld(t, lab.source, lab.target, first, second)
	for _, db := range w.in.Link.Databases {
		mustExec(t, lab.source.session(t, db, w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
	}
	w.ensure()
	w.ready()
	if slots := w.slots(); len(slots) != 2 {
		t.Errorf("slots %q", slots)
	}
	w.in.Link.Databases = []string{second}
	w.ensure()
	w.ready()
	if slots := w.slots(); !slices.Equal(slots, []string{linkName(w.in, second)}) {
		t.Errorf("slots %q", slots)
	}
	if subs := list(t, lab.target.session(t, first, "", ""), "SELECT datname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE starts_with(subname, $1)", linkPrefix(w.in)); !slices.Equal(subs, []string{second}) {
		t.Errorf("subscriptions in %q", subs)
	}
	if pubs := list(t, lab.source.session(t, first, "", ""), "SELECT pubname FROM pg_publication"); len(pubs) != 0 {
		t.Errorf("publications %q", pubs)
	}
}

// Two targets of one source, one of them the source of a third: each link stands alone.
func TestLinksShareASource(t *testing.T) {
	third := ownServer(t, "third", nil)
	a := newWorld(t, lab.source, lab.target)
	db := a.in.Link.Databases[0]
	src := lab.source.session(t, db, a.app(), appPassword)
	mustExec(t, src, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
	if _, err := a.engine.EnsureObjects(t.Context(), third.target("izmir"), a.in.Objects); err != nil {
		t.Fatal(err)
	}
	b := *a
	b.dst, b.in.To, b.in.Link.From, b.in.From, b.in.Link.To = third, third.target("izmir"), "istanbul", lab.target.target("istanbul"), "izmir"
	a.ensure()
	a.ready()
	b.ensure()
	b.ready()
	mustExec(t, src, "INSERT INTO a VALUES (2)")
	end := third.session(t, db, a.app(), appPassword)
	eventually(t, "a row over two links", func() bool { return len(list(t, end, "SELECT id::text FROM a")) == 2 })

	c := *a
	c.dst, c.in.To, c.in.Link.To = third, third.target("izmir"), "izmir"
	if err := b.engine.RemoveLink(t.Context(), b.in); err != nil {
		t.Fatal(err)
	}
	mustExec(t, end, "DELETE FROM a")
	errs := make(chan error, 2)
	go func() { errs <- a.engine.EnsureLink(t.Context(), a.in) }()
	go func() { errs <- c.engine.EnsureLink(t.Context(), c.in) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	c.ready()
	a.ready()
	if err := c.engine.RemoveLink(t.Context(), c.in); err != nil {
		t.Fatal(err)
	}
	a.ready()
	if slots := a.slots(); !slices.Equal(slots, []string{linkName(a.in, db)}) {
		t.Errorf("slots %q", slots)
	}
}

func TestLag(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	w.engine.beatWait = 100 * time.Millisecond
	w.ensure()
	w.ready()
	w.in.MaxLag = 1
	status, err := w.engine.CheckLink(t.Context(), w.in)
	if err != nil || status.State != providers.StatePending || !strings.Contains(status.Message, "more than 1ns") {
		t.Errorf("%+v %v", status, err)
	}
	// A lock holds the target's worker up: rows are on the way, and the newest that came gets old.
	holder := lab.target.session(t, w.in.Link.Databases[0], "", "")
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE meridian.heartbeat IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	w.in.MaxLag = time.Minute
	status, err = w.engine.CheckLink(t.Context(), w.in)
	if err != nil || status.State != providers.StateReady || status.Lag < 100*time.Millisecond {
		t.Errorf("within the limit: %+v %v", status, err)
	}
	w.in.MaxLag = 50 * time.Millisecond
	status, err = w.engine.CheckLink(t.Context(), w.in)
	if err != nil || status.State != providers.StatePending || !strings.Contains(status.Message, "behind ankara") {
		t.Errorf("beyond the limit: %+v %v", status, err)
	}
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.in.MaxLag = 10 * time.Second
	w.ready()
}

// Each call is stopped a little later than the one before until one gets through; the end is the same as undisturbed.
func TestLinkInterrupted(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	db := w.in.Link.Databases[0]
	mustExec(t, lab.source.session(t, db, w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 500); CREATE TABLE b (id int PRIMARY KEY REFERENCES a)")
	clean := w.traces()
	interrupt := func(what string, step func(context.Context) error) {
		t.Helper()
		stopped := 0
		for wait := 2 * time.Millisecond; ; wait += wait / 4 {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			err := step(ctx)
			cancel()
			if err == nil {
				break
			}
			if isPermanent(err) || wait > time.Minute {
				t.Fatalf("%s stopped after %s: %v", what, wait, err)
			}
			stopped++
		}
		t.Logf("%s was stopped %d times", what, stopped)
		if stopped < 5 {
			t.Errorf("%s was stopped %d times only", what, stopped)
		}
	}
	for range 2 {
		interrupt("ensure", func(ctx context.Context) error { return w.engine.EnsureLink(ctx, w.in) })
		w.ready()
		if slots := w.slots(); len(slots) != 1 {
			t.Errorf("slots %q", slots)
		}
		dst := lab.target.session(t, db, w.app(), appPassword)
		if n := list(t, dst, "SELECT count(*)::text FROM a"); n[0] != "500" {
			t.Errorf("%s rows", n)
		}
		interrupt("remove", func(ctx context.Context) error { return w.engine.RemoveLink(ctx, w.in) })
		if left := w.traces(); !slices.Equal(left, clean) {
			t.Errorf("left %q", left)
		}
		mustExec(t, dst, "TRUNCATE a, b")
	}
}

// The target was lost and made anew, empty, while its slot waited at the source.
func TestLinkToARebuiltTarget(t *testing.T) {
	first := ownServer(t, "first", nil)
	w := newWorld(t, lab.source, first)
	db := w.in.Link.Databases[0]
	src := lab.source.session(t, db, w.app(), appPassword)
	mustExec(t, src, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
	w.ensure()
	w.ready()
	first.kill()
	mustExec(t, src, "INSERT INTO a VALUES (2)")
	again := ownServer(t, "again", nil)
	w.dst, w.in.To = again, again.target("istanbul")
	w.in.Objects.RunNumber = w.in.RunNumber
	mustObjects(t, w.in.To, w.in.Objects)
	w.ensure()
	w.ready()
	if rows := list(t, again.session(t, db, w.app(), appPassword), "SELECT id::text FROM a ORDER BY id"); !slices.Equal(rows, []string{"1", "2"}) {
		t.Errorf("rows %q", rows)
	}
	if slots := w.slots(); len(slots) != 1 {
		t.Errorf("slots %q", slots)
	}
}
