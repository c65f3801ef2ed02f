package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/stacks"
)

// sideWait bounds the work on one side of a removal: a hung server must not keep the other side from being cleaned.
const sideWait = 15 * time.Second

// RemoveLink removes subscription, slot, publication, role and heartbeat of a link, from all databases that it ever had. Rows
// and tables stay. The target goes first, so that nobody reconnects to the source. What cannot be reached is reported as a
// *LeftBehindError, after the other side is clean. A side without an endpoint was never made, and is left out.
func (e *Engine) RemoveLink(ctx context.Context, in providers.LinkInput) error {
	return settle(removeLink(ctx, in), secretsOf(in)...)
}

func removeLink(ctx context.Context, in providers.LinkInput) error {
	if in.Link.Mode == stacks.LinkPhysical {
		return removeFollows(ctx, in)
	}
	r := &removal{in: in, keep: func(string) bool { return false }}
	left := &LeftBehindError{}
	for _, side := range []struct {
		t    providers.Target
		work func(context.Context, *guard) error
		what []string
	}{
		{in.To, r.target, r.targetNames()},
		{in.From, r.sourceAndRole, r.sourceNames()},
	} {
		if side.t.Endpoint.Host == "" {
			continue // a region that never had an address has nothing
		}
		err := onSide(ctx, side.t, in.RunNumber, side.work)
		if sqlState(err) == codeSessionEnded {
			// It may have been a newer run that ended our sessions.
			err = errors.Join(err, readFence(ctx, side.t, in.RunNumber))
		}
		switch {
		case ctx.Err() != nil && err != nil:
			return err
		case err != nil && unreachable(err) && !errors.Is(err, errBusy) && !errors.Is(err, providers.ErrSuperseded):
			left.Sides = append(left.Sides, LeftSide{Region: side.t.Region, Names: side.what, Err: err})
		case err != nil:
			return err
		}
	}
	if len(left.Sides) > 0 {
		return left
	}
	return nil
}

// onSide does the work on one server within a bounded time: half of what is left at most, so that the other has its turn.
func onSide(ctx context.Context, t providers.Target, run int64, work func(context.Context, *guard) error) error {
	wait := sideWait
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	g, err := newGuard(ctx, t, run)
	if err != nil {
		return err
	}
	defer g.close()
	return work(ctx, g)
}

// removal is one call that takes a link away, from all databases but those to keep.
type removal struct {
	in   providers.LinkInput
	keep func(database string) bool
}

func (r *removal) targetNames() []string {
	var names []string
	for _, db := range r.in.Link.Databases {
		names = append(names, "subscription "+linkName(r.in, db)+" in database "+db)
	}
	return names
}

func (r *removal) sourceNames() []string {
	var names []string
	for _, db := range r.in.Link.Databases {
		names = append(names, "slot and publication "+linkName(r.in, db)+" in database "+db)
	}
	return append(names, "role "+roleName(r.in))
}

// target drops the subscriptions. g is the right to change the target.
func (r *removal) target(ctx context.Context, g *guard) error {
	return r.each(ctx, g, r.in.To, func(conn *pgx.Conn, database string) error {
		subs, err := readSubscriptions(ctx, conn, database)
		if err != nil {
			return err
		}
		for _, s := range subs {
			if !ofLink(r.in, s.name) {
				continue
			}
			if err := dropSubscription(ctx, conn, s); err != nil {
				return err
			}
		}
		return dropHeartbeat(ctx, conn, linkName(r.in, database))
	})
}

// sourceAndRole keeps the role from logging in first: a target that we could not reach must not take its slot again.
func (r *removal) sourceAndRole(ctx context.Context, g *guard) error {
	role := roleName(r.in)
	_, err := g.conn.Exec(ctx, "ALTER ROLE "+ident(role)+" NOLOGIN")
	if err != nil && sqlState(err) != codeNoObject {
		return fmt.Errorf("lock role %s: %w", role, err)
	}
	if err := r.source(ctx, g); err != nil {
		return err
	}
	if _, err := dropRole(ctx, g, r.in.From, role); err != nil {
		return fmt.Errorf("drop role %s: %w", role, err)
	}
	return nil
}

// source drops slots and publications. g is the right to change the source.
func (r *removal) source(ctx context.Context, g *guard) error {
	return r.each(ctx, g, r.in.From, func(conn *pgx.Conn, database string) error {
		if err := r.unpublish(ctx, conn); err != nil {
			return err
		}
		return dropHeartbeat(ctx, conn, linkName(r.in, database))
	})
}

