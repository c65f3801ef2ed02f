package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
)

// Bounds of what one process takes of a server, whose connections are few.
const (
	maxPostgresWriters = 4
	maxPostgresReaders = 8
	// connectTimeout bounds one try to connect.
	connectTimeout = 5 * time.Second
	// silentAfter is when a peer that answers nothing is taken for gone, by either side: a network that swallows packets says nothing.
	silentAfter = 20 * time.Second
	// oldestPostgres is the first version that has what the store needs: 64-bit transaction IDs that can be asked about.
	oldestPostgres = 130000
)

// sessionSettings are those of every connection, where the URL does not say otherwise.
var sessionSettings = map[string]string{
	"application_name": "meridian",
	// A process that is stopped in the middle of a transaction must not keep others from the rows that it read or wrote.
	"idle_in_transaction_session_timeout": strconv.FormatInt((15 * time.Second).Milliseconds(), 10),
	// The server notices a client whose machine is gone.
	"tcp_keepalives_idle":     "5",
	"tcp_keepalives_interval": "5",
	"tcp_keepalives_count":    "3",
	"tcp_user_timeout":        strconv.FormatInt(silentAfter.Milliseconds(), 10),
	// A look-up by scan of a small table makes SERIALIZABLE take all its rows for read, and every two writers for rivals.
	"enable_seqscan": "off",
	// Where a scan has to be, it costs ten billion on paper, and the server would compile the query for it.
	"jit":      "off",
	"timezone": "UTC",
}

// openPostgres opens the store at a URL and migrates it.
func openPostgres(ctx context.Context, where string) (*Store, error) {
	s, err := connectPostgres(where)
	if err != nil {
		return nil, err
	}
	d := s.dialect.(*postgresDialect)
	if err = d.check(ctx, s); err == nil {
		err = s.migratePostgres(ctx)
	}
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("store %s: %w", s.path, err)
	}
	s.feed.announce = make(chan struct{}, 1)
	s.feed.wg.Add(1)
	go d.announce(s)
	return s, nil
}

// connectPostgres makes a store at a URL; nothing is connected yet.
func connectPostgres(where string) (*Store, error) {
	where, command, err := cutPasswordCommand(where)
	if err != nil {
		return nil, err
	}
	config, err := postgresConfig(where)
	if err != nil {
		return nil, err
	}
	d := &postgresDialect{config: config, password: passwordFrom(command)}
	s := &Store{dialect: d, path: address(config), closing: make(chan struct{})}
	s.db = stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(d.password))
	s.db.SetMaxOpenConns(maxPostgresWriters)
	s.db.SetMaxIdleConns(maxPostgresWriters)
	s.db.SetConnMaxIdleTime(30 * time.Second)
	s.reads = stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(d.password))
	s.reads.SetMaxOpenConns(maxPostgresReaders)
	s.reads.SetMaxIdleConns(maxPostgresReaders)
	s.reads.SetConnMaxIdleTime(30 * time.Second)
	s.feed.init(s)
	return s, nil
}

// postgresConfig reads a URL. Its errors quote nothing of it.
func postgresConfig(where string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(where)
	if err != nil {
		return nil, errors.New("store: the URL cannot be used: want postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full, with each part percent-encoded, and files for TLS and passwords that this user can read")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	for name, value := range sessionSettings {
		if _, said := config.RuntimeParams[name]; !said {
			config.RuntimeParams[name] = value
		}
	}
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control: func(network, _ string, c syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			var set error
			err := c.Control(func(fd uintptr) {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silentAfter.Milliseconds()))
			})
			return errors.Join(err, set)
		},
	}
	config.DialFunc = dialer.DialContext
	return config, nil
}

// address is what people are told of a store: never the URL, which may hold a password.
func address(c *pgx.ConnConfig) string {
	return fmt.Sprintf("postgres://%s@%s/%s", c.User, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database)
}

// postgresDialect is what PostgreSQL does differently.
type postgresDialect struct {
	config *pgx.ConnConfig
	// password gets the password of the moment, where a command prints it.
	password func(context.Context, *pgx.ConnConfig) error
	channel  string // of LISTEN and NOTIFY: one per schema
}

