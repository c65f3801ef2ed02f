package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
)

// users' objects: not the server's, not ours, not an extension's. The class and the object are put in.
const userObject = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'meridian')
	AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = '%s'::regclass AND d.objid = %s AND d.deptype = 'e')`

// inventorySQL lists what a database's schema is made of, as "kind name". Two servers that print the same lines need no copy.
var inventorySQL = strings.Join([]string{
	`SELECT CASE WHEN c.relkind IN ('r', 'p') THEN 'table ' ELSE 'relation ' END || c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'i', 'I') AND c.relpersistence <> 't' AND ` + fmt.Sprintf(userObject, "pg_class", "c.oid"),
	`SELECT 'function ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ` + fmt.Sprintf(userObject, "pg_proc", "p.oid"),
	`SELECT 'type ' || t.oid::regtype FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE (t.typtype IN ('e', 'd', 'r') OR EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) AND ` + fmt.Sprintf(userObject, "pg_type", "t.oid"),
	`SELECT 'constraint ' || k.conrelid::regclass || ' ' || quote_ident(k.conname) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
		WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conrelid <> 0 AND ` + fmt.Sprintf(userObject, "pg_class", "k.conrelid"),
	`SELECT 'trigger ' || g.tgrelid::regclass || ' ' || quote_ident(g.tgname) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal AND ` + fmt.Sprintf(userObject, "pg_class", "c.oid"),
	`SELECT 'schema ' || quote_ident(n.nspname) FROM pg_namespace n WHERE ` + fmt.Sprintf(userObject, "pg_namespace", "n.oid"),
	`SELECT 'extension ' || quote_ident(e.extname) FROM pg_extension e`,
}, "\nUNION ALL ")

// missingObjects lists what the source's schema has and the target's has not, sorted.
func missingObjects(ctx context.Context, p pair) ([]string, error) {
	want, err := strs(ctx, p.src, inventorySQL)
	if err != nil {
		return nil, fmt.Errorf("list the source's schema: %w", err)
	}
	have, err := strs(ctx, p.dst, inventorySQL)
	if err != nil {
		return nil, fmt.Errorf("list the target's schema: %w", err)
	}
	there := make(map[string]bool, len(have))
	for _, h := range have {
		there[h] = true
	}
	want = slices.DeleteFunc(want, func(w string) bool { return there[w] })
	slices.Sort(want)
	return want, nil
}

// checkColumns refuses tables on both sides of which a column of the source is missing or of another type at the target:
// the target's worker would stop at the first row.
func checkColumns(ctx context.Context, p pair, target string) error {
	want, err := columns(ctx, p.src)
	if err != nil {
		return fmt.Errorf("list the source's columns: %w", err)
	}
	have, err := columns(ctx, p.dst)
	if err != nil {
		return fmt.Errorf("list the target's columns: %w", err)
	}
	var differ []string
	for table, cols := range want {
		if have[table] == nil {
			continue
		}
		for col, typ := range cols {
			switch got := have[table][col]; got {
			case typ:
			case "":
				differ = append(differ, fmt.Sprintf("%s.%s (%s) is missing", table, col, typ))
			default:
				differ = append(differ, fmt.Sprintf("%s.%s is %s instead of %s", table, col, got, typ))
			}
		}
	}
	if len(differ) == 0 {
		return nil
	}
	slices.Sort(differ)
	return permanent("tables of database %s in %s differ from the source: %s; change them there by ALTER TABLE", p.database, target, some(differ))
}

func columns(ctx context.Context, conn *pgx.Conn) (map[string]map[string]string, error) {
	rows, err := conn.Query(ctx, `SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod)
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND `+fmt.Sprintf(userObject, "pg_class", "c.oid"))
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]string{}
	var table, col, typ string
	_, err = pgx.ForEachRow(rows, []any{&table, &col, &typ}, func() error {
		if out[table] == nil {
			out[table] = map[string]string{}
		}
		out[table][col] = typ
		return nil
	})
	return out, err
}

// copySchema makes at the target what the source's schema has and the target's lacks, in one transaction; what is there stays
// as it is. Both schemas are dumped in PostgreSQL's archive format, and the entries that only the source has are restored.
func (l *link) copySchema(ctx context.Context, p pair) error {
	if err := checkColumns(ctx, p, l.in.To.Region); err != nil {
		return err
	}
	missing, err := missingObjects(ctx, p)
	if err != nil || len(missing) == 0 {
		return err
	}
	version, err := major(ctx, p.dst)
	if err != nil {
		return err
	}
	d, err := l.engine.dumper(version)
	if err != nil {
		return err
	}
	script, err := d.difference(ctx, p.database, l.in)
	if err != nil {
		return fmt.Errorf("dump schema: %w", err)
	}
	if script == "" {
		return nil
	}
	return l.restore(ctx, p, script)
}

// restore runs a script of pg_restore in a session of its own, because the script changes settings.
func (l *link) restore(ctx context.Context, p pair, script string) error {
	conn, err := connect(ctx, l.in.To, p.database, l.in.RunNumber)
	if err != nil {
		return err
	}
	defer shut(conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, script); err != nil {
			return l.restoreError(p, err)
		}
		return l.hold(ctx)
	})
	return wrapIf(err, "restore schema in "+l.in.To.Region)
}

// restoreError decides whether another try can help: trouble of the server may pass, a schema that does not fit stays.
func (l *link) restoreError(p pair, err error) error {
	code := sqlState(err)
	switch {
	case len(code) != 5, unreachable(err), slices.Contains([]string{"40", "53", "54", "55", "57", "58"}, code[:2]) && code != codeNoFile:
		return err
	case code == codeNoObject:
		return fmt.Errorf("%w: roles and extensions that the source's schema names must be in %s too (users: in the spec): %w", err, l.in.To.Region, providers.ErrPermanent)
	}
	return fmt.Errorf("%w: the schema of database %s does not fit what is in %s: %w", err, p.database, l.in.To.Region, providers.ErrPermanent)
}
