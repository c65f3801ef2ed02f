package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/stacks"
)

// EnsureObjects makes users, databases and grants as the spec says, then drops what the spec drops. What is there and not in
// the spec is reported and left alone. A step of a smaller run than the last one here is refused with providers.ErrSuperseded.
func (e *Engine) EnsureObjects(ctx context.Context, t providers.Target, o providers.Objects) (providers.ObjectsReport, error) {
	secrets := []string{t.Password}
	for _, u := range o.Users {
		secrets = append(secrets, o.Passwords[u.Name])
	}
	report, err := ensureObjects(ctx, t, o)
	return report, settle(err, secrets...)
}

func ensureObjects(ctx context.Context, t providers.Target, o providers.Objects) (providers.ObjectsReport, error) {
	g, err := newGuard(ctx, t, o.RunNumber)
	if err != nil {
		return providers.ObjectsReport{}, err
	}
	defer g.close()
	w := &objects{guard: g, target: t, want: o}
	for _, step := range []func(context.Context) error{w.ensureUsers, w.ensureDatabases, w.dropDatabases, w.dropUsers, w.findUnmanaged} {
		if err := step(ctx); err != nil {
			return w.report, err
		}
	}
	return w.report, nil
}

// objects is one call of EnsureObjects.
type objects struct {
	*guard
	target providers.Target
	want   providers.Objects
	report providers.ObjectsReport
}

func (w *objects) changed(format string, args ...any) {
	w.report.Changed = append(w.report.Changed, fmt.Sprintf(format, args...))
}

// database is a row of pg_database.
type database struct {
	name, owner string
	// broken means that a DROP DATABASE was interrupted: PostgreSQL opens it no more, and only drops it.
	broken bool
	// closed means that we may not connect to it: a cloud's own, or one that an admin locked.
	closed bool
}

// readDatabases lists all databases but the templates.
func readDatabases(ctx context.Context, conn *pgx.Conn) ([]database, error) {
	rows, err := conn.Query(ctx, `SELECT datname, pg_get_userbyid(datdba), datconnlimit = -2,
		NOT datallowconn OR NOT has_database_privilege(oid, 'CONNECT') FROM pg_database WHERE NOT datistemplate ORDER BY datname`)
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d database, err error) {
		err = row.Scan(&d.name, &d.owner, &d.broken, &d.closed)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return list, nil
}

func (w *objects) ensureDatabases(ctx context.Context) error {
	there, err := readDatabases(ctx, w.conn)
	if err != nil {
		return err
	}
	for _, d := range w.want.Databases {
		if d.Drop {
			continue
		}
		if d.Name == maintenanceDB {
			return permanent("database %s belongs to the server: choose another name", d.Name)
		}
		owner := d.Owner
		if owner == "" {
			owner = w.target.Endpoint.User
		}
		i := slices.IndexFunc(there, func(x database) bool { return x.name == d.Name })
		switch {
		case i < 0:
			if err := actFor(ctx, w.conn, owner); err != nil {
				return fmt.Errorf("create database %s: %w", d.Name, err)
			}
			if err := w.exec(ctx, "CREATE DATABASE "+ident(d.Name)+" OWNER "+ident(owner)); err != nil {
				return fmt.Errorf("create database %s: %w", d.Name, err)
			}
			w.changed("created database %s", d.Name)
		case there[i].broken:
			return permanent("database %s in %s was half dropped and cannot be opened: apply it once with drop: true", d.Name, w.region)
		case there[i].owner != owner:
			for _, role := range []string{there[i].owner, owner} {
				if err := actFor(ctx, w.conn, role); err != nil {
					return fmt.Errorf("change owner of database %s: %w", d.Name, err)
				}
			}
			if err := w.exec(ctx, "ALTER DATABASE "+ident(d.Name)+" OWNER TO "+ident(owner)); err != nil {
				return fmt.Errorf("change owner of database %s: %w", d.Name, err)
			}
			w.changed("database %s now belongs to %s", d.Name, owner)
		}
		if err := w.grant(ctx, d.Name, owner); err != nil {
			return fmt.Errorf("grants on database %s: %w", d.Name, err)
		}
	}
	return nil
}

// grant lets every user of the spec connect, and the owner create tables. From 15 on, schema public belongs to whoever owns
// the database; before, it belongs to the server's first user.
func (w *objects) grant(ctx context.Context, name, owner string) error {
	var users []string
	for _, u := range w.want.Users {
		if !u.Drop {
			users = append(users, u.Name)
		}
	}
	without, err := strs(ctx, w.conn, `SELECT u FROM unnest($1::text[]) AS u WHERE NOT has_database_privilege(u, $2, 'CONNECT') ORDER BY u`, users, name)
	if err != nil {
		return err
	}
	for _, u := range without {
		if err := w.exec(ctx, "GRANT CONNECT ON DATABASE "+ident(name)+" TO "+ident(u)); err != nil {
			return err
		}
		w.changed("user %s may connect to database %s", u, name)
	}
	v, err := major(ctx, w.conn)
	if err != nil || v >= 15 {
		return err
	}
	conn, err := connect(ctx, w.target, name, w.run)
	if err != nil {
		return err
	}
	defer shut(conn)
	foreign, err := strs(ctx, conn, `SELECT nspname FROM pg_namespace WHERE nspname = 'public' AND pg_get_userbyid(nspowner) <> $1`, owner)
	if err != nil || len(foreign) == 0 {
		return err
	}
	if err := w.hold(ctx); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER SCHEMA public OWNER TO "+ident(owner)); err != nil {
		return err
	}
	w.changed("schema public of database %s now belongs to %s", name, owner)
	return nil
}

