package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

var (
	runs  atomic.Int64 // numbers only grow on the servers that tests share
	names atomic.Int64
)

const appPassword = "App-Secret-4f1c"

// world is one database in two regions, ready to be linked.
type world struct {
	t        *testing.T
	engine   *Engine
	src, dst *server
	in       providers.LinkInput
}

func newWorld(t *testing.T, src, dst *server, databases ...string) *world {
	t.Helper()
	n := names.Add(1)
	if len(databases) == 0 {
		databases = []string{fmt.Sprintf("orders%d", n)}
	}
	w := &world{t: t, engine: newEngine(), src: src, dst: dst}
	app := fmt.Sprintf("app%d", n)
	o := providers.Objects{RunNumber: runs.Add(1), Users: []stacks.User{{Name: app}}, Passwords: map[string]string{app: appPassword}}
	for _, d := range databases {
		o.Databases = append(o.Databases, stacks.LogicalDatabase{Name: d, Owner: app})
	}
	w.in = providers.LinkInput{
		Stack:     stacks.StackID{Namespace: "default", Name: "orders", Incarnation: fmt.Sprintf("inc%d", n), Region: "istanbul"},
		RunNumber: o.RunNumber,
		Link:      stacks.Link{From: "ankara", To: "istanbul", Mode: stacks.LinkLogical, Databases: databases},
		From:      src.target("ankara"), To: dst.target("istanbul"),
		Password: fmt.Sprintf("Repl-Secret'%d\\", n), Objects: o, MaxLag: 10 * time.Second,
	}
	for _, target := range []providers.Target{w.in.From, w.in.To} {
		if _, err := w.engine.EnsureObjects(t.Context(), target, o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.cleanUp)
	return w
}

// cleanUp gives the shared servers their room back.
func (w *world) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w.in.RunNumber = runs.Add(1)
	_ = w.engine.RemoveLink(ctx, w.in)
}

func (w *world) app() string { return w.in.Objects.Users[0].Name }

func (w *world) ensure() {
	w.t.Helper()
	if err := w.engine.EnsureLink(w.t.Context(), w.in); err != nil {
		w.t.Fatal(err)
	}
}

// ready looks until the link is ready, and returns the messages on the way.
func (w *world) ready() (status providers.LinkStatus, messages []string) {
	w.t.Helper()
	eventually(w.t, "link ready", func() bool {
		var err error
		status, err = w.engine.CheckLink(w.t.Context(), w.in)
		if err != nil {
			w.t.Fatal(err)
		}
		if status.State == providers.StateFailed {
			w.t.Fatalf("failed: %s", status.Message)
		}
		messages = append(messages, status.Message)
		return status.State == providers.StateReady
	})
	return status, messages
}

func (w *world) slots() []string {
	w.t.Helper()
	slots, err := w.engine.SlotsOf(w.t.Context(), w.in.From, w.in.Stack.Incarnation)
	if err != nil {
		w.t.Fatal(err)
	}
	return slots
}

// traces lists all that a link leaves on the two servers.
func (w *world) traces() []string {
	w.t.Helper()
	out := []string{}
	admin := w.src.session(w.t, "postgres", "", "")
	for _, s := range w.slots() {
		out = append(out, "slot "+s)
	}
	out = append(out, list(w.t, admin, "SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE slot_name LIKE '%sync%' ORDER BY 1")...)
	out = append(out, list(w.t, admin, "SELECT 'note ' || database FROM meridian.linked WHERE link = $1", linkPrefix(w.in))...)
	out = append(out, list(w.t, admin, "SELECT 'role ' || rolname FROM pg_roles WHERE rolname = $1", roleName(w.in))...)
	for _, d := range w.in.Link.Databases {
		out = append(out, list(w.t, w.src.session(w.t, d, "", ""), "SELECT 'publication ' || pubname FROM pg_publication UNION ALL SELECT 'source schema ' || nspname FROM pg_namespace WHERE nspname = 'meridian' ORDER BY 1")...)
	}
	if w.dst.cmd.ProcessState == nil {
		for _, d := range w.in.Link.Databases {
			out = append(out, list(w.t, w.dst.session(w.t, d, "", ""), `SELECT 'subscription ' || subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()
				UNION ALL SELECT 'target schema ' || nspname FROM pg_namespace WHERE nspname = 'meridian' ORDER BY 1`)...)
		}
	}
	return out
}

