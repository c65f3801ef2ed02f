package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/stacks"
)

// EnsureLink makes a logical replication link: role, schema, publication, slot, subscription, in this order, for each database.
// What is there already is kept; databases that the link no longer names are unlinked. It does not wait for the initial copy.
// What a person must change first wraps providers.ErrPermanent and says so. PostgreSQL replicates rows only: later changes of
// tables, values of sequences, large objects and materialized views are the user's; new tables follow by themselves.
func (e *Engine) EnsureLink(ctx context.Context, in providers.LinkInput) error {
	return settle(e.ensureLink(ctx, in), secretsOf(in)...)
}

func (e *Engine) ensureLink(ctx context.Context, in providers.LinkInput) error {
	if in.Link.Mode == stacks.LinkPhysical {
		return ensureFollows(ctx, in)
	}
	if in.Link.Mode != stacks.LinkLogical {
		return permanent("link %s: mode %q is not one of postgres", in.Link.Name(), in.Link.Mode)
	}
	if slices.Contains(in.Link.Databases, maintenanceDB) {
		return permanent("link %s: database %s belongs to the server and cannot be linked", in.Link.Name(), maintenanceDB)
	}
	l, err := e.open(ctx, in)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.lock(ctx); err != nil {
		return err
	}
	if err := l.preflight(ctx); err != nil {
		return err
	}
	for _, g := range []*guard{l.to, l.from} {
		if err := g.noteLinked(ctx, linkPrefix(in), in.Link.Databases); err != nil {
			return err
		}
	}
	if err := l.ensureReplicationRole(ctx); err != nil {
		return fmt.Errorf("replication role in %s: %w", in.From.Region, err)
	}
	for _, p := range l.pairs {
		if err := l.ensurePair(ctx, p); err != nil {
			return fmt.Errorf("link %s, database %s: %w", in.Link.Name(), p.database, err)
		}
	}
	return l.unlinkOthers(ctx)
}

// link is one call about a link, with its sessions.
type link struct {
	engine   *Engine
	in       providers.LinkInput
	from, to *guard // nil until locked
	pairs    []pair
}

// pair is one database of a link on both sides.
type pair struct {
	database string
	name     string // of slot, publication and subscription
	src, dst *pgx.Conn
}

// secretsOf lists what no error may hold.
func secretsOf(in providers.LinkInput) []string {
	return []string{in.Password, in.From.Password, in.To.Password}
}

// open connects to each database of the link on both sides.
func (e *Engine) open(ctx context.Context, in providers.LinkInput) (*link, error) {
	l := &link{engine: e, in: in}
	for _, db := range in.Link.Databases {
		p := pair{database: db, name: linkName(in, db)}
		var err error
		if p.src, err = connect(ctx, in.From, db, in.RunNumber); err == nil {
			if p.dst, err = connect(ctx, in.To, db, in.RunNumber); err != nil {
				shut(p.src)
			}
		}
		if err != nil {
			l.close()
			if sqlState(err) == codeNoDatabase {
				return nil, permanent("%v: a linked database must be in both regions", err)
			}
			return nil, err
		}
		l.pairs = append(l.pairs, p)
	}
	return l, nil
}

// lock takes the right to change both sides. All calls lock the target first; links make no circle, so no two wait for each other.
func (l *link) lock(ctx context.Context) (err error) {
	if l.to != nil {
		return nil
	}
	if l.to, err = newGuard(ctx, l.in.To, l.in.RunNumber); err != nil {
		return err
	}
	l.from, err = newGuard(ctx, l.in.From, l.in.RunNumber)
	return err
}

// hold says whether both rights still stand.
func (l *link) hold(ctx context.Context) error {
	if err := l.to.hold(ctx); err != nil {
		return err
	}
	return l.from.hold(ctx)
}

func (l *link) close() {
	for _, p := range l.pairs {
		shut(p.src)
		shut(p.dst)
	}
	for _, g := range []*guard{l.from, l.to} {
		if g != nil {
			g.close()
		}
	}
}

// ensureReplicationRole lets the target log in and read every table; row-level security or not, where the server can give that.
func (l *link) ensureReplicationRole(ctx context.Context) error {
	conn, role := l.from.conn, roleName(l.in)
	right, err := rightOfLinks(ctx, conn)
	if err != nil {
		return err
	}
	if _, err := ensureRole(ctx, conn, l.in.From, role, l.in.Password, right.attributes); err != nil {
		return err
	}
	if right.member != "" {
		if err := grantRole(ctx, conn, right.member, role); err != nil {
			return err
		}
	}
	if err := grantRole(ctx, conn, "pg_read_all_data", role); err != nil {
		return err
	}
	for _, p := range l.pairs {
		var connects bool
		if err := conn.QueryRow(ctx, "SELECT has_database_privilege($1, $2, 'CONNECT')", role, p.database).Scan(&connects); err != nil {
			return err
		}
		if connects {
			continue
		}
		if _, err := conn.Exec(ctx, "GRANT CONNECT ON DATABASE "+ident(p.database)+" TO "+ident(role)); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) ensurePair(ctx context.Context, p pair) error {
	if err := l.refusePolicies(ctx, p); err != nil {
		return err
	}
	if err := l.ensureHeartbeat(ctx, p); err != nil {
		return err
	}
	if err := l.copySchema(ctx, p); err != nil {
		return err
	}
	if err := l.ensurePublication(ctx, p); err != nil {
		return err
	}
	if err := l.ensureSubscription(ctx, p); err != nil {
		return err
	}
	_, err := l.refresh(ctx, p)
	return err
}

// unlinkOthers removes the link from databases that it no longer names.
func (l *link) unlinkOthers(ctx context.Context) error {
	r := &removal{in: l.in, keep: func(database string) bool { return slices.Contains(l.in.Link.Databases, database) }}
	if err := r.target(ctx, l.to); err != nil {
		return err
	}
	return r.source(ctx, l.from)
}

// ofLink reports whether a slot, publication or subscription is of this link.
func ofLink(in providers.LinkInput, name string) bool { return strings.HasPrefix(name, linkPrefix(in)) }
