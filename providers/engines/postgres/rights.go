package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// rdsReplication is the role that Amazon RDS has instead of the attribute REPLICATION: its administrator is no superuser and may grant the one,
// but not give the other. Source: Amazon RDS User Guide, "Performing logical replication for Amazon RDS for PostgreSQL".
const rdsReplication = "rds_replication"

// replicationRight is what makes a role one that a link reads by: attributes, or a role that a cloud has in their place.
type replicationRight struct {
	attributes string
	member     string // "" where the attributes are enough
}

// rightOfLinks asks the server which of the two its administrator can give.
func rightOfLinks(ctx context.Context, conn *pgx.Conn) (replicationRight, error) {
	var super, cloud bool
	err := conn.QueryRow(ctx, "SELECT rolsuper, EXISTS (SELECT FROM pg_roles WHERE rolname = $1) FROM pg_roles WHERE rolname = current_user", rdsReplication).Scan(&super, &cloud)
	if err != nil {
		return replicationRight{}, fmt.Errorf("read the administrator's rights: %w", err)
	}
	if cloud && !super {
		return replicationRight{attributes: "LOGIN", member: rdsReplication}, nil
	}
	return replicationRight{attributes: "LOGIN REPLICATION BYPASSRLS"}, nil
}

// grantRole makes one role a member of another, unless it is.
func grantRole(ctx context.Context, conn *pgx.Conn, granted, to string) error {
	var is bool
	if err := conn.QueryRow(ctx, "SELECT pg_has_role($1, $2, 'MEMBER')", to, granted).Scan(&is); err != nil || is {
		return wrapIf(err, "look whether "+to+" is a "+granted)
	}
	_, err := conn.Exec(ctx, "GRANT "+ident(granted)+" TO "+ident(to))
	if sqlState(err) == codeNoPrivilege {
		return permanent("the administrator may not grant %s to %s: let somebody who may do that", granted, to)
	}
	return wrapIf(err, "grant "+granted)
}

// refusePolicies refuses tables with row-level security where the link's role has to obey it: rows would silently be left out of the copy.
func (l *link) refusePolicies(ctx context.Context, p pair) error {
	var above bool
	if err := p.src.QueryRow(ctx, "SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = $1", roleName(l.in)).Scan(&above); err != nil {
		return fmt.Errorf("read the rights of %s: %w", roleName(l.in), err)
	}
	if above {
		return nil
	}
	tables, err := strs(ctx, p.src, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relrowsecurity AND `+fmt.Sprintf(userObject, "pg_class", "c.oid")+` ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("look for tables with row-level security: %w", err)
	}
	if len(tables) > 0 {
		return permanent("database %s in %s has tables with row-level security, which no role there can pass by, so that rows would be left out: %s; ALTER TABLE ... DISABLE ROW LEVEL SECURITY",
			p.database, l.in.From.Region, some(tables))
	}
	return nil
}

// actFor lets an administrator who is no superuser give things to a role and take them from it: it has to be a member of that.
func actFor(ctx context.Context, conn *pgx.Conn, role string) error {
	version, err := major(ctx, conn)
	if err != nil {
		return err
	}
	// From 16 on, who makes a role is a member of it that can only grant it.
	able, grant := "pg_has_role(current_user, $1, 'USAGE')", "GRANT "+ident(role)+" TO CURRENT_USER"
	if version >= 16 {
		able, grant = able+" AND pg_has_role(current_user, $1, 'SET')", grant+" WITH INHERIT TRUE, SET TRUE"
	}
	var is bool
	if err := conn.QueryRow(ctx, "SELECT "+able, role).Scan(&is); err != nil || is {
		return wrapIf(err, "look whether the administrator may act for "+role)
	}
	_, err = conn.Exec(ctx, grant)
	return wrapIf(err, "act for "+role)
}
