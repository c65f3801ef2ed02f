package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	"meridian/providers/local/server"
)

// database is the PostgreSQL of the scripts, started by the first that wants one.
type database struct {
	t       *testing.T
	once    sync.Once
	url     string
	scripts sync.Map // *testscript.TestScript -> URL of its own database
}

// here reports whether this machine has a PostgreSQL.
func (d *database) here() bool {
	found, err := server.Find(context.Background())
	return err == nil && len(found) > 0
}

// commands are those of scripts that work on stores.
func (d *database) commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"postgres": d.postgres, "psql": d.psql, "rows": rows, "cut": d.cut}
}

// postgres makes a database for the script: $PGURL is its URL without the password, $PGNAME its name; the file password holds the password, and
// store-url the whole URL.
func (d *database) postgres(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: postgres")
	}
	d.once.Do(func() { d.url = storetest.Postgres(d.t) })
	sum := sha256.Sum256([]byte(ts.Getenv("WORK")))
	name := "s" + hex.EncodeToString(sum[:4])
	d.exec(ts, d.url, "CREATE DATABASE "+name)
	u, err := url.Parse(d.url)
	ts.Check(err)
	u.Path = "/" + name
	d.scripts.Store(ts, u.String())
	ts.Check(os.WriteFile(ts.MkAbs("store-url"), []byte(u.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("password"), []byte(storetest.Password), 0o600))
	u.User = url.User(u.User.Username())
	ts.Setenv("PGURL", u.String())
	ts.Setenv("PGNAME", name)
}

func (d *database) of(ts *testscript.TestScript) string {
	where, ok := d.scripts.Load(ts)
	if !ok {
		ts.Fatalf("the script has no database: say postgres first")
	}
	return where.(string)
}

func (d *database) exec(ts *testscript.TestScript, where, sql string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, where)
	ts.Check(err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	ts.Check(err)
}

// psql SQL runs statements in the script's database, with the script's variables in them. A query's first value is printed.
func (d *database) psql(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: psql sql")
	}
	sql := os.Expand(args[0], ts.Getenv)
	if !strings.HasPrefix(sql, "SELECT ") {
		d.exec(ts, d.of(ts), sql)
		return
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, d.of(ts))
	ts.Check(err)
	defer conn.Close(ctx)
	var text string
	ts.Check(conn.QueryRow(ctx, sql).Scan(&text))
	fmt.Fprintln(ts.Stdout(), text)
}

// rows SQL... runs statements in the store of the data directory, which is made where it is missing, its keyring too.
func rows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: rows sql...")
	}
	dir, ctx := ts.Getenv("MERIDIAN_DATA"), context.Background()
	ts.Check(os.MkdirAll(dir, 0o711))
	_, err := keyring.Open(keyring.Source{Dir: dir}, true)
	ts.Check(err)
	st, err := store.Open(ctx, dir)
	ts.Check(err)
	defer st.Close()
	ts.Check(st.Write(ctx, func(tx *store.Tx) error {
		for _, sql := range args {
			if _, err := tx.Exec(sql); err != nil {
				return err
			}
		}
		return nil
	}))
}

// cut TABLE PROGRAM ARGS... kills a program as soon as it waits to write into a table of the script's database.
func (d *database) cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: cut table program [args...]")
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, d.of(ts))
	ts.Check(err)
	defer conn.Close(ctx) // the lock ends with it
	_, err = conn.Exec(ctx, "BEGIN; LOCK TABLE "+args[0]+" IN SHARE MODE")
	ts.Check(err)
	cmd := command(ts, args[1:]...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	waits := func() bool {
		var n int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass", args[0]).Scan(&n)
		return err == nil && n > 0
	}
	if !waitUntil(func() bool { return waits() || len(ended) > 0 }) || len(ended) > 0 {
		ts.Fatalf("it never came to write into %s: %s", args[0], out.String())
	}
	ts.Check(cmd.Process.Kill())
	<-ended
}
