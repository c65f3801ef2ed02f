package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
)

// fenceLock is the advisory lock that a step holds on a server while it changes it ("meridian" in ASCII).
const fenceLock int64 = 0x6d6572696469616e

// fenceWait bounds the wait for another attempt of the same run; its end is normally a matter of milliseconds.
const fenceWait = 10 * time.Second

var errBusy = errors.New("another attempt is at work here")

// guard is the right to change one server in the name of a run. It lives in a session of its own: when that ends, so does the right.
type guard struct {
	conn   *pgx.Conn
	region string
	run    int64
}

// newGuard takes the lock and writes the run's number. A number smaller than the one that is there is refused with
// ErrSuperseded. Sessions of older runs are ended, so a stopped attempt of one cannot hold the server up or write later.
func newGuard(ctx context.Context, t providers.Target, run int64) (*guard, error) {
	conn, err := connect(ctx, t, maintenanceDB, run)
	if err != nil {
		return nil, err
	}
	g := &guard{conn: conn, region: t.Region, run: run}
	if err := g.take(ctx); err != nil {
		g.close()
		return nil, fmt.Errorf("fence of %s: %w", t.Region, err)
	}
	return g, nil
}

func (g *guard) take(ctx context.Context) error {
	if err := checkFence(ctx, g.conn, g.run); err != nil {
		return err
	}
	// A holder that stands still for longer than any step lasts loses the lock.
	if _, err := g.conn.Exec(ctx, "SET idle_session_timeout = '120s'"); err != nil && sqlState(err) == "" {
		return err
	}
	if err := g.lock(ctx); err != nil {
		return err
	}
	_, err := g.conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS meridian;
		CREATE TABLE IF NOT EXISTS meridian.fence (one boolean PRIMARY KEY DEFAULT true CHECK (one), number bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
		CREATE TABLE IF NOT EXISTS meridian.linked (link text, database text, PRIMARY KEY (link, database))`)
	if err != nil {
		return fmt.Errorf("make table: %w", err)
	}
	tag, err := g.conn.Exec(ctx, `INSERT INTO meridian.fence (number) VALUES ($1)
		ON CONFLICT (one) DO UPDATE SET number = excluded.number, at = now() WHERE fence.number <= excluded.number`, g.run)
	if err != nil {
		return fmt.Errorf("write run number: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("run %d: %w", g.run, providers.ErrSuperseded)
	}
	return g.endOlder(ctx)
}

// lock waits for the advisory lock, in short tries; between two of them it ends a holder of an older run.
func (g *guard) lock(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fenceWait, errBusy)
	defer cancel()
	for {
		_, err := g.conn.Exec(ctx, "SET lock_timeout = '500ms'; SELECT pg_advisory_lock("+strconv.FormatInt(fenceLock, 10)+")")
		switch {
		case err == nil:
			_, err = g.conn.Exec(ctx, "SET lock_timeout = '5s'")
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("wait for the lock: %w", context.Cause(ctx))
		case sqlState(err) != codeLockNotAvailable:
			return fmt.Errorf("take the lock: %w", err)
		}
		if err := g.endOlder(ctx); err != nil {
			return err
		}
	}
}

// endOlder ends the sessions of runs before this one.
func (g *guard) endOlder(ctx context.Context) error {
	_, err := g.conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE starts_with(application_name, $1) AND pid <> pg_backend_pid()
		  AND CASE WHEN substr(application_name, length($1) + 1) ~ '^[0-9]{1,18}$' THEN substr(application_name, length($1) + 1)::bigint END BETWEEN 1 AND $2 - 1`,
		appPrefix, g.run)
	if err != nil && sqlState(err) != codeNoPrivilege {
		return fmt.Errorf("end sessions of older runs: %w", err)
	}
	return nil
}

// hold says whether the right still stands; a step asks before each thing that it changes.
func (g *guard) hold(ctx context.Context) error {
	if err := checkFence(ctx, g.conn, g.run); err != nil {
		return fmt.Errorf("fence of %s: %w", g.region, err)
	}
	return nil
}

func (g *guard) close() { shut(g.conn) }

// noteLinked writes down, before anything is made, that a link leaves things in these databases of the server: its removal
// looks there, whatever the spec says by then, and need not open every database.
func (g *guard) noteLinked(ctx context.Context, link string, databases []string) error {
	_, err := g.conn.Exec(ctx, "INSERT INTO meridian.linked SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING", link, databases)
	return wrapIf(err, "note the link in "+g.region)
}

// linked lists the databases in which a link may have left something.
func (g *guard) linked(ctx context.Context, link string) ([]string, error) {
	dbs, err := strs(ctx, g.conn, "SELECT database FROM meridian.linked WHERE link = $1 ORDER BY 1", link)
	return dbs, wrapIf(err, "read the link's note in "+g.region)
}

// forgetLinked takes a note back: the link has nothing left in that database.
func (g *guard) forgetLinked(ctx context.Context, link, database string) error {
	_, err := g.conn.Exec(ctx, "DELETE FROM meridian.linked WHERE link = $1 AND database = $2", link, database)
	return wrapIf(err, "take the link's note back in "+g.region)
}

// checkFence reads the number on the server and refuses a run of a smaller one.
func checkFence(ctx context.Context, conn *pgx.Conn, run int64) error {
	var number int64
	err := conn.QueryRow(ctx, "SELECT number FROM meridian.fence").Scan(&number)
	switch {
	case sqlState(err) == codeNoTable, sqlState(err) == codeNoSchema, errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("read run number: %w", err)
	case number > run:
		return fmt.Errorf("run %d, but run %d: %w", run, number, providers.ErrSuperseded)
	}
	return nil
}
