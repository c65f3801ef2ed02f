package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/providers"
)

func (w *world) leftIn(err error, region string) bool {
	w.t.Helper()
	if !errors.Is(err, providers.ErrLeftBehind) || isPermanent(err) || strings.Contains(err.Error(), "Secret") {
		w.t.Errorf("got %v", err)
		return false
	}
	left, ok := errors.AsType[*LeftBehindError](err)
	return ok && left.LeftIn(region) && len(left.Sides) == 1
}

// The target dies in the middle of the initial copy: its slots, the copy's too, must go from the source.
func TestRemoveLinkWithDeadTarget(t *testing.T) {
	dead := ownServer(t, "dead", nil)
	w := newWorld(t, lab.source, dead)
	db := w.in.Link.Databases[0]
	src := lab.source.session(t, db, w.app(), appPassword)
	mustExec(t, src, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 1000)")
	before := w.traces()
	slow := dead.session(t, db, "", "")
	mustExec(t, slow, `CREATE TABLE a (id int PRIMARY KEY);
		CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';
		CREATE TRIGGER slowly BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION slowly(); ALTER TABLE a ENABLE ALWAYS TRIGGER slowly`)
	w.ensure()
	admin := lab.source.session(t, "postgres", "", "")
	eventually(t, "a slot of the copy", func() bool {
		return len(list(t, admin, "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name LIKE 'pg\\_%\\_sync\\_%' AND database = $1", db)) == 1
	})
	if status, err := w.engine.CheckLink(t.Context(), w.in); err != nil || status.Message != "copying "+db+": 0 of 1 tables" {
		t.Errorf("%+v %v", status, err)
	}
	dead.kill()
	for range 2 {
		if err := w.engine.RemoveLink(t.Context(), w.in); !w.leftIn(err, "istanbul") || !strings.Contains(err.Error(), linkName(w.in, db)) {
			t.Errorf("got %v", err)
		}
	}
	if slots := list(t, admin, "SELECT slot_name::text FROM pg_replication_slots WHERE database = $1", db); len(slots) != 0 {
		t.Errorf("slots %q", slots)
	}
	// The target comes back: now the rest goes.
	if err := dead.start(); err != nil {
		t.Fatal(err)
	}
	if err := w.engine.RemoveLink(t.Context(), w.in); err != nil {
		t.Fatal(err)
	}
	if after := w.traces(); !slices.Equal(before, after) {
		t.Errorf("left %q", after)
	}
}

func TestRemoveLinkWhileCopying(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	db := w.in.Link.Databases[0]
	mustExec(t, lab.source.session(t, db, w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 1000)")
	before := w.traces()
	mustExec(t, lab.target.session(t, db, "", ""), `CREATE TABLE a (id int PRIMARY KEY);
		CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';
		CREATE TRIGGER slowly BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION slowly(); ALTER TABLE a ENABLE ALWAYS TRIGGER slowly`)
	w.ensure()
	admin := lab.source.session(t, "postgres", "", "")
	eventually(t, "a slot of the copy", func() bool {
		return len(list(t, admin, "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name LIKE 'pg\\_%\\_sync\\_%' AND database = $1", db)) == 1
	})
	if err := w.engine.RemoveLink(t.Context(), w.in); err != nil {
		t.Fatal(err)
	}
	if after := w.traces(); !slices.Equal(before, after) {
		t.Errorf("left %q", after)
	}
}

func TestRemoveLinkWithDeadSource(t *testing.T) {
	dead := ownServer(t, "dead", nil)
	w := newWorld(t, dead, lab.target)
	db := w.in.Link.Databases[0]
	mustExec(t, dead.session(t, db, w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY)")
	before := w.traces()
	w.ensure()
	w.ready()
	dead.kill()
	if err := w.engine.RemoveLink(t.Context(), w.in); !w.leftIn(err, "ankara") {
		t.Errorf("got %v", err)
	}
	if subs := list(t, lab.target.session(t, db, "", ""), "SELECT subname FROM pg_subscription WHERE starts_with(subname, $1)", linkPrefix(w.in)); len(subs) != 0 {
		t.Errorf("subscriptions %q", subs)
	}
	if err := dead.start(); err != nil {
		t.Fatal(err)
	}
	if err := w.engine.RemoveLink(t.Context(), w.in); err != nil {
		t.Fatal(err)
	}
	if after := w.traces(); !slices.Equal(before, after) {
		t.Errorf("left %q", after)
	}
}

func TestRemoveLinkWithoutATarget(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	before := w.traces()
	w.ensure()
	in := w.in
	in.To = providers.Target{Region: "istanbul"}
	if err := w.engine.RemoveLink(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if slots := w.slots(); len(slots) != 0 {
		t.Errorf("slots %q", slots)
	}
	if err := w.engine.EnsureLink(t.Context(), in); !errors.Is(err, errNoAddress) {
		t.Errorf("ensure: %v", err)
	}
	if err := w.engine.RemoveLink(t.Context(), w.in); err != nil {
		t.Fatal(err)
	}
	if after := w.traces(); !slices.Equal(before, after) {
		t.Errorf("left %q", after)
	}
}

func TestRemoveLinkWithBothDead(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	in := w.in
	in.From.Endpoint.Port, in.To.Endpoint.Port = 1, 1
	left, ok := errors.AsType[*LeftBehindError](w.engine.RemoveLink(t.Context(), in))
	if !ok || !left.LeftIn("ankara") || !left.LeftIn("istanbul") {
		t.Errorf("got %v", left)
	}
}

// A hung publisher answers nothing and refuses nothing: the target is clean in a bounded time all the same.
func TestRemoveLinkWithHungSource(t *testing.T) {
	hung := ownServer(t, "hung", nil)
	w := newWorld(t, hung, lab.target)
	db := w.in.Link.Databases[0]
	mustExec(t, hung.session(t, db, w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY)")
	before := w.traces()
	w.ensure()
	w.ready()
	hung.freeze(t)
	defer hung.thaw(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	began := time.Now()
	err := w.engine.RemoveLink(ctx, w.in)
	if !w.leftIn(err, "ankara") || time.Since(began) > 4*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	if subs := list(t, lab.target.session(t, db, "", ""), "SELECT subname FROM pg_subscription WHERE starts_with(subname, $1)", linkPrefix(w.in)); len(subs) != 0 {
		t.Errorf("subscriptions %q", subs)
	}
	hung.thaw(t)
	if err := w.engine.RemoveLink(t.Context(), w.in); err != nil {
		t.Fatal(err)
	}
	if after := w.traces(); !slices.Equal(before, after) {
		t.Errorf("left %q", after)
	}
}
