package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

// EnsureObjects makes users, databases and grants as the spec says, then drops what the spec drops. What is there and not in the spec is
// reported and left alone. A step of a smaller run than the last one here is refused with providers.ErrSuperseded.
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
	for _, step := range []func(context.Context) error{w.ensureUsers, w.ensureDatabases, w.ensureGrants, w.dropDatabases, w.dropUsers, w.findUnmanaged} {
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

// change changes something, where the right to still stands.
func (w *objects) change(ctx context.Context, statement string) error {
	if err := w.hold(ctx); err != nil {
		return err
	}
	return w.exec(ctx, statement)
}

// databases lists what there is but the server's own, and Meridian's.
func (s *session) databases(ctx context.Context) ([]string, error) {
	all, err := s.texts(ctx, "SELECT schema_name FROM information_schema.schemata ORDER BY schema_name")
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	reserved := (&Engine{}).ReservedNames()
	return slices.DeleteFunc(all, func(name string) bool {
		return name == ours || slices.Contains(reserved.Databases, strings.ToLower(name))
	}), nil
}

func (w *objects) ensureDatabases(ctx context.Context) error {
	there, err := w.databases(ctx)
	if err != nil {
		return err
	}
	for _, d := range w.want.Databases {
		if d.Drop || slices.Contains(there, d.Name) {
			continue
		}
		if err := w.change(ctx, "CREATE DATABASE "+ident(d.Name)+" CHARACTER SET utf8mb4"); err != nil {
			return fmt.Errorf("create database %s: %w", d.Name, err)
		}
		w.changed("created database %s", d.Name)
	}
	return nil
}

func (w *objects) dropDatabases(ctx context.Context) error {
	there, err := w.databases(ctx)
	if err != nil {
		return err
	}
	for _, d := range w.want.Databases {
		if !d.Drop || !slices.Contains(there, d.Name) {
			continue
		}
		if err := w.change(ctx, "DROP DATABASE "+ident(d.Name)); err != nil {
			return fmt.Errorf("drop database %s: %w", d.Name, err)
		}
		w.changed("dropped database %s", d.Name)
	}
	return nil
}

// findUnmanaged reports databases and users that the spec does not name. Those of the server, of RDS and our own are none.
func (w *objects) findUnmanaged(ctx context.Context) error {
	there, err := w.databases(ctx)
	if err != nil {
		return err
	}
	for _, name := range there {
		if !slices.ContainsFunc(w.want.Databases, func(x stacks.LogicalDatabase) bool { return x.Name == name }) {
			w.report.Unmanaged = append(w.report.Unmanaged, "database "+name)
		}
	}
	users, err := w.texts(ctx, "SELECT DISTINCT user FROM mysql.user WHERE user <> '' ORDER BY user")
	if noRight(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list users: %w", err)
	}
	for _, u := range users {
		if !serversOwn(u) && u != w.target.Endpoint.User && !slices.ContainsFunc(w.want.Users, func(x stacks.User) bool { return x.Name == u }) {
			w.report.Unmanaged = append(w.report.Unmanaged, "user "+u)
		}
	}
	return nil
}

// serversOwn reports whether a user is the server's, RDS's or Meridian's.
func serversOwn(name string) bool {
	return name == "root" || name == "PUBLIC" || strings.HasPrefix(name, "rds") || strings.HasPrefix(name, "mysql.") || strings.HasPrefix(name, "mariadb.") ||
		name == ours || strings.HasPrefix(name, ours+"_")
}