// check looks whether the server is one that the store can be on.
func (d *postgresDialect) check(ctx context.Context, s *Store) error {
	var version int
	var replica bool
	var encoding, durable, schema, scans string
	err := s.retry(ctx, func() error {
		return s.db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('server_encoding'),
			current_setting('synchronous_commit'), coalesce(current_schema(), ''), current_setting('enable_seqscan')`).
			Scan(&version, &replica, &encoding, &durable, &schema, &scans)
	})
	switch {
	case err != nil:
		return explainPostgres(err)
	case version < oldestPostgres:
		return fmt.Errorf("PostgreSQL %d is too old: want %d or newer", version/10000, oldestPostgres/10000)
	case replica:
		return errors.New("this server is a replica that cannot be written: name the primary, or add target_session_attrs=read-write to the URL")
	case encoding != "UTF8":
		return fmt.Errorf("the database has encoding %s: make one with UTF8", encoding)
	case d.config.RuntimeParams["enable_seqscan"] == "off" && scans != "off":
		return errPooler
	case durable == "off":
		return errors.New("synchronous_commit is off: a crash of the server would lose what was promised; set it to on for this database or user")
	case schema == "":
		return errors.New("there is no schema to make tables in: make one, or name one with search_path in the URL")
	}
	d.channel = "meridian." + schema
	if len(d.channel) > 63 {
		d.channel = d.channel[:63]
	}
	return nil
}

// explainPostgres says what a person can do about a server that does not let us in.
func explainPostgres(err error) error {
	switch sqlState(err) {
	case "28P01", "28000":
		return fmt.Errorf("the server refuses this user: check the password, and pg_hba.conf: %w", err)
	case "3D000":
		return fmt.Errorf("the database does not exist: create it: %w", err)
	case "42501":
		return fmt.Errorf("this user lacks a right: it must own the schema or be allowed to create in it: %w", err)
	case "08P01":
		if strings.Contains(err.Error(), "startup parameter") {
			return errPooler
		}
	case "42P05", "26000": // a statement that was prepared is another connection's, or gone
		return errPooler
	}
	if isAway(err) {
		return fmt.Errorf("%w (is the server running, and does the network let us through?): %w", ErrAway, err)
	}
	return err
}

// errPooler means that somebody stands between who does not keep a connection's settings.
var errPooler = errors.New("a pooler (PgBouncer) stands before the server and does not keep a connection's settings, locks and notices, which the store needs: name the server itself; the store pools its connections")

// write is SERIALIZABLE: transactions of catalog and journal read rows of many tables before they write, and were written for a
// store where writers take turns. Rivals are told so (40001) and try again.
func (*postgresDialect) write() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelSerializable}
}

// read is one snapshot. It does not take part in the order of SERIALIZABLE writers: who decides something by what it read decides it
// again in the transaction that writes.
func (*postgresDialect) read() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (*postgresDialect) within(ctx context.Context) context.Context { return ctx }

func (*postgresDialect) rebind(query string) string { return numbered(query) }

// arg turns our types into those that every driver knows; yes and no are numbers in both stores.
func (*postgresDialect) arg(v any) (any, error) {
	value, err := driver.DefaultParameterConverter.ConvertValue(v)
	if yes, ok := value.(bool); ok {
		if yes {
			return int64(1), err
		}
		return int64(0), err
	}
	return value, err
}

func (*postgresDialect) trouble(err error) trouble {
	if errors.Is(err, ErrUnknown) {
		return troubleFinal
	}
	if lost := new(lostCommit); errors.As(err, &lost) {
		return troubleBusy
	}
	switch sqlState(err) {
	case "40001", "40P01": // serialization failure, deadlock
		return troubleBusy
	case "23505":
		return troubleConflict
	}
	if isAway(err) {
		return troubleAway
	}
	return troubleFinal
}

func (*postgresDialect) sealedTables() string {
	return `SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attname = ? AND NOT a.attisdropped ORDER BY c.relname::text`
}

func (*postgresDialect) hasVersions() string {
	return "SELECT count(to_regclass('goose_db_version'))"
}

// sqlState is the server's error code in err, or "".
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isPostgresConflict reports whether err is a broken unique or primary key.
func isPostgresConflict(err error) bool { return sqlState(err) == "23505" }

// isAway reports whether the server was not there, went away, or has no connection left.
func isAway(err error) bool {
	if state := sqlState(err); state != "" {
		// 08: connection exceptions; 57P01 to 57P05: shut down, crashed, starting, idle for too long; 53300: too many connections;
		// 25P03: idle in the transaction for too long.
		return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") || state == "53300" || state == "25P03"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrNoRows) || errors.Is(err, sql.ErrTxDone) {
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || strings.HasSuffix(err.Error(), "conn closed")
}
