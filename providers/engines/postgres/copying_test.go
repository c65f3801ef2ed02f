package postgres

import (
	"strings"
	"testing"
	"time"

	"meridian/providers"
)

// TestFirstCopyMoves holds that a look tells a first copy that gets on from one that stands: here a lock holds up each row of a new table.
func TestFirstCopyMoves(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	w.engine.copyWait = 500 * time.Millisecond
	w.ensure()
	w.ready()
	db := w.in.Link.Databases[0]
	holder := lab.target.session(t, db, w.app(), appPassword)
	mustExec(t, holder, `CREATE TABLE big (id int PRIMARY KEY);
		CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); PERFORM pg_sleep(0.02); RETURN NEW; END $$;
		CREATE TRIGGER slowly BEFORE INSERT ON big FOR EACH ROW EXECUTE FUNCTION slowly(); ALTER TABLE big ENABLE ALWAYS TRIGGER slowly;
		SELECT pg_advisory_lock(4711)`)
	mustExec(t, lab.source.session(t, db, w.app(), appPassword), "CREATE TABLE big (id int PRIMARY KEY); INSERT INTO big SELECT generate_series(1, 60)")
	look := func() providers.LinkStatus {
		t.Helper()
		status, err := w.engine.CheckLink(t.Context(), w.in)
		if err != nil || status.State == providers.StateFailed {
			t.Fatalf("%+v, %v", status, err)
		}
		return status
	}
	if status := look(); status.State != providers.StatePending || !status.Moving {
		t.Errorf("the look that begins the copy says %+v", status)
	}
	eventually(t, "it stands still", func() bool {
		status := look()
		return status.State == providers.StatePending && !status.Moving && strings.Contains(status.Message, "copying "+db+": 0 of 1 tables")
	})
	mustExec(t, holder, "SELECT pg_advisory_unlock(4711)")
	if status := look(); status.State != providers.StatePending || !status.Moving {
		t.Errorf("while it gets on, a look says %+v", status)
	}
	w.ready()
	if n := list(t, holder, "SELECT count(*)::text FROM big"); n[0] != "60" {
		t.Errorf("%s rows arrived", n)
	}
}

// TestGotOn tells a copy that gets on from one that stands, or begins again and again.
func TestGotOn(t *testing.T) {
	at := func(settled int, workers map[int32]copyWorker) copyReading {
		return copyReading{settled: settled, workers: workers}
	}
	one := map[int32]copyWorker{7: {table: 1, written: 10, caughtUp: 5}}
	for name, c := range map[string]struct {
		from, to copyReading
		want     bool
	}{
		"nothing happened":        {at(1, one), at(1, one), false},
		"nobody copies":           {at(1, nil), at(1, nil), false},
		"a table went on":         {at(1, one), at(2, nil), true},
		"rows were written":       {at(1, one), at(1, map[int32]copyWorker{7: {table: 1, written: 11, caughtUp: 5}}), true},
		"it caught up":            {at(1, one), at(1, map[int32]copyWorker{7: {table: 1, written: 10, caughtUp: 6}}), true},
		"it ended":                {at(1, one), at(1, nil), false},
		"another began":           {at(1, one), at(1, map[int32]copyWorker{8: {table: 1, written: 11, caughtUp: 6}}), false},
		"a worker's ID was taken": {at(1, one), at(1, map[int32]copyWorker{7: {table: 2, written: 11, caughtUp: 6}}), false},
	} {
		if got := c.from.gotOn(c.to); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
