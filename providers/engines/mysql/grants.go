package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

// What a user of the spec may do in a database of the spec: its owner everything that MySQL and MariaDB both know, every other one reads and writes.
var (
	writes = []string{"DELETE", "INSERT", "SELECT", "UPDATE"}
	owns   = []string{
		"ALTER", "ALTER ROUTINE", "CREATE", "CREATE ROUTINE", "CREATE TEMPORARY TABLES", "CREATE VIEW", "DELETE", "DROP", "EVENT", "EXECUTE", "INDEX",
		"INSERT", "LOCK TABLES", "REFERENCES", "SELECT", "SHOW VIEW", "TRIGGER", "UPDATE",
	}
)

// grant is what one user may do in one database, and what of that is missing or too much.
type grant struct {
	database, user string
	missing, extra []string
}

// readGrants compares the rights of the spec's users in its databases with what the spec says; those that are as they should be are left out.
// Other rights than those that an owner has are nobody's here.
func (s *session) readGrants(ctx context.Context, o providers.Objects) ([]grant, error) {
	patterns, err := s.patterns(ctx)
	if err != nil {
		return nil, err
	}
	var out []grant
	for _, d := range o.Databases {
		if d.Drop {
			continue
		}
		for _, u := range o.Users {
			if u.Drop {
				continue
			}
			have, err := s.texts(ctx, "SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = ? AND table_schema = ? ORDER BY privilege_type",
				account(u.Name), pattern(d.Name, patterns))
			if err != nil {
				return nil, fmt.Errorf("rights of %s in database %s: %w", u.Name, d.Name, err)
			}
			if g := compare(d, u.Name, have); len(g.missing)+len(g.extra) > 0 {
				out = append(out, g)
			}
		}
	}
	return out, nil
}

// compare says what of a user's rights is missing and what is too much. It is pure.
func compare(d stacks.LogicalDatabase, user string, have []string) grant {
	want := writes
	if d.Owner == user {
		want = owns
	}
	g := grant{database: d.Name, user: user}
	for _, right := range owns {
		switch has, wants := slices.Contains(have, right), slices.Contains(want, right); {
		case wants && !has:
			g.missing = append(g.missing, right)
		case has && !wants:
			g.extra = append(g.extra, right)
		}
	}
	return g
}

// patterns reports whether a database's name in a grant is a pattern, in which an underscore stands for any character.
func (s *session) patterns(ctx context.Context) (bool, error) {
	var literally bool
	err := s.QueryRowContext(ctx, "SELECT @@global.partial_revokes").Scan(&literally)
	if isCode(err, codeNoVariable) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("how grants name databases: %w", err)
	}
	return !literally, nil
}

// pattern is a database's name as a grant names it.
func pattern(name string, patterns bool) string {
	if patterns {
		return strings.ReplaceAll(name, "_", `\_`)
	}
	return name
}

func (w *objects) ensureGrants(ctx context.Context) error {
	wrong, err := w.readGrants(ctx, w.want)
	if err != nil {
		return err
	}
	patterns, err := w.patterns(ctx)
	if err != nil {
		return err
	}
	for _, g := range wrong {
		on := " ON " + ident(pattern(g.database, patterns)) + ".* "
		if len(g.missing) > 0 {
			if err := w.change(ctx, "GRANT "+strings.Join(g.missing, ", ")+on+"TO "+account(g.user)); err != nil {
				return fmt.Errorf("rights of %s in database %s: %w", g.user, g.database, err)
			}
		}
		if len(g.extra) > 0 {
			if err := w.change(ctx, "REVOKE "+strings.Join(g.extra, ", ")+on+"FROM "+account(g.user)); err != nil {
				return fmt.Errorf("rights of %s in database %s: %w", g.user, g.database, err)
			}
		}
		w.changed("user %s has its rights in database %s", g.user, g.database)
	}
	return nil
}
