package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/providers/pgclient"
)

// ensurePublication publishes all tables, so that a new table only needs a refresh at the target.
func (l *link) ensurePublication(ctx context.Context, p pair) error {
	var all bool
	err := p.src.QueryRow(ctx, "SELECT puballtables FROM pg_publication WHERE pubname = $1", p.name).Scan(&all)
	found, err := one(err)
	switch {
	case err != nil:
		return fmt.Errorf("look up publication: %w", err)
	case found && !all:
		return fmt.Errorf("publication %s in %s was not made by Meridian: %w: %w", p.name, l.in.From.Region, providers.ErrForeign, providers.ErrPermanent)
	case found:
		return nil
	}
	sub, err := l.readSubscription(ctx, p)
	if err != nil {
		return err
	}
	if sub != nil && sub.started {
		return l.broken(p, "publication")
	}
	if err := l.hold(ctx); err != nil {
		return err
	}
	_, err = p.src.Exec(ctx, "CREATE PUBLICATION "+ident(p.name)+" FOR ALL TABLES")
	return wrapIf(err, "create publication")
}

// linkSubscription is what ensureSubscription needs of the one at the target.
type linkSubscription struct {
	oid     uint32
	enabled bool
	started bool // tables were added: rows may have come
}

// readSubscription returns nil where there is none.
func (l *link) readSubscription(ctx context.Context, p pair) (*linkSubscription, error) {
	var s linkSubscription
	err := p.dst.QueryRow(ctx, `SELECT s.oid, s.subenabled, EXISTS (SELECT 1 FROM pg_subscription_rel r WHERE r.srsubid = s.oid)
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE s.subname = $1 AND d.datname = current_database()`, p.name).Scan(&s.oid, &s.enabled, &s.started)
	if found, err := one(err); !found {
		return nil, wrapIf(err, "look up subscription")
	}
	return &s, nil
}

// broken says that changes of the source are lost to the target: only a new initial copy would make them equal again, and
// that needs empty tables, which is not ours to decide.
func (l *link) broken(p pair, what string) error {
	return permanent("the %s of link %s is gone from %s: changes since then are lost; drop the link (drop: true), empty the tables of database %s in %s, and link again",
		what, l.in.Link.Name(), l.in.From.Region, p.database, l.in.To.Region)
}

// ensureSubscription makes the slot and the subscription, connected to nothing at first: so its statement, which must hold
// the password, cannot fail on the way, and the slot stays ours to name and to drop.
func (l *link) ensureSubscription(ctx context.Context, p pair) error {
	sub, err := l.readSubscription(ctx, p)
	if err != nil {
		return err
	}
	if sub == nil {
		if err := l.refuseRows(ctx, p, nil); err != nil {
			return err
		}
	}
	if err := l.ensureSlot(ctx, p, sub); err != nil {
		return err
	}
	if sub == nil {
		if sub, err = l.createSubscription(ctx, p); err != nil {
			return err
		}
	} else if err := l.ensureConnection(ctx, p, sub); err != nil {
		return err
	}
	if err := l.noteSubscriber(ctx, p, sub.oid); err != nil {
		return fmt.Errorf("note the subscriber: %w", err)
	}
	if sub.enabled {
		return nil
	}
	if err := l.hold(ctx); err != nil {
		return err
	}
	_, err = p.dst.Exec(ctx, "ALTER SUBSCRIPTION "+ident(p.name)+" ENABLE")
	return wrapIf(err, "enable subscription")
}

// ensureSlot makes the slot anew while no subscription has used it: one that is there is of an attempt that ended before its
// subscription, or of a target that is no more, and keeps back the source's log for nobody.
func (l *link) ensureSlot(ctx context.Context, p pair, sub *linkSubscription) error {
	s, err := readSlot(ctx, p.src, p.name)
	if err != nil {
		return err
	}
	if s != nil && (s.database != p.database || s.plugin != "pgoutput") {
		return fmt.Errorf("slot %s in %s was not made by Meridian: %w: %w", p.name, l.in.From.Region, providers.ErrForeign, providers.ErrPermanent)
	}
	if sub != nil && (sub.started || sub.enabled && s != nil) {
		if s == nil || s.lost {
			return l.broken(p, "replication slot")
		}
		return nil
	}
	if err := l.hold(ctx); err != nil {
		return err
	}
	if s != nil {
		if err := dropSlot(ctx, p.src, p.name); err != nil {
			return err
		}
	}
	_, err = p.src.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", p.name)
	return wrapIf(err, "create slot (it waits for open transactions of the source)")
}

func (l *link) createSubscription(ctx context.Context, p pair) (*linkSubscription, error) {
	if err := l.hold(ctx); err != nil {
		return nil, err
	}
	// Heartbeats of an earlier life of the link would collide with those that are copied.
	if _, err := p.dst.Exec(ctx, "DELETE FROM meridian.heartbeat"); err != nil {
		return nil, fmt.Errorf("empty heartbeats: %w", err)
	}
	err := quietly(ctx, p.dst, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "CREATE SUBSCRIPTION "+ident(p.name)+" CONNECTION "+quoteLiteral(l.conninfo(p))+" PUBLICATION "+ident(p.name)+
			" WITH (connect = false, enabled = false, create_slot = false, slot_name = "+quoteLiteral(p.name)+", streaming = on)")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create subscription: %w", err)
	}
	return l.readSubscription(ctx, p)
}

