package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/stacks"
)

// Inspect compares databases, owners, users, passwords and slots with what was made, and changes nothing. It takes no fence: a run that
// begins meanwhile ends its session.
func (e *Engine) Inspect(ctx context.Context, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	secrets := []string{t.Password}
	for _, u := range in.Objects.Users {
		secrets = append(secrets, in.Objects.Passwords[u.Name])
	}
	items, err := inspect(ctx, t, in)
	return items, settle(err, secrets...)
}

func inspect(ctx context.Context, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	conn, err := connect(ctx, t, maintenanceDB, 0)
	if err != nil {
		return nil, err
	}
	defer shut(conn)
	var out []stacks.DriftItem
	for _, look := range []func(context.Context, *pgx.Conn, providers.Target, providers.InspectInput) ([]stacks.DriftItem, error){inspectUsers, inspectDatabases, inspectSlots} {
		items, err := look(ctx, conn, t, in)
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
	}
	return out, nil
}

func inspectUsers(ctx context.Context, conn *pgx.Conn, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	var out []stacks.DriftItem
	for _, u := range in.Objects.Users {
		if u.Drop {
			continue
		}
		subject := "user " + u.Name
		var login bool
		found, err := one(conn.QueryRow(ctx, "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", u.Name).Scan(&login))
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", subject, err)
		}
		switch {
		case !found:
			out = append(out, stacks.DriftItem{Kind: stacks.DriftMissing, Subject: subject, Message: "the user is there no more"})
			continue
		case !login:
			out = append(out, stacks.DriftItem{Kind: stacks.DriftLogin, Subject: subject, Message: "the user may not log in any more"})
			continue
		}
		same, err := samePassword(ctx, conn, t, u.Name, in.Objects.Passwords[u.Name])
		if err != nil {
			return nil, fmt.Errorf("password of %s: %w", subject, err)
		}
		if !same {
			out = append(out, stacks.DriftItem{Kind: stacks.DriftLogin, Subject: subject, Sensitive: true, Message: "the password is not the one that Meridian made"})
		}
	}
	return out, nil
}

func inspectDatabases(ctx context.Context, conn *pgx.Conn, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	there, err := readDatabases(ctx, conn)
	if err != nil {
		return nil, err
	}
	var out []stacks.DriftItem
	for _, d := range in.Objects.Databases {
		if d.Drop {
			continue
		}
		subject := "database " + d.Name
		owner := d.Owner
		if owner == "" {
			owner = t.Endpoint.User
		}
		i := slices.IndexFunc(there, func(x database) bool { return x.name == d.Name })
		switch {
		case i < 0 || there[i].broken:
			out = append(out, stacks.DriftItem{Kind: stacks.DriftMissing, Subject: subject, DataBearing: true, Message: "the database was dropped, with its data"})
		case there[i].owner != owner:
			out = append(out, stacks.DriftItem{Kind: stacks.DriftChanged, Subject: subject, Path: "owner", Want: owner, Found: there[i].owner})
		}
	}
	return out, nil
}

// inspectSlots finds the slots of this incarnation that none of its links reads, and what each holds back.
func inspectSlots(ctx context.Context, conn *pgx.Conn, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	if t.Follows { // its log is its source's
		return nil, nil
	}
	leaked, err := leakedSlots(ctx, conn, in.Incarnation, in.Links)
	if err != nil {
		return nil, err
	}
	var out []stacks.DriftItem
	for _, name := range leaked {
		var held string
		err := conn.QueryRow(ctx, "SELECT coalesce(pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 'none of it yet') FROM pg_replication_slots WHERE slot_name = $1", name).Scan(&held)
		if found, err := one(err); err != nil {
			return nil, fmt.Errorf("slot %s: %w", name, err)
		} else if !found {
			continue // it went meanwhile
		}
		out = append(out, stacks.DriftItem{Kind: stacks.DriftSlot, Subject: "slot " + name, Message: "no link reads this slot; the server keeps its log for it: " + held})
	}
	return out, nil
}

// leakedSlots lists the slots of an incarnation that are of none of these links.
func leakedSlots(ctx context.Context, conn *pgx.Conn, incarnation string, links []stacks.Link) ([]string, error) {
	slots, err := slotsWith(ctx, conn, incarnationPrefix(incarnation))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slots, func(name string) bool {
		return slices.ContainsFunc(links, func(l stacks.Link) bool {
			in := providers.LinkInput{Stack: stacks.StackID{Incarnation: incarnation}, Link: l}
			return slices.ContainsFunc(l.Databases, func(d string) bool { return linkName(in, d) == name })
		})
	}), nil
}

// Sweep drops the slots of an incarnation that none of these links reads, in the name of a run.
func (e *Engine) Sweep(ctx context.Context, t providers.Target, in providers.SweepInput) ([]string, error) {
	removed, err := sweep(ctx, t, in)
	return removed, settle(err, t.Password)
}

func sweep(ctx context.Context, t providers.Target, in providers.SweepInput) ([]string, error) {
	g, err := newGuard(ctx, t, in.RunNumber)
	if err != nil {
		return nil, err
	}
	defer g.close()
	leaked, err := leakedSlots(ctx, g.conn, in.Incarnation, in.Links)
	if err != nil {
		return nil, err
	}
	for i, name := range leaked {
		if err := g.hold(ctx); err != nil {
			return leaked[:i], err
		}
		if err := dropSlot(ctx, g.conn, name); err != nil {
			return leaked[:i], err
		}
	}
	return leaked, nil
}