func TestLinkCopiesRowsAndFollows(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	db := w.in.Link.Databases[0]
	src := lab.source.session(t, db, w.app(), appPassword)
	mustExec(t, src, `CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE SCHEMA shop; CREATE SEQUENCE shop.ids;
		CREATE FUNCTION shop.twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2; -- \restrict me';
		CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, mood mood);
		CREATE TABLE shop."Odd Orders" (id bigint PRIMARY KEY DEFAULT nextval('shop.ids'), customer int REFERENCES customers, amount numeric(10,2) CHECK (amount > 0));
		CREATE INDEX by_customer ON shop."Odd Orders" (customer);
		CREATE VIEW big AS SELECT * FROM shop."Odd Orders" WHERE amount > 50;
		INSERT INTO customers SELECT i, 'c' || i, 'good' FROM generate_series(1, 1000) i;
		INSERT INTO shop."Odd Orders" (customer, amount) SELECT 1 + i % 1000, i FROM generate_series(1, 200000) i`)
	w.ensure()
	status, messages := w.ready()
	if status.Lag <= 0 || status.Lag > 5*time.Second {
		t.Errorf("lag %s", status.Lag)
	}
	t.Logf("lag %s after %q", status.Lag, messages)

	const sum = `SELECT count(*) || ' ' || sum(hashtextextended(x::text, 0)) FROM %s x`
	dst := lab.target.session(t, db, w.app(), appPassword)
	for _, table := range []string{"customers", `shop."Odd Orders"`} {
		a, b := list(t, src, fmt.Sprintf(sum, table)), list(t, dst, fmt.Sprintf(sum, table))
		if !slices.Equal(a, b) {
			t.Errorf("%s: %s at the source, %s at the target", table, a, b)
		}
	}
	if got := list(t, dst, "SELECT viewowner FROM pg_views WHERE viewname = 'big'"); !slices.Equal(got, []string{w.app()}) {
		t.Errorf("owner of the view: %q", got)
	}

	mustExec(t, src, "UPDATE customers SET name = 'changed' WHERE id = 7; DELETE FROM shop.\"Odd Orders\" WHERE id = 5; INSERT INTO customers VALUES (1001, 'new', 'bad')")
	eventually(t, "changes at the target", func() bool {
		return slices.Equal(list(t, dst, "SELECT name FROM customers WHERE id IN (7, 1001) ORDER BY id"), []string{"changed", "new"}) &&
			len(list(t, dst, `SELECT id::text FROM shop."Odd Orders" WHERE id = 5`)) == 0
	})

	before := w.traces()
	for range 3 {
		w.ensure()
		w.ready()
	}
	if after := w.traces(); !slices.Equal(before, after) {
		t.Errorf("repeated: %q became %q", before, after)
	}
	if n := list(t, dst, "SELECT count(*)::text FROM customers"); n[0] != "1001" {
		t.Errorf("%s customers after repeating", n)
	}
}

func TestRemoveLinkLeavesNothing(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	src := lab.source.session(t, w.in.Link.Databases[0], w.app(), appPassword)
	mustExec(t, src, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
	before := w.traces()
	w.ensure()
	w.ready()
	if len(w.slots()) != 1 {
		t.Fatalf("slots: %q", w.slots())
	}
	for range 2 {
		if err := w.engine.RemoveLink(t.Context(), w.in); err != nil {
			t.Fatal(err)
		}
		if after := w.traces(); !slices.Equal(before, after) {
			t.Errorf("left: %q", after)
		}
	}
	dst := lab.target.session(t, w.in.Link.Databases[0], w.app(), appPassword)
	if n := list(t, dst, "SELECT count(*)::text FROM a"); n[0] != "1" {
		t.Errorf("%s rows after the link", n)
	}
	// The rows that stayed are neither doubled nor deleted by a second link.
	err := w.engine.EnsureLink(t.Context(), w.in)
	if !isPermanent(err) || !strings.Contains(err.Error(), "public.a") {
		t.Errorf("want a question about table a, got %v", err)
	}
	mustExec(t, dst, "DELETE FROM a")
	w.ensure()
	w.ready()
	if n := list(t, dst, "SELECT count(*)::text FROM a"); n[0] != "1" {
		t.Errorf("%s rows after the second link", n)
	}
}
