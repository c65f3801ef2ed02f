package temporal

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/iancoleman/strcase"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/temporal"
)

// Schemas that hold Temporal's tables unless the settings say others, side by side with the catalog's.
const (
	stateSchema = "temporal"
	listsSchema = "temporal_visibility"
)

const (
	// postgresConns is how many connections a pool holds. The server opens a pool for each of its services, and one more for lists: about ten.
	postgresConns = 10
	// postgresConnLife is when a connection is replaced, so that tokens that expire and servers that move are noticed.
	postgresConnLife = 30 * time.Minute
	// postgresConnect bounds one try to connect.
	postgresConnect = 5 * time.Second
	// oldestPostgres is the oldest major version that is tested with Temporal's schema.
	oldestPostgres = 130000
)

// postgresPart keeps some of Temporal's state in a schema of a PostgreSQL database.
type postgresPart struct {
	settings *Postgres
	schema   string
}

var _ part = (*postgresPart)(nil)

func newPostgresPart(p *Postgres, schema string) *postgresPart {
	if p.Schema != "" {
		schema = p.Schema
	}
	return &postgresPart{settings: p, schema: schema}
}

// forLists are the settings of the lists in the same database: a schema of their own beside the state's.
func (p *Postgres) forLists() *Postgres {
	lists := *p
	if p.Schema != "" {
		lists.Schema = p.Schema + "_visibility"
	}
	return &lists
}

// dataStore connects through a hook of the server's: our own pool knows the schema, and asks for the password whenever it connects.
func (p *postgresPart) dataStore() config.DataStore {
	return config.DataStore{SQL: &config.SQL{
		PluginName: postgresql.PluginNamePGX, DatabaseName: p.schema, ConnectAddr: p.where(), ConnectProtocol: "tcp",
		Connect: func(*config.SQL) (*sqlx.DB, error) { return p.pool() },
	}}
}

func (p *postgresPart) options() []temporal.ServerOption { return nil }
func (p *postgresPart) close()                           {}
func (p *postgresPart) claim(Options) claim              { return &postgresClaim{part: p} }

// where is what people are told: never the URL, which may hold more than they should see.
func (p *postgresPart) where() string {
	c, err := pgx.ParseConfig(p.settings.URL)
	if err != nil {
		return "postgresql"
	}
	return fmt.Sprintf("postgres://%s@%s/%s (schema %s)", c.User, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database, p.schema)
}

// config is how a connection is made. Its errors quote nothing of the URL.
func (p *postgresPart) config() (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(p.settings.URL)
	if err != nil {
		return nil, errors.New("temporal.postgres.url cannot be used: want postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full, with each part percent-encoded, and files for TLS that this user can read")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = postgresConnect
	}
	c.RuntimeParams["application_name"] = "meridian temporal"
	c.RuntimeParams["search_path"] = p.searchPath()
	c.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	return c, nil
}

// searchPath has the schema first; the operators of an extension are in public.
func (p *postgresPart) searchPath() string { return pgx.Identifier{p.schema}.Sanitize() + ", public" }

// open opens connections as they are needed, at most so many.
func (p *postgresPart) open(conns int) (*sql.DB, error) {
	c, err := p.config()
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*c, stdlib.OptionBeforeConnect(p.authenticate), stdlib.OptionAfterConnect(durationsAreNumbers))
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(time.Minute)
	life := time.Duration(p.settings.MaxConnLifetime)
	if life == 0 {
		life = postgresConnLife
	}
	db.SetConnMaxLifetime(life)
	return db, nil
}

// authenticate gets the password of the moment.
func (p *postgresPart) authenticate(ctx context.Context, c *pgx.ConnConfig) error {
	if p.settings.Password == nil {
		return nil
	}
	secret, err := p.settings.Password.Read(ctx)
	if err != nil {
		return err
	}
	c.Password = secret
	return nil
}

// durationsAreNumbers makes the driver write durations as the server's tables want them: nanoseconds in a bigint.
func durationsAreNumbers(_ context.Context, c *pgx.Conn) error {
	c.TypeMap().RegisterDefaultPgType(time.Duration(0), "int8")
	c.TypeMap().RegisterDefaultPgType((*time.Duration)(nil), "int8")
	return nil
}

