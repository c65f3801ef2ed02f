package mysql

import (
	"context"
	"crypto/sha1" //nolint:gosec // the form in which MariaDB stores a password
	"encoding/hex"
	"fmt"
	"strings"

	"meridian/providers"
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
		change, err := w.ensureUser(ctx, u.Name, password)
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
	if name == w.target.Endpoint.User || serversOwn(name) {
		return permanent("user %s belongs to the server or to Meridian: choose another name", name)
	}
	return nil
}

// ensureUser makes a user log in with that password. A password that is right already is not written again, so that replicas and logs see
// nothing.
func (w *objects) ensureUser(ctx context.Context, name, password string) (string, error) {
	there, err := w.hasUser(ctx, name)
	if err != nil {
		return "", err
	}
	if !there {
		return "created", w.change(ctx, "CREATE USER "+account(name)+w.identified(password))
	}
	same, err := logsIn(ctx, w.target, name, password)
	if err != nil || same {
		return "", err
	}
	return "updated", w.change(ctx, "ALTER USER "+account(name)+w.identified(password)+" ACCOUNT UNLOCK")
}

// identified is the clause that sets a password. MySQL takes it out of what it logs; MariaDB does not, and is given what it stores.
func (s *session) identified(password string) string {
	if !s.maria {
		return " IDENTIFIED BY " + literal(password)
	}
	first := sha1.Sum([]byte(password)) //nolint:gosec // MariaDB's form
	second := sha1.Sum(first[:])        //nolint:gosec // MariaDB's form
	return " IDENTIFIED BY PASSWORD '*" + strings.ToUpper(hex.EncodeToString(second[:])) + "'"
}

func (s *session) hasUser(ctx context.Context, name string) (bool, error) {
	var n int
	if err := s.QueryRowContext(ctx, "SELECT count(*) FROM mysql.user WHERE user = ? AND host = '%'", name).Scan(&n); err != nil {
		return false, fmt.Errorf("look it up: %w", err)
	}
	return n > 0, nil
}

// logsIn tries a password for real.
func logsIn(ctx context.Context, t providers.Target, user, password string) (bool, error) {
	s, err := dial(ctx, t, user, password)
	switch {
	case err == nil:
		s.close()
		return true, nil
	case denied(err):
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
		there, err := w.hasUser(ctx, u.Name)
		if err == nil && there {
			err = w.dropUser(ctx, u.Name)
		}
		if err != nil {
			return fmt.Errorf("drop user %s: %w", u.Name, err)
		}
		if there {
			w.changed("dropped user %s", u.Name)
		}
	}
	return nil
}

// dropUser lets the user in no more, ends its sessions and drops it. A user by whose rights views or routines run is kept: they would fail.
func (w *objects) dropUser(ctx context.Context, name string) error {
	by := name + "@%"
	runs, err := w.texts(ctx, `SELECT concat('view ', table_schema, '.', table_name) FROM information_schema.views WHERE definer = ?
		UNION SELECT concat('routine ', routine_schema, '.', routine_name) FROM information_schema.routines WHERE definer = ?
		UNION SELECT concat('trigger ', trigger_schema, '.', trigger_name) FROM information_schema.triggers WHERE definer = ?
		UNION SELECT concat('event ', event_schema, '.', event_name) FROM information_schema.events WHERE definer = ? ORDER BY 1 LIMIT 5`, by, by, by, by)
	if err != nil {
		return fmt.Errorf("look for what runs by its rights: %w", err)
	}
	if len(runs) > 0 {
		return permanent("it is the definer of %s: give that another one first, or drop it", strings.Join(runs, ", "))
	}
	if err := w.change(ctx, "ALTER USER "+account(name)+" ACCOUNT LOCK"); err != nil {
		return err
	}
	sessions, err := w.texts(ctx, "SELECT id FROM information_schema.processlist WHERE user = ?", name)
	if err != nil {
		return fmt.Errorf("look for its sessions: %w", err)
	}
	for _, id := range sessions {
		var n int64
		if _, err := fmt.Sscan(id, &n); err != nil {
			return fmt.Errorf("session %q: %w", id, err)
		}
		if err := w.kill(ctx, n); noRight(err) || isCode(err, codeNoThreadOfYours, codeNoProcedure, codeNoDatabase) {
			return permanent("its session %d cannot be ended by %s: end it, then apply again", n, w.target.Endpoint.User)
		} else if err != nil {
			return err
		}
	}
	return w.change(ctx, "DROP USER IF EXISTS "+account(name))
}