// each does the work in every database of a server in which the link may have left something, but those to keep.
func (r *removal) each(ctx context.Context, g *guard, t providers.Target, work func(conn *pgx.Conn, database string) error) error {
	noted, err := g.linked(ctx, linkPrefix(r.in))
	if err != nil {
		return err
	}
	there, err := readDatabases(ctx, g.conn)
	if err != nil {
		return err
	}
	for _, name := range noted {
		if r.keep(name) {
			continue
		}
		// What was in a database went with it.
		if slices.ContainsFunc(there, func(d database) bool { return d.name == name && !d.broken }) {
			if err := inDatabase(ctx, g, t, name, func(conn *pgx.Conn) error { return work(conn, name) }); err != nil {
				return fmt.Errorf("database %s in %s: %w", name, t.Region, err)
			}
		}
		if err := g.forgetLinked(ctx, linkPrefix(r.in), name); err != nil {
			return err
		}
	}
	return nil
}

// unpublish drops the slots, then the publication that names their subscriber, of one database.
func (r *removal) unpublish(ctx context.Context, conn *pgx.Conn) error {
	prefix := linkPrefix(r.in)
	pubs, err := strs(ctx, conn, "SELECT pubname FROM pg_publication WHERE starts_with(pubname, $1) ORDER BY 1", prefix)
	if err != nil {
		return fmt.Errorf("list publications: %w", err)
	}
	slots, err := strs(ctx, conn, "SELECT slot_name::text FROM pg_replication_slots WHERE starts_with(slot_name, $1) AND database = current_database() ORDER BY 1", prefix)
	if err != nil {
		return fmt.Errorf("list slots: %w", err)
	}
	for _, pub := range pubs {
		copies, err := copySlots(ctx, conn, pub)
		if err != nil {
			return err
		}
		slots = append(slots, copies...)
	}
	for _, s := range slots {
		if err := dropSlot(ctx, conn, s); err != nil {
			return err
		}
	}
	for _, pub := range pubs {
		if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+ident(pub)); err != nil {
			return fmt.Errorf("drop publication %s: %w", pub, err)
		}
	}
	return nil
}

// copySlots lists the slots of a subscriber's unfinished initial copies, "pg_SUBSCRIPTION_sync_TABLE_SYSTEM"; noteSubscriber wrote whose they are.
func copySlots(ctx context.Context, conn *pgx.Conn, pub string) ([]string, error) {
	var note string
	err := conn.QueryRow(ctx, "SELECT coalesce(obj_description(oid, 'pg_publication'), '') FROM pg_publication WHERE pubname = $1", pub).Scan(&note)
	if found, err := one(err); !found {
		return nil, wrapIf(err, "read the subscriber's note")
	}
	f := strings.Fields(note)
	if len(f) != 3 || f[0] != "subscriber" {
		return nil, nil
	}
	slots, err := strs(ctx, conn, `SELECT slot_name::text FROM pg_replication_slots
		WHERE starts_with(slot_name, 'pg_' || $1 || '_sync_') AND right(slot_name, length($2) + 1) = '_' || $2 ORDER BY 1`, f[1], f[2])
	return slots, wrapIf(err, "list slots of copies")
}

// inDatabase runs work in a session of its own in one database of the guard's server.
func inDatabase(ctx context.Context, g *guard, t providers.Target, database string, work func(*pgx.Conn) error) error {
	conn, err := connect(ctx, t, database, g.run)
	if err != nil {
		return err
	}
	defer shut(conn)
	if err := g.hold(ctx); err != nil {
		return err
	}
	return work(conn)
}

// dropHeartbeat removes a link's row, and the table and schema with the last link of the database.
func dropHeartbeat(ctx context.Context, conn *pgx.Conn, name string) error {
	var table, used bool
	err := conn.QueryRow(ctx, `SELECT to_regclass('meridian.heartbeat') IS NOT NULL,
		EXISTS (SELECT 1 FROM pg_publication WHERE starts_with(pubname, $1))
		OR EXISTS (SELECT 1 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() AND starts_with(s.subname, $1))`,
		ownPrefix).Scan(&table, &used)
	switch {
	case err != nil:
		return fmt.Errorf("look up heartbeat table: %w", err)
	case !table:
		return nil
	case used:
		_, err = conn.Exec(ctx, "DELETE FROM meridian.heartbeat WHERE link = $1", name)
		return wrapIf(err, "delete heartbeat")
	}
	_, err = conn.Exec(ctx, `DROP TABLE meridian.heartbeat;
		DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('meridian')) THEN DROP SCHEMA meridian; END IF; END $$`)
	return wrapIf(err, "drop heartbeat table")
}