// pool is a pool as the server's plugin wants it.
func (p *postgresPart) pool() (*sqlx.DB, error) {
	db, err := p.open(orElse(p.settings.MaxConns, postgresConns))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*postgresConnect)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, explainPostgres(err)
	}
	out := sqlx.NewDb(db, "pgx")
	out.MapperFunc(strcase.ToSnake)
	return out, nil
}

// explainPostgres says what a person can do about a server that does not let us in.
func explainPostgres(err error) error {
	var e *pgconn.PgError
	var unverified *tls.CertificateVerificationError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &e):
		switch e.Code {
		case "28P01", "28000":
			return fmt.Errorf("the server refuses this user: check the user, where the password comes from, and pg_hba.conf: %w", err)
		case "3D000":
			return fmt.Errorf("the database does not exist: create it: %w", err)
		case "42501":
			return fmt.Errorf("this user lacks a right: it needs CREATE on the database, or a schema that it owns: %w", err)
		case "53300":
			return fmt.Errorf("the server has no connection left: raise max_connections, or lower temporal.postgres.maxConns: %w", err)
		case "08P01":
			if strings.Contains(e.Message, "startup parameter") {
				return errPooler
			}
		case "42P05", "26000": // a statement that was prepared is another connection's, or gone
			return errPooler
		}
	case errors.As(err, &unverified):
		return fmt.Errorf("the server's certificate is not trusted: name its authority with sslrootcert=FILE in the URL, and the name in it as the host: %w", err)
	case errors.As(err, &connect):
		return fmt.Errorf("the server cannot be reached: is it running, and does the network let us through?: %w", err)
	}
	return err
}

// errPooler means that somebody stands between who does not keep a connection's settings.
var errPooler = errors.New("a pooler (PgBouncer) stands before the server and does not keep a connection's settings, locks and notices, which Meridian needs: name the server itself; Meridian pools its connections itself")

// check looks at everything of a server that would stop Temporal later.
func (p *postgresPart) check(ctx context.Context, db *sql.DB) error {
	var version int
	var replica, create, extension, available bool
	var encoding, path string
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('server_encoding'),
		current_setting('search_path'), has_database_privilege(current_database(), 'CREATE') OR coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1), false),
		EXISTS (SELECT FROM pg_extension WHERE extname = 'btree_gin'), EXISTS (SELECT FROM pg_available_extensions WHERE name = 'btree_gin')`, p.schema).
		Scan(&version, &replica, &encoding, &path, &create, &extension, &available)
	switch {
	case err != nil:
		return explainPostgres(err)
	case path != p.searchPath():
		return errPooler
	case version < oldestPostgres:
		return fmt.Errorf("PostgreSQL %d is too old: want %d or newer", version/10000, oldestPostgres/10000)
	case replica:
		return errors.New("this server is a replica that cannot be written: name the primary, or add target_session_attrs=read-write to the URL")
	case encoding != "UTF8":
		return fmt.Errorf("the database has encoding %s: make one with UTF8", encoding)
	case !create:
		return fmt.Errorf("this user may not make schema %s: as an administrator run CREATE SCHEMA %s AUTHORIZATION with its name, or GRANT CREATE ON DATABASE to it", p.schema, p.schema)
	case !extension && !available:
		return errors.New("the server lacks the extension btree_gin: install PostgreSQL's contrib modules (Debian has them in the server's package)")
	}
	return p.checkClock(ctx, db)
}

// clockTolerance is how far two clocks may be apart: Temporal's timers and leases are written by one and read by another.
const clockTolerance = 30 * time.Second

func (p *postgresPart) checkClock(ctx context.Context, db *sql.DB) error {
	before := time.Now()
	var theirs time.Time
	if err := db.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&theirs); err != nil {
		return explainPostgres(err)
	}
	return checkClocks(before, theirs, time.Now())
}

// checkClocks compares a clock that was read between two moments of ours.
func checkClocks(before, theirs, after time.Time) error {
	apart := max(before.Sub(theirs), theirs.Sub(after))
	if apart > clockTolerance {
		return fmt.Errorf("the clocks of this machine and of the database's are %s apart: set both by NTP", apart.Round(time.Second))
	}
	return nil
}