// conninfo is how the target's server reaches the source.
func (l *link) conninfo(p pair) string {
	e := l.in.From.Endpoint
	s := "host=" + pgclient.Quote(e.Host) + " port=" + strconv.Itoa(e.Port) + " user=" + pgclient.Quote(roleName(l.in)) + " password=" + pgclient.Quote(l.in.Password) +
		" dbname=" + pgclient.Quote(p.database) + " connect_timeout=10 keepalives_idle=30 keepalives_interval=10 keepalives_count=3"
	mode := e.TLSMode
	if e.CAFile != "" && strings.HasPrefix(mode, "verify-") {
		mode = "require" // the file is on Meridian's machines, and none that the target's server could read is known
	}
	if mode != "" {
		s += " sslmode=" + pgclient.Quote(mode)
	}
	return s
}

// ensureConnection follows a new address or password of the source. What cannot be read is written.
func (l *link) ensureConnection(ctx context.Context, p pair, sub *linkSubscription) error {
	var now string
	err := p.dst.QueryRow(ctx, "SELECT subconninfo FROM pg_subscription WHERE oid = $1", sub.oid).Scan(&now)
	if err != nil && sqlState(err) != codeNoPrivilege {
		return fmt.Errorf("read the subscription's connection: %w", err)
	}
	if now == l.conninfo(p) {
		return nil
	}
	if err := l.hold(ctx); err != nil {
		return err
	}
	err = quietly(ctx, p.dst, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "ALTER SUBSCRIPTION "+ident(p.name)+" CONNECTION "+quoteLiteral(l.conninfo(p)))
		return err
	})
	return wrapIf(err, "change the subscription's connection")
}

// noteSubscriber writes into the publication's comment who copies from it. The slots that a target's server makes for the
// initial copy are named by these two numbers alone, and must be found when that server is dead.
func (l *link) noteSubscriber(ctx context.Context, p pair, sub uint32) error {
	var system string
	if err := p.dst.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&system); err != nil {
		return err
	}
	note := fmt.Sprintf("subscriber %d %s", sub, system)
	var now string
	err := p.src.QueryRow(ctx, "SELECT coalesce(obj_description(oid, 'pg_publication'), '') FROM pg_publication WHERE pubname = $1", p.name).Scan(&now)
	if err != nil || now == note {
		return err
	}
	_, err = p.src.Exec(ctx, "COMMENT ON PUBLICATION "+ident(p.name)+" IS "+quoteLiteral(note))
	return err
}

// published lists what the publication publishes, subscribed what the subscription has; as qualified, quoted names.
func published(ctx context.Context, p pair) ([]string, error) {
	list, err := strs(ctx, p.src, "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1", p.name)
	return list, wrapIf(err, "list published tables")
}

func subscribed(ctx context.Context, p pair) (map[string]string, error) {
	rows, err := p.dst.Query(ctx, `SELECT r.srrelid::regclass::text, r.srsubstate::text FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
		JOIN pg_database d ON d.oid = s.subdbid WHERE s.subname = $1 AND d.datname = current_database()`, p.name)
	if err != nil {
		return nil, fmt.Errorf("list subscribed tables: %w", err)
	}
	out := map[string]string{}
	var table, state string
	_, err = pgx.ForEachRow(rows, []any{&table, &state}, func() error {
		out[table] = state
		return nil
	})
	return out, wrapIf(err, "list subscribed tables")
}

// refresh makes the subscription follow tables that came or went at the source, schema first. It reports whether it had to.
func (l *link) refresh(ctx context.Context, p pair) (bool, error) {
	pub, err := published(ctx, p)
	if err != nil {
		return false, err
	}
	sub, err := subscribed(ctx, p)
	if err != nil {
		return false, err
	}
	if !differs(pub, sub) {
		return false, nil
	}
	if err := l.lock(ctx); err != nil {
		return true, err
	}
	if err := l.refusePolicies(ctx, p); err != nil {
		return true, err
	}
	if err := l.copySchema(ctx, p); err != nil {
		return true, err
	}
	if err := l.refuseRows(ctx, p, sub); err != nil {
		return true, err
	}
	if err := l.hold(ctx); err != nil {
		return true, err
	}
	_, err = p.dst.Exec(ctx, "ALTER SUBSCRIPTION "+ident(p.name)+" REFRESH PUBLICATION WITH (copy_data = true)")
	return true, wrapIf(err, "refresh publication")
}

func differs(pub []string, sub map[string]string) bool {
	return len(pub) != len(sub) || slices.ContainsFunc(pub, func(t string) bool { _, ok := sub[t]; return !ok })
}

// refuseRows refuses to copy into a table that has rows: they would be doubled, or their keys collide for ever.
func (l *link) refuseRows(ctx context.Context, p pair, sub map[string]string) error {
	pub, err := published(ctx, p)
	if err != nil {
		return err
	}
	var full []string
	for _, table := range pub {
		if _, ok := sub[table]; ok || table == heartbeatSchema+".heartbeat" {
			continue
		}
		var has bool
		err := p.dst.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+table+")").Scan(&has)
		if sqlState(err) == codeNoTable || sqlState(err) == codeNoSchema {
			return permanent("table %s of database %s is missing in %s after the schema was copied", table, p.database, l.in.To.Region)
		}
		if err != nil {
			return fmt.Errorf("look for rows in %s: %w", table, err)
		}
		if has {
			full = append(full, table)
		}
	}
	if len(full) > 0 {
		return permanent("tables of database %s in %s have rows before the first copy: %s; empty them there, or drop the database there, and apply again",
			p.database, l.in.To.Region, some(full))
	}
	return nil
}