// exec changes something through the guard's own session, so it cannot happen after the right is lost.
func (w *objects) exec(ctx context.Context, sql string) error {
	_, err := w.conn.Exec(ctx, sql)
	return err
}

func (w *objects) dropDatabases(ctx context.Context) error {
	for _, d := range w.want.Databases {
		if !d.Drop {
			continue
		}
		done, err := w.dropDatabase(ctx, d)
		if err != nil {
			return fmt.Errorf("drop database %s: %w", d.Name, err)
		}
		if done {
			w.changed("dropped database %s", d.Name)
		}
	}
	return nil
}

// dropDatabase removes our own subscriptions and slots first: PostgreSQL refuses to drop a database that has any in use.
func (w *objects) dropDatabase(ctx context.Context, d stacks.LogicalDatabase) (bool, error) {
	if d.Name == maintenanceDB {
		return false, permanent("database %s belongs to the server", d.Name)
	}
	there, err := readDatabases(ctx, w.conn)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(there, func(x database) bool { return x.name == d.Name })
	if i < 0 {
		return false, nil
	}
	if !there[i].broken {
		if err := w.dropSubscriptions(ctx, d.Name); err != nil {
			return false, err
		}
	}
	if err := w.dropSlots(ctx, d.Name); err != nil {
		return false, err
	}
	if err := w.hold(ctx); err != nil {
		return false, err
	}
	return true, w.exec(ctx, "DROP DATABASE IF EXISTS "+ident(d.Name)+" WITH (FORCE)")
}

// dropSlots drops our slots of a database, and those with which a link's target is copying; PostgreSQL itself drops idle ones.
func (w *objects) dropSlots(ctx context.Context, name string) error {
	const ours = `SELECT r.slot_name::text FROM pg_replication_slots r LEFT JOIN pg_stat_activity a ON a.pid = r.active_pid
		WHERE r.database = $1 AND (r.active OR starts_with(r.slot_name, $2)) AND (starts_with(r.slot_name, $2) OR starts_with(coalesce(a.usename, ''), $2)) = $3`
	foreign, err := strs(ctx, w.conn, ours, name, ownPrefix, false)
	if err != nil {
		return fmt.Errorf("list slots: %w", err)
	}
	if len(foreign) > 0 {
		return permanent("replication slots %q in %s are in use and not of Meridian: remove them first", foreign, w.region)
	}
	slots, err := strs(ctx, w.conn, ours, name, ownPrefix, true)
	if err != nil {
		return fmt.Errorf("list slots: %w", err)
	}
	for _, s := range slots {
		if err := w.hold(ctx); err != nil {
			return err
		}
		if err := dropSlot(ctx, w.conn, s); err != nil {
			return err
		}
	}
	return nil
}

func (w *objects) dropSubscriptions(ctx context.Context, name string) error {
	subs, err := readSubscriptions(ctx, w.conn, name)
	if err != nil || len(subs) == 0 {
		return err
	}
	conn, err := connect(ctx, w.target, name, w.run)
	if err != nil {
		return err
	}
	defer shut(conn)
	for _, s := range subs {
		if err := w.hold(ctx); err != nil {
			return err
		}
		if err := dropSubscription(ctx, conn, s); err != nil {
			return err
		}
	}
	return nil
}

// findUnmanaged reports databases and login roles that the spec does not name. Superusers, roles of the server and our own are not users.
func (w *objects) findUnmanaged(ctx context.Context) error {
	there, err := readDatabases(ctx, w.conn)
	if err != nil {
		return err
	}
	for _, d := range there {
		if d.name != maintenanceDB && !slices.ContainsFunc(w.want.Databases, func(x stacks.LogicalDatabase) bool { return x.Name == d.name }) {
			w.report.Unmanaged = append(w.report.Unmanaged, "database "+d.name)
		}
	}
	users, err := strs(ctx, w.conn, `SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND rolname <> $1
		AND NOT starts_with(rolname, 'pg_') AND NOT starts_with(rolname, $2) ORDER BY rolname`, w.target.Endpoint.User, ownPrefix)
	if err != nil {
		return fmt.Errorf("list users: %w", err)
	}
	for _, u := range users {
		if !slices.ContainsFunc(w.want.Users, func(x stacks.User) bool { return x.Name == u }) {
			w.report.Unmanaged = append(w.report.Unmanaged, "user "+u)
		}
	}
	return nil
}
