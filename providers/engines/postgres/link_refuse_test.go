package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"meridian/providers"
)

// Whatever is refused is refused before anything is made, permanently, by name and without a secret.
func TestLinkRefuses(t *testing.T) {
	small := ownServer(t, "small", map[string]string{"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "1"})
	tight := ownServer(t, "tight", map[string]string{"max_replication_slots": "1"})
	idle := ownServer(t, "idle", map[string]string{"max_logical_replication_workers": "1"})
	for name, test := range map[string]struct {
		src, dst     *server
		source       string // run there as the app before
		target       string
		change       func(*world)
		want, nowant string
	}{
		"mode":               {change: func(w *world) { w.in.Link.Mode = "sideways" }, want: `mode "sideways"`},
		"maintenance":        {change: func(w *world) { w.in.Link.Databases = []string{"postgres"} }, want: "cannot be linked"},
		"wal_level":          {src: small, want: "wal_level in ankara is replica"},
		"no slot free":       {src: tight, want: "max_replication_slots in ankara is 1 and 0 are in use"},
		"no worker free":     {dst: idle, want: "max_logical_replication_workers in istanbul is 1 and 0 are in use"},
		"no primary key":     {source: "CREATE TABLE keyed (id int PRIMARY KEY); CREATE TABLE bare (id int)", want: "public.bare", nowant: "public.keyed"},
		"identity nothing":   {source: "CREATE TABLE bare (id int PRIMARY KEY); ALTER TABLE bare REPLICA IDENTITY NOTHING", want: "public.bare"},
		"rows at the target": {source: "CREATE TABLE a (id int PRIMARY KEY)", target: "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)", want: "public.a"},
		"column missing":     {source: "CREATE TABLE a (id int PRIMARY KEY, x text)", target: "CREATE TABLE a (id int PRIMARY KEY)", want: "public.a.x (text) is missing"},
		"column differs":     {source: "CREATE TABLE a (id bigint PRIMARY KEY)", target: "CREATE TABLE a (id int PRIMARY KEY)", want: "public.a.id is integer instead of bigint"},
		"no database":        {change: func(w *world) { w.in.Link.Databases = []string{"nowhere"} }, want: "nowhere"},
		"no pg_dump": {source: "CREATE TABLE a (id int PRIMARY KEY)", change: func(w *world) {
			w.engine = New(WithPgDump(func(int) (string, error) { return "", errors.New("nowhere to be found") }))
		}, want: "nowhere to be found"},
		"no pg_restore": {source: "CREATE TABLE a (id int PRIMARY KEY)", change: func(w *world) {
			w.engine = New(WithPgDump(func(int) (string, error) { return "/nonexistent/pg_dump", nil }))
		}, want: "pg_restore is missing"},
		"wrong password of an admin": {change: func(w *world) { w.in.To.Password = "App-Secret-wrong" }, want: "password authentication failed", nowant: "Secret"},
		"unmanaged role": {source: "CREATE TABLE a (id int PRIMARY KEY)", change: func(w *world) {
			role := fmt.Sprintf("by_hand%d", names.Add(1))
			admin := w.src.session(t, w.in.Link.Databases[0], "", "")
			mustExec(t, admin, "CREATE ROLE "+role+"; GRANT SELECT ON a TO "+role)
		}, want: "roles and extensions"},
		"foreign slot": {source: "CREATE TABLE a (id int PRIMARY KEY)", change: func(w *world) {
			admin, name := w.src.session(t, "postgres", "", ""), linkName(w.in, w.in.Link.Databases[0])
			mustExec(t, admin, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", name)
			t.Cleanup(func() { _ = dropSlot(context.Background(), admin, name) })
		}, want: "was not made by Meridian"},
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := test.src, test.dst
			if src == nil {
				src = lab.source
			}
			if dst == nil {
				dst = lab.target
			}
			w := newWorld(t, src, dst)
			for s, sql := range map[*server]string{src: test.source, dst: test.target} {
				if sql != "" {
					mustExec(t, s.session(t, w.in.Link.Databases[0], w.app(), appPassword), sql)
				}
			}
			if test.change != nil {
				test.change(w)
			}
			err := w.engine.EnsureLink(t.Context(), w.in)
			if !isPermanent(err) || !strings.Contains(err.Error(), test.want) || test.nowant != "" && strings.Contains(err.Error(), test.nowant) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprint(err), "Secret") {
				t.Errorf("a secret is in %v", err)
			}
			subs := list(t, dst.session(t, "postgres", "", ""), "SELECT subname FROM pg_subscription WHERE starts_with(subname, $1)", linkPrefix(w.in))
			if slots := w.slots(); len(subs) > 0 || len(slots) > 0 && name != "foreign slot" {
				t.Errorf("made subscriptions %q, slots %q", subs, slots)
			}
		})
	}
}

func TestLinkAcceptsFullIdentity(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	mustExec(t, lab.source.session(t, w.in.Link.Databases[0], w.app(), appPassword), "CREATE TABLE bare (id int); ALTER TABLE bare REPLICA IDENTITY FULL; INSERT INTO bare VALUES (1), (1)")
	w.ensure()
	w.ready()
	if n := list(t, lab.target.session(t, w.in.Link.Databases[0], w.app(), appPassword), "SELECT id::text FROM bare"); len(n) != 2 {
		t.Errorf("%d rows", len(n))
	}
}

func TestLinkBetweenMajors(t *testing.T) {
	if len(lab.bins) < 2 {
		t.Skip("one major of PostgreSQL is installed; MERIDIAN_POSTGRES_BIN names more")
	}
	newer := ownServerOf(t, "newer", lab.bins[len(lab.bins)-1], nil)
	up := newWorld(t, lab.source, newer)
	src := lab.source.session(t, up.in.Link.Databases[0], up.app(), appPassword)
	mustExec(t, src, "CREATE TABLE a (id serial PRIMARY KEY, x text NOT NULL); INSERT INTO a (x) SELECT 'x' FROM generate_series(1, 100)")
	up.ensure()
	up.ready()
	if n := list(t, newer.session(t, up.in.Link.Databases[0], up.app(), appPassword), "SELECT count(*)::text FROM a"); n[0] != "100" {
		t.Errorf("%s rows", n)
	}
	down := newWorld(t, newer, lab.target)
	if err := down.engine.EnsureLink(t.Context(), down.in); !isPermanent(err) || !strings.Contains(err.Error(), "is newer than") {
		t.Errorf("got %v", err)
	}
}

// A smaller run is refused by each step, and changes nothing.
func TestLinkSuperseded(t *testing.T) {
	w := newWorld(t, lab.source, lab.target)
	mustExec(t, lab.source.session(t, w.in.Link.Databases[0], w.app(), appPassword), "CREATE TABLE a (id int PRIMARY KEY)")
	old := w.in
	w.in.RunNumber = runs.Add(1)
	w.ensure()
	w.ready()
	before := w.traces()
	_, checkErr := w.engine.CheckLink(t.Context(), old)
	for name, err := range map[string]error{"ensure": w.engine.EnsureLink(t.Context(), old), "check": checkErr, "remove": w.engine.RemoveLink(t.Context(), old)} {
		if !errors.Is(err, providers.ErrSuperseded) || errors.Is(err, providers.ErrPermanent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The target may be gone: then the number on the source speaks.
	lost := old
	lost.To.Endpoint.Port = 1
	if err := w.engine.RemoveLink(t.Context(), lost); !errors.Is(err, providers.ErrSuperseded) {
		t.Errorf("remove without the target: %v", err)
	}
	if after := w.traces(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%q became %q", before, after)
	}
}
