package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
)

// SlotsOf lists the replication slots on a server that links of that incarnation made, sorted: what a sweep would look at.
func (e *Engine) SlotsOf(ctx context.Context, t providers.Target, incarnation string) ([]string, error) {
	conn, err := connect(ctx, t, maintenanceDB, 0)
	if err != nil {
		return nil, settle(err, t.Password)
	}
	defer shut(conn)
	slots, err := slotsWith(ctx, conn, incarnationPrefix(incarnation))
	return slots, settle(err, t.Password)
}

func slotsWith(ctx context.Context, conn *pgx.Conn, prefix string) ([]string, error) {
	slots, err := strs(ctx, conn, "SELECT slot_name::text FROM pg_replication_slots WHERE starts_with(slot_name, $1) ORDER BY 1", prefix)
	if err != nil {
		return nil, fmt.Errorf("list slots: %w", err)
	}
	return slots, nil
}

// slotDropWait bounds how long dropSlot tries to get a slot from its sender.
const slotDropWait = 5 * time.Second

// dropSlot drops a slot. One that is in use is taken from its sender first; the sender's client may be quicker to come back
// than we are to drop, hence the loop.
func dropSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	ctx, cancel := context.WithTimeout(ctx, slotDropWait)
	defer cancel()
	for {
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active`, name)
		if err != nil {
			return fmt.Errorf("end the sender of slot %s: %w", name, err)
		}
		_, err = conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", name)
		switch {
		case err == nil, sqlState(err) == codeNoObject:
			return nil
		case sqlState(err) != codeObjectInUse:
			return fmt.Errorf("drop slot %s: %w", name, err)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("drop slot %s: still in use: %w", name, err)
		}
	}
}

// pause waits a moment between two looks inside one bounded step.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// slot is a row of pg_replication_slots.
type slot struct {
	database, plugin string
	lost             bool
}

// readSlot returns nil where there is no such slot.
func readSlot(ctx context.Context, conn *pgx.Conn, name string) (*slot, error) {
	var s slot
	err := conn.QueryRow(ctx, `SELECT coalesce(database, ''), coalesce(plugin, ''), coalesce(wal_status = 'lost', false)
		FROM pg_replication_slots WHERE slot_name = $1`, name).Scan(&s.database, &s.plugin, &s.lost)
	if found, err := one(err); !found {
		return nil, wrapIf(err, "look up slot "+name)
	}
	return &s, nil
}

// subscription is a row of pg_subscription.
type subscription struct {
	oid            uint32
	name, database string
	enabled        bool
}

// readSubscriptions lists our subscriptions in a database, or in all of the server's where database is empty.
func readSubscriptions(ctx context.Context, conn *pgx.Conn, database string) ([]subscription, error) {
	rows, err := conn.Query(ctx, `SELECT s.oid, s.subname, d.datname, s.subenabled FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE starts_with(s.subname, $1) AND ($2 = '' OR d.datname = $2) ORDER BY d.datname, s.subname`, ownPrefix, database)
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s subscription, err error) {
		err = row.Scan(&s.oid, &s.name, &s.database, &s.enabled)
		return s, err
	})
	return list, wrapIf(err, "list subscriptions")
}

// noPublisher is a connection string that fails at once, without a network.
const noPublisher = "host='/nonexistent' dbname='none' user='none' password='none'"

// dropSubscription drops a subscription without its publisher, which may be dead or hung. While tables are still being copied
// DROP would call the publisher to drop their slots too, so the connection is pointed to nowhere first; whoever removes the
// link drops those slots at the publisher. conn is in the subscription's database.
func dropSubscription(ctx context.Context, conn *pgx.Conn, s subscription) error {
	name := "SUBSCRIPTION " + ident(s.name)
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, sql := range []string{
			"ALTER " + name + " DISABLE", "ALTER " + name + " SET (slot_name = NONE)",
			"ALTER " + name + " CONNECTION " + quoteLiteral(noPublisher), "DROP " + name,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if sqlState(err) == codeNoObject {
		return nil
	}
	return wrapIf(err, "drop subscription "+s.name)
}
