package temporal

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresFacts are what a connection says of its server. Durations are in milliseconds, 0 for none.
type postgresFacts struct {
	version             string // like "15.18"
	number              int    // like 150018
	database            string
	encoding, collation string
	collationChanged    bool // the machine's collation is of another version than the one that indexes were made with
	settings            map[string]string
	connections         int // of all clients, now
	ours                int // of those, Meridian's
	ofDatabase, ofRole  int // their CONNECTION LIMIT, -1 for none
	encrypted, loopback bool
	replica             bool
	pooled              bool // two statements of one connection went to two backends
}

// advisedSettings are read from the server: those that matter to us.
var advisedSettings = []string{
	"max_connections", "superuser_reserved_connections", "reserved_connections", "synchronous_commit", "fsync", "full_page_writes", "statement_timeout",
	"lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout", "default_transaction_read_only", "default_transaction_isolation",
}

// How many connections of a server are needed, at most.
const (
	// rowsConns are a server's for the rows, and some of runners and workers beside it.
	rowsConns = 20
	// statePools and listsPools are pools that Temporal's services open.
	statePools = 10
	listsPools = 5
)

// demand is what is asked of one PostgreSQL.
type demand struct {
	settings *Postgres
	conns    int
	// rows says that what may not be lost is kept there, and workflows that Temporal keeps something there.
	rows, workflows bool
}

// AdvisePostgres looks at each PostgreSQL that the settings name, and at the one of the rows (nil where they are in SQLite), and explains those
// of its settings that matter, with what to do about each that could hurt. It changes nothing.
func AdvisePostgres(ctx context.Context, rows *Postgres, s *Settings) (out []Finding) {
	for _, d := range demands(rows, s) {
		f, err := newPostgresPart(d.settings, stateSchema).facts(ctx)
		if err != nil {
			out = append(out, Finding{Check: "postgresql server", State: FindingFail, What: err.Error(), Next: "mend that: a server would not start"})
			continue
		}
		out = append(out, f.advise(d)...)
	}
	return out
}

// demands adds up what is asked of each server.
func demands(rows *Postgres, s *Settings) (out []demand) {
	add := func(p *Postgres, conns int, ofRows bool) {
		if p == nil {
			return
		}
		for i, d := range out {
			if serverOf(d.settings) == serverOf(p) {
				out[i].conns, out[i].rows, out[i].workflows = d.conns+conns, d.rows || ofRows, d.workflows || !ofRows
				return
			}
		}
		out = append(out, demand{p, conns, ofRows, !ofRows})
	}
	add(rows, rowsConns, true)
	if s.Postgres != nil {
		add(s.Postgres, statePools*orElse(s.Postgres.MaxConns, postgresConns), false)
	}
	if lists := s.listsIn(); lists != nil {
		add(lists, listsPools*orElse(lists.MaxConns, postgresConns), false)
	}
	return out
}

// serverOf tells servers apart, as this user sees them.
func serverOf(p *Postgres) string {
	c, err := pgx.ParseConfig(p.URL)
	if err != nil {
		return p.URL
	}
	return fmt.Sprintf("%s@%s:%d/%s", c.User, c.Host, c.Port, c.Database)
}

