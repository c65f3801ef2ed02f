package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
)

// onPostgres skips a test of the first run: the second one has the server.
func onPostgres(t *testing.T) {
	t.Helper()
	if !storetest.OnPostgres() {
		t.Skip("about PostgreSQL")
	}
}

func connect(t *testing.T, where string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// columns lists "table.column" with what it may hold.
func columns(t *testing.T, s *store.Store, query string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := s.Read(t.Context(), func(tx *store.Tx) error {
		clear(out)
		rows, err := tx.Query(query)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var table, column, kind string
			var required bool
			if err := rows.Scan(&table, &column, &kind, &required); err != nil {
				return err
			}
			out[table+"."+column] = fmt.Sprintf("%s required=%v", kind, required)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBothStoresHaveTheSameTables(t *testing.T) {
	onPostgres(t)
	file, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	want := columns(t, file, `SELECT m.name, c.name, c.type, c."notnull" OR c.pk > 0 FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite%'`)
	got := columns(t, open(t, t.TempDir()), `SELECT c.relname::text, a.attname::text,
		CASE WHEN a.attcollation <> 0 THEN 'TEXT' ELSE CASE format_type(a.atttypid, NULL) WHEN 'bigint' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' ELSE format_type(a.atttypid, NULL) END END,
		a.attnotnull FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND c.relname NOT LIKE 'goose%'`)
	delete(got, "changes.xid")
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s is %q in SQLite and %q in PostgreSQL", name, want[name], got[name])
		}
		delete(got, name)
	}
	if len(got) > 0 || len(want) < 100 {
		t.Errorf("only in PostgreSQL: %v (%d columns in SQLite)", got, len(want))
	}
	var odd int
	scan(t, open(t, t.TempDir()), `SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`, &odd)
	if odd > 0 {
		t.Errorf("%d texts do not compare by their bytes", odd)
	}
}

// What one transaction decides by what it reads, another must not have changed meanwhile.
func TestTransactionsBehaveAsIfAlone(t *testing.T) {
	s := open(t, t.TempDir())
	const n = 6
	var wg sync.WaitGroup
	for i := range n { // each may come in only while fewer than two are there
		wg.Go(func() {
			err := s.Write(t.Context(), func(tx *store.Tx) error {
				var there int
				if err := tx.QueryRow("SELECT count(*) FROM meta WHERE key LIKE 'seat-%'").Scan(&there); err != nil || there >= 2 {
					return err
				}
				_, err := tx.Exec("INSERT INTO meta (key) VALUES (?)", fmt.Sprintf("seat-%d", i))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var there int
	if scan(t, s, "SELECT count(*) FROM meta WHERE key LIKE 'seat-%'", &there); there != 2 {
		t.Fatalf("%d of 2 seats are taken", there)
	}
}

// A transaction that took a lower sequence and commits after a higher one is not passed over.
func TestWatchSeesWhatIsCommittedLate(t *testing.T) {
	onPostgres(t)
	dir := t.TempDir()
	s := open(t, dir)
	conn := connect(t, storetest.Where(t, dir))
	feed := s.Watch(t.Context())
	late, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lower int64
	if err := late.QueryRow(t.Context(), "INSERT INTO changes (topic, key, at) VALUES ('run', 'late', 0) RETURNING seq").Scan(&lower); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		notify(t, s, "run", fmt.Sprint(i))
		if c := next(t, feed); c.Key != fmt.Sprint(i) || c.Seq <= lower {
			t.Fatalf("change %+v; the late one has %d", c, lower)
		}
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	notify(t, s, "run", "after")
	if c := next(t, feed); c.Key != "late" || c.Seq != lower {
		t.Fatalf("change %+v, want the late one", c)
	}
	if c := next(t, feed); c.Key != "after" {
		t.Fatalf("change %+v: one was sent twice", c)
	}
}

func TestWatchHearsOthersAtOnce(t *testing.T) {
	onPostgres(t)
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	a.PollEvery(time.Hour) // nothing but a notice can wake it
	feed := a.Watch(t.Context())
	for i := range 5 {
		notify(t, b, "run", fmt.Sprint(i))
		if c := next(t, feed); c.Key != fmt.Sprint(i) {
			t.Fatalf("change %+v", c)
		}
	}
}

// proxy stands between a store and its server and can cut the line.
type proxy struct {
	where string // the store's URL through it
	// cut looks at what a client says; nil lets everything pass.
	cut  atomic.Pointer[func(client []byte) cut]
	away atomic.Bool
	mu   sync.Mutex
	open []net.Conn
}

// cut is what becomes of a line.
type cut int

const (
	cutNot    cut = iota
	cutBefore     // what the client said does not arrive
	cutAfter      // it arrives, and the answer is lost
)

// newProxy starts one; it ends with the test.
func newProxy(t *testing.T, where string) *proxy {
	t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	u.Host = l.Addr().String()
	p.where = u.String()
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		p.leave()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil || p.away.Load() {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, client, upstream)
			p.mu.Unlock()
			wg.Go(func() { p.pass(client, upstream) })
			wg.Go(func() {
				_, _ = io.Copy(client, upstream)
				_ = client.Close()
			})
		}
	})
	return p
}

// leave cuts every line and lets no other in, until away is false again.
func (p *proxy) leave() {
	p.away.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

// pass passes on what the client says.
func (p *proxy) pass(client, upstream net.Conn) {
	defer func() { _, _ = client.Close(), upstream.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		what := cutNot
		if f := p.cut.Load(); f != nil {
			what = (*f)(buf[:n])
		}
		if what != cutNot {
			_ = client.Close()
		}
		if what == cutBefore {
			return
		}
		if _, err := upstream.Write(buf[:n]); err != nil || what == cutAfter {
			return
		}
	}
}

// cutCommit cuts the line at the next COMMIT.
func (p *proxy) cutCommit(what cut) {
	var done atomic.Bool
	f := func(client []byte) cut {
		if bytes.Contains(client, []byte("commit")) && done.CompareAndSwap(false, true) {
			return what
		}
		return cutNot
	}
	p.cut.Store(&f)
}

// A commit whose answer is lost stands exactly once, whether the server got it or not.
func TestALostCommitIsReadBack(t *testing.T) {
	onPostgres(t)
	for name, c := range map[string]struct {
		what cut
		runs int
	}{"the server got it": {cutAfter, 1}, "the server did not get it": {cutBefore, 2}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			direct := open(t, dir)
			p := newProxy(t, storetest.Where(t, dir))
			s, err := store.Open(t.Context(), p.where)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			p.cutCommit(c.what)
			runs := 0
			err = s.Write(t.Context(), func(tx *store.Tx) error {
				runs++
				_, err := tx.Exec("INSERT INTO meta (key) VALUES ('once')")
				return err
			})
			if err != nil || runs != c.runs {
				t.Errorf("the transaction ran %d times, want %d; %v", runs, c.runs, err)
			}
			var n int
			if scan(t, direct, "SELECT count(*) FROM meta WHERE key = 'once'", &n); n != 1 {
				t.Fatalf("%d rows", n)
			}
		})
	}
}

// While the server is away a transaction waits, as long as its context lets it, and says so.
func TestAServerThatIsAway(t *testing.T) {
	onPostgres(t)
	dir := t.TempDir()
	p := newProxy(t, storetest.Where(t, dir))
	s, err := store.Open(t.Context(), p.where)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	feed := s.Watch(t.Context())
	notify(t, s, "run", "before")
	next(t, feed)
	p.leave()
	short, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	err = s.Write(short, func(tx *store.Tx) error { return tx.Notify("run", "never") })
	if !errors.Is(err, store.ErrAway) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a write to a server that is away: %v", err)
	}
	back := time.AfterFunc(300*time.Millisecond, func() { p.away.Store(false) })
	defer back.Stop()
	notify(t, s, "run", "after")
	if c := next(t, feed); c.Key != "after" {
		t.Fatalf("change %+v", c)
	}
}

func TestPostgresRefuses(t *testing.T) {
	onPostgres(t)
	where := storetest.Where(t, t.TempDir())
	change := func(f func(u *url.URL, q url.Values)) string {
		u, err := url.Parse(where)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		f(u, q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	for name, c := range map[string]struct{ where, says string }{
		"a wrong password": {change(func(u *url.URL, _ url.Values) { u.User = url.UserPassword(u.User.Username(), "hush-hush") }), "check the password"},
		"no such database": {change(func(u *url.URL, _ url.Values) { u.Path = "/absent" }), "create it"},
		"no such schema":   {change(func(_ *url.URL, q url.Values) { q.Set("search_path", "absent") }), "no schema"},
		"nothing durable":  {change(func(_ *url.URL, q url.Values) { q.Set("synchronous_commit", "off") }), "synchronous_commit"},
		"nobody there":     {change(func(u *url.URL, _ url.Values) { u.Host = "127.0.0.1:1" }), "is the server running"},
		"a broken URL":     {"postgres://u:hush-hush@h:port/d", "percent-encoded"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer stop()
			s, err := store.Open(ctx, c.where)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "a-password") {
				t.Fatalf("error %q; want %q and no secret", err, c.says)
			}
		})
	}
	dir := t.TempDir()
	err := open(t, dir).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, true)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), storetest.Where(t, dir)); !errors.Is(err, store.ErrNewer) {
		t.Fatalf("a newer store: %v", err)
	}
}
