package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
)

// oldestMajor is the first version with the role pg_read_all_data.
const oldestMajor = 14

// preflight refuses what would fail later or, worse, hurt the user's application, before anything is made.
func (l *link) preflight(ctx context.Context) error {
	fromMajor, err := major(ctx, l.from.conn)
	if err != nil {
		return err
	}
	toMajor, err := major(ctx, l.to.conn)
	if err != nil {
		return err
	}
	from, to := l.in.From.Region, l.in.To.Region
	if fromMajor < oldestMajor {
		return permanent("PostgreSQL %d in %s: a logical link needs %d or newer", fromMajor, from, oldestMajor)
	}
	if toMajor < fromMajor {
		return permanent("PostgreSQL %d in %s is newer than %d in %s: rows and schema flow to the same or a newer major only", fromMajor, from, toMajor, to)
	}
	var walLevel string
	if err := l.from.conn.QueryRow(ctx, "SELECT current_setting('wal_level')").Scan(&walLevel); err != nil {
		return fmt.Errorf("read wal_level: %w", err)
	}
	if walLevel != "logical" {
		return permanent("wal_level in %s is %s: a logical link needs engine parameter wal_level: logical", from, walLevel)
	}
	for _, p := range l.pairs {
		if err := keyless(ctx, p, from); err != nil {
			return err
		}
	}
	return l.checkRoom(ctx, toMajor)
}

// keyless refuses tables that have no replica identity: once they are published the user's own UPDATE and DELETE fail.
func keyless(ctx context.Context, p pair, region string) error {
	tables, err := strs(ctx, p.src, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relreplident <> 'f'
		  AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
		      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("look for tables without a key: %w", err)
	}
	if len(tables) > 0 {
		return permanent("database %s in %s has tables without a primary key, whose UPDATE and DELETE would fail once they are replicated: %s; add a primary key, or ALTER TABLE ... REPLICA IDENTITY FULL",
			p.database, region, some(tables))
	}
	return nil
}

// some lists at most ten names.
func some(names []string) string {
	if len(names) > 10 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:10], ", "), len(names)-10)
	}
	return strings.Join(names, ", ")
}

// room is one limit of a server: the setting, how much of it is in use.
type room struct {
	setting   string
	max, used int
}

// checkRoom wants one free place per new database of the link and one more for the initial copy, in each limit of both servers.
func (l *link) checkRoom(ctx context.Context, toMajor int) error {
	news := 0
	for _, p := range l.pairs {
		s, err := readSlot(ctx, l.from.conn, p.name)
		if err != nil {
			return err
		}
		if s == nil {
			news++
		}
	}
	if news == 0 {
		return nil
	}
	origins := "max_replication_slots"
	if toMajor >= 18 {
		origins = "max_active_replication_origins"
	}
	for _, side := range []struct {
		t     providers.Target
		conn  *pgx.Conn
		rooms map[string]string
	}{
		{l.in.From, l.from.conn, map[string]string{
			"max_replication_slots": "SELECT count(*) FROM pg_replication_slots",
			"max_wal_senders":       "SELECT count(*) FROM pg_stat_replication",
		}},
		{l.in.To, l.to.conn, map[string]string{
			origins:                           "SELECT count(*) FROM pg_replication_origin",
			"max_logical_replication_workers": "SELECT count(*) FROM pg_subscription WHERE subenabled",
			"max_worker_processes":            "SELECT count(*) + 1 FROM pg_subscription WHERE subenabled",
		}},
	} {
		for setting, used := range side.rooms {
			r := room{setting: setting}
			if err := side.conn.QueryRow(ctx, "SELECT current_setting($1)::int, ("+used+")::int", setting).Scan(&r.max, &r.used); err != nil {
				return fmt.Errorf("read %s: %w", setting, err)
			}
			if r.max-r.used < news+1 {
				return permanent("%s in %s is %d and %d are in use: this link needs %d more; raise the engine parameter", r.setting, side.t.Region, r.max, r.used, news+1)
			}
		}
	}
	return nil
}
