package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/providers/pgclient"
)

func (w *objects) ensureUsers(ctx context.Context) error {
	for _, u := range w.want.Users {
		if u.Drop {
			continue
		}
		if err := w.refuseServersOwn(u.Name); err != nil {
			return err
		}
		password := w.want.Passwords[u.Name]
		if password == "" {
			return permanent("user %s has no password in the catalog", u.Name)
		}
		change, err := ensureRole(ctx, w.conn, w.target, u.Name, password, "LOGIN")
		if err != nil {
			return fmt.Errorf("user %s: %w", u.Name, err)
		}
		if change != "" {
			w.changed("%s user %s", change, u.Name)
		}
	}
	return nil
}

func (w *objects) refuseServersOwn(name string) error {
	if name == w.target.Endpoint.User || strings.HasPrefix(name, ownPrefix) || strings.HasPrefix(name, "pg_") {
		return permanent("user %s belongs to the server or to Meridian: choose another name", name)
	}
	return nil
}

// ensureRole makes a role log in with that password; attributes are "LOGIN" and more. It returns "created", "updated" or "".
// A password that is right already is not written again, so that running sessions, replicas and logs see nothing.
func ensureRole(ctx context.Context, conn *pgx.Conn, t providers.Target, name, password, attributes string) (string, error) {
	var login, replication, bypass bool
	err := conn.QueryRow(ctx, "SELECT rolcanlogin, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = $1", name).Scan(&login, &replication, &bypass)
	verb, change := "ALTER", "updated"
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		verb, change = "CREATE", "created"
	case err != nil:
		return "", fmt.Errorf("look it up: %w", err)
	case login && (!strings.Contains(attributes, "REPLICATION") || replication && bypass):
		same, err := samePassword(ctx, conn, t, name, password)
		if err != nil || same {
			return "", err
		}
	}
	verifier, err := pgclient.Verifier(password)
	if err != nil {
		return "", permanent("password of %s: %v", name, err)
	}
	err = quietly(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, verb+" ROLE "+ident(name)+" "+attributes+" PASSWORD "+quoteLiteral(verifier))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s role: %w", strings.ToLower(verb), err)
	}
	return change, nil
}

// samePassword compares with the stored verifier, or logs in where a cloud hides it from its admins.
func samePassword(ctx context.Context, conn *pgx.Conn, t providers.Target, name, password string) (bool, error) {
	var stored *string
	err := conn.QueryRow(ctx, "SELECT rolpassword FROM pg_authid WHERE rolname = $1", name).Scan(&stored)
	if err == nil {
		return stored != nil && pgclient.Matches(*stored, password), nil
	}
	if sqlState(err) != codeNoPrivilege {
		return false, fmt.Errorf("compare password: %w", err)
	}
	return logsIn(ctx, t, maintenanceDB, name, password)
}

// logsIn tries a password for real.
func logsIn(ctx context.Context, t providers.Target, database, user, password string) (bool, error) {
	conn, err := dial(ctx, t, database, user, password, map[string]string{"application_name": "meridian login check"})
	switch {
	case err == nil:
		shut(conn)
		return true, nil
	case sqlState(err) == codeInvalidPassword || sqlState(err) == codeInvalidAuthorization:
		return false, nil
	}
	return false, fmt.Errorf("log in as %s in %s: %w", user, t.Region, err)
}

func (w *objects) dropUsers(ctx context.Context) error {
	for _, u := range w.want.Users {
		if !u.Drop {
			continue
		}
		if err := w.refuseServersOwn(u.Name); err != nil {
			return err
		}
		done, err := dropRole(ctx, w.guard, w.target, u.Name)
		if err != nil {
			return fmt.Errorf("drop user %s: %w", u.Name, err)
		}
		if done {
			w.changed("dropped user %s", u.Name)
		}
	}
	return nil
}

// dropRole ends the role's sessions, gives what it owns to the owner of the database it is in, takes its grants and drops it.
func dropRole(ctx context.Context, g *guard, t providers.Target, name string) (bool, error) {
	var super bool
	err := g.conn.QueryRow(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = $1", name).Scan(&super)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look it up: %w", err)
	case super:
		return false, permanent("%s is a superuser: it was not made by Meridian", name)
	}
	if err := g.hold(ctx); err != nil {
		return false, err
	}
	if _, err := g.conn.Exec(ctx, "ALTER ROLE "+ident(name)+" NOLOGIN"); err != nil {
		return false, err
	}
	if _, err := g.conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", name); err != nil {
		return false, fmt.Errorf("end its sessions: %w", err)
	}
	if err := actFor(ctx, g.conn, name); err != nil {
		return false, err
	}
	if err := disownAll(ctx, g, t, name); err != nil {
		return false, err
	}
	_, err = g.conn.Exec(ctx, "DROP ROLE IF EXISTS "+ident(name))
	return true, err
}

// disownAll goes to the databases in which the role has something. Databases of its own become the admin's.
func disownAll(ctx context.Context, g *guard, t providers.Target, role string) error {
	dbs, err := readDatabases(ctx, g.conn)
	if err != nil {
		return err
	}
	used, err := strs(ctx, g.conn, `SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
		WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)`, role)
	if err != nil {
		return fmt.Errorf("look for what it has: %w", err)
	}
	for i, d := range dbs {
		if d.owner != role {
			continue
		}
		if _, err := g.conn.Exec(ctx, "ALTER DATABASE "+ident(d.name)+" OWNER TO "+ident(t.Endpoint.User)); err != nil {
			return fmt.Errorf("take database %s over: %w", d.name, err)
		}
		dbs[i].owner = t.Endpoint.User
	}
	for _, d := range dbs {
		// Grants on databases themselves are found from any of them.
		if d.broken || d.closed || d.name != maintenanceDB && !slices.Contains(used, d.name) {
			continue
		}
		if err := disown(ctx, g, t, d, role); err != nil {
			return fmt.Errorf("what it has in database %s: %w", d.name, err)
		}
	}
	return nil
}

// disown empties one database of what a role owns or may do there; no object is dropped.
func disown(ctx context.Context, g *guard, t providers.Target, d database, role string) error {
	conn, err := connect(ctx, t, d.name, g.run)
	if err != nil {
		return err
	}
	defer shut(conn)
	if err := g.hold(ctx); err != nil {
		return err
	}
	// After REASSIGN the role owns nothing here, so DROP OWNED only takes its grants.
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "REASSIGN OWNED BY "+ident(role)+" TO "+ident(d.owner)+"; DROP OWNED BY "+ident(role))
		return err
	})
}