func (p *postgresPart) facts(ctx context.Context) (f postgresFacts, err error) {
	c, err := p.config()
	if err != nil {
		return f, err
	}
	if err := p.authenticate(ctx, c); err != nil {
		return f, err
	}
	address, err := netip.ParseAddr(c.Host)
	f.loopback = c.Host == "localhost" || strings.HasPrefix(c.Host, "/") || err == nil && address.IsLoopback()
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return f, explainPostgres(err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing was written through it
	var first, second int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&first); err != nil {
		return f, explainPostgres(err)
	}
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_database(),
			pg_encoding_to_char(d.encoding), d.datcollate, d.datconnlimit, r.rolconnlimit, pg_is_in_recovery(), pg_backend_pid(),
			coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
			(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
			(SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'meridian%' AND pid <> pg_backend_pid())
		FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`).
		Scan(&f.version, &f.number, &f.database, &f.encoding, &f.collation, &f.ofDatabase, &f.ofRole, &f.replica, &second, &f.encrypted, &f.connections, &f.ours)
	if err != nil {
		return f, explainPostgres(err)
	}
	f.pooled = first != second
	f.version, _, _ = strings.Cut(f.version, " ")
	if f.number >= 150000 {
		err := conn.QueryRow(ctx, "SELECT coalesce(datcollversion <> pg_database_collation_actual_version(oid), false) FROM pg_database WHERE datname = current_database()").Scan(&f.collationChanged)
		if err != nil {
			return f, explainPostgres(err)
		}
	}
	f.settings = map[string]string{}
	set, err := conn.Query(ctx, "SELECT name, setting FROM pg_settings WHERE name = ANY($1)", advisedSettings)
	if err != nil {
		return f, explainPostgres(err)
	}
	defer set.Close()
	for set.Next() {
		var name, value string
		if err := set.Scan(&name, &value); err != nil {
			return f, err
		}
		f.settings[name] = value
	}
	return f, set.Err()
}

// Limits of what the server may be set to.
const (
	// leastStatement is how long a statement must be allowed to take: an index of a large table, a copy of all rows.
	leastStatement = 10 * time.Minute
	// leastLock is how long a statement waits for another at most: writers take turns.
	leastLock = 30 * time.Second
	// leastIdle is how long a pool's connection may be idle; the claim's is used every five seconds.
	leastIdle = 2 * time.Minute
	// leastInTransaction is the longest pause that a loaded machine makes between two statements of a transaction.
	leastInTransaction = 10 * time.Second
)

// advise says what of a server hurts, and what to do about it. It is pure. Every finding names its setting, so that "ok" says what was looked at.
func (f postgresFacts) advise(d demand) []Finding {
	out := []Finding{{Check: "postgresql server", State: FindingOK, What: fmt.Sprintf("PostgreSQL %s, database %s, %s, collation %s", f.version, f.database, f.encoding, f.collation)}}
	add := func(check, state, what, next string) {
		out = append(out, Finding{"postgresql " + check, state, what, next})
	}
	onDatabase := func(setting string) string {
		return fmt.Sprintf("ALTER DATABASE %s SET %s, and restart the servers of Meridian", pgx.Identifier{f.database}.Sanitize(), setting)
	}
	switch {
	case f.number < oldestPostgres:
		out[0].State, out[0].Next = FindingFail, fmt.Sprintf("upgrade it: %d or newer is wanted", oldestPostgres/10000)
	case f.encoding != "UTF8":
		out[0].State, out[0].Next = FindingFail, "make a database with ENCODING 'UTF8' TEMPLATE template0"
	case f.replica:
		out[0].State, out[0].What, out[0].Next = FindingFail, "this server is a replica, which cannot be written", "name the primary, or add target_session_attrs=read-write to the URL"
	case f.collationChanged:
		out[0].State = FindingWarn
		out[0].What += ": the machine's collation has changed since the indexes were made, and may sort otherwise"
		out[0].Next = fmt.Sprintf("with Meridian stopped: REINDEX DATABASE %[1]s; ALTER DATABASE %[1]s REFRESH COLLATION VERSION", pgx.Identifier{f.database}.Sanitize())
	}
	if f.pooled {
		add("pooler", FindingFail, errPooler.Error(), "name the server itself")
	}
	out = append(out, f.adviseConnections(d.conns))
	if !f.encrypted && !f.loopback {
		add("encryption", FindingWarn, "the connection is not encrypted: rows, and with some methods the password, can be read on the way", "add sslmode=verify-full&sslrootcert=FILE to the URL")
	}
	out = append(out, f.adviseDurability(d.rows, onDatabase)...)
	limits := map[string]time.Duration{
		"statement_timeout": leastStatement, "transaction_timeout": leastStatement, "lock_timeout": leastLock, "idle_session_timeout": leastIdle,
		"idle_in_transaction_session_timeout": leastInTransaction,
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		have, err := strconv.ParseInt(f.settings[name], 10, 64) // one that an older server does not know limits nothing
		if d := time.Duration(have) * time.Millisecond; err == nil && d > 0 && d < limits[name] {
			add(name, FindingWarn, fmt.Sprintf("%s ends what takes longer than %s", name, d), onDatabase(fmt.Sprintf("%s = 0 (or %s and more)", name, limits[name])))
		}
	}
	if f.settings["default_transaction_read_only"] == "on" {
		add("read only", FindingFail, "default_transaction_read_only is on: nothing can be written", onDatabase("default_transaction_read_only = off"))
	}
	if level := f.settings["default_transaction_isolation"]; level != "" && level != "read committed" && d.workflows {
		add("isolation", FindingWarn, "default_transaction_isolation is "+level+": Temporal was written for read committed, and its writers would fail each other", onDatabase("default_transaction_isolation = 'read committed'"))
	}
	return out
}

// adviseConnections compares what we open with what the server lets in.
func (f postgresFacts) adviseConnections(conns int) Finding {
	most, what := 0, "max_connections"
	if n, err := strconv.Atoi(f.settings["max_connections"]); err == nil {
		most = n
		for _, name := range []string{"superuser_reserved_connections", "reserved_connections"} {
			if r, err := strconv.Atoi(f.settings[name]); err == nil {
				most -= r
			}
		}
	}
	for name, n := range map[string]int{"the database's CONNECTION LIMIT": f.ofDatabase, "the user's CONNECTION LIMIT": f.ofRole} {
		if n >= 0 && n < most {
			most, what = n, name
		}
	}
	others := f.connections - f.ours
	out := Finding{Check: "postgresql connections", State: FindingOK, What: fmt.Sprintf("%d are let in (%s), others have %d, and up to %d of ours come", most, what, others, conns)}
	if others+conns > most {
		out.State = FindingWarn
		out.Next = fmt.Sprintf("raise %s to %d or more, or lower maxConns of temporal.postgres: Temporal opens up to ten pools of it", what, others+conns+most/10)
	}
	return out
}

// adviseDurability looks at what the server promises once it has said yes.
func (f postgresFacts) adviseDurability(rows bool, onDatabase func(string) string) (out []Finding) {
	for _, name := range []string{"fsync", "full_page_writes"} {
		if f.settings[name] == "off" {
			out = append(out, Finding{
				Check: "postgresql " + name, State: FindingWarn, What: name + " is off: a crash of its machine can damage the whole database",
				Next: "set it to on in postgresql.conf and reload the server",
			})
		}
	}
	switch commit := f.settings["synchronous_commit"]; {
	case commit != "off":
		out = append(out, Finding{Check: "postgresql synchronous_commit", State: FindingOK, What: commit + ": what was promised outlives a crash of the server"})
	case rows:
		out = append(out, Finding{
			Check: "postgresql synchronous_commit", State: FindingFail, What: "off: a crash of the server would lose what was promised, a yes or a fence among it", Next: onDatabase("synchronous_commit = on"),
		})
	default:
		out = append(out, Finding{
			Check: "postgresql synchronous_commit", State: FindingOK, What: "off: a crash of the server may lose the last steps of workflows; the catalog brings them back",
		})
	}
	return out
}
