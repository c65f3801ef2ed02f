package temporal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	postgresschema "go.temporal.io/server/schema/postgresql/v12"
)

// postgresTarget is one of Temporal's two schemas in PostgreSQL.
type postgresTarget struct {
	*postgresPart
	lists bool
}

var _ target = postgresTarget{}

func (t postgresTarget) what() string {
	if t.lists {
		return "lists"
	}
	return "state"
}

func (t postgresTarget) assets() string {
	if t.lists {
		return "postgresql/v12/visibility"
	}
	return "postgresql/v12/temporal"
}

func (t postgresTarget) version() string {
	if t.lists {
		return postgresschema.VisibilityVersion
	}
	return postgresschema.Version
}

func (t postgresTarget) open(ctx context.Context) (schemaDB, error) {
	db, err := t.postgresPart.open(2) // one works, one holds the lock
	if err != nil {
		return nil, err
	}
	if err := t.check(ctx, db); err != nil {
		_ = db.Close()
		return nil, err
	}
	return &postgresSchema{db: db, name: t.schema}, nil
}

// postgresSchema works on the tables of one schema.
type postgresSchema struct {
	db   *sql.DB
	name string
}

var _ schemaDB = (*postgresSchema)(nil)

// statementTimeout bounds one statement that changes a schema; an index of a large table takes its time.
const statementTimeout = 10 * time.Minute

func (s *postgresSchema) make(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{s.name}.Sanitize()); err != nil && !s.holds(ctx) {
		return fmt.Errorf("make schema %s: %w", s.name, explainPostgres(err))
	}
	// In a schema that every search path has: a second installation in this database finds it too.
	if _, err := s.db.ExecContext(ctx, "CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA public"); err != nil && !isSQLState(err, "23505", "42710") {
		return fmt.Errorf("make extension btree_gin: %w", explainPostgres(err))
	}
	return nil
}

// holds reports whether the schema is there: another process may have made it at the same time, and an administrator may have for a
// user who may not.
func (s *postgresSchema) holds(ctx context.Context) (there bool) {
	_ = s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", s.name).Scan(&there) // else it is not there
	return there
}

func (s *postgresSchema) tables(ctx context.Context) (out []string, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1", s.name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
}

func (s *postgresSchema) version(ctx context.Context) (version, oldest string, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT curr_version, min_compatible_version FROM schema_version WHERE version_partition = 0 AND db_name = $1", s.name).Scan(&version, &oldest)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	return version, oldest, err
}

func (s *postgresSchema) checksum(ctx context.Context) (sum string, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT checksum FROM "+recordTable+" ORDER BY at DESC LIMIT 1").Scan(&sum)
	if errors.Is(err, sql.ErrNoRows) || isSQLState(err, "42P01") {
		return "", nil
	}
	return sum, err
}

func (s *postgresSchema) record(ctx context.Context, version, checksum string) error {
	_, err := s.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+recordTable+" (version text PRIMARY KEY, checksum text NOT NULL, at timestamptz NOT NULL DEFAULT now())")
	if err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, "INSERT INTO "+recordTable+" (version, checksum) VALUES ($1, $2) ON CONFLICT (version) DO UPDATE SET checksum = excluded.checksum", version, checksum)
	return err
}

// lock is an advisory lock of a connection of its own: the server frees it when its holder dies.
func (s *postgresSchema) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, explainPostgres(err)
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", "meridian sets up "+s.name); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another process has been changing the schema for %s: %w", lockWait, err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), postgresConnect)
		defer cancel()
		_, _ = conn.ExecContext(ctx, "SELECT pg_advisory_unlock_all()") // a connection that is broken holds no lock
		_ = conn.Close()
	}, nil
}

// safe is always: the server is one, and its statements are whole or not at all.
func (s *postgresSchema) safe(context.Context) error { return nil }

// CreateSchemaVersionTables makes the tables in which Temporal keeps its version.
func (s *postgresSchema) CreateSchemaVersionTables() error {
	for _, text := range []string{
		`CREATE TABLE IF NOT EXISTS schema_version (version_partition INT NOT NULL, db_name VARCHAR(255) NOT NULL, creation_time TIMESTAMP,
			curr_version VARCHAR(64), min_compatible_version VARCHAR(64), PRIMARY KEY (version_partition, db_name))`,
		`CREATE TABLE IF NOT EXISTS schema_update_history (version_partition INT NOT NULL, year INT NOT NULL, month INT NOT NULL, update_time TIMESTAMP NOT NULL,
			description VARCHAR(255), manifest_md5 VARCHAR(64), new_version VARCHAR(64), old_version VARCHAR(64), PRIMARY KEY (version_partition, year, month, update_time))`,
	} {
		if err := s.Exec(text); err != nil {
			return err
		}
	}
	return nil
}

// ReadSchemaVersion is the recorded version.
func (s *postgresSchema) ReadSchemaVersion() (string, error) {
	version, _, err := s.version(context.Background())
	if err == nil && version == "" {
		err = sql.ErrNoRows
	}
	return version, err
}

// UpdateSchemaVersion records a version.
func (s *postgresSchema) UpdateSchemaVersion(version, oldest string) error {
	return s.Exec(`INSERT INTO schema_version (version_partition, db_name, creation_time, curr_version, min_compatible_version) VALUES (0, $1, $2, $3, $4)
		ON CONFLICT (version_partition, db_name) DO UPDATE SET creation_time = excluded.creation_time, curr_version = excluded.curr_version, min_compatible_version = excluded.min_compatible_version`,
		s.name, time.Now().UTC(), version, oldest)
}

// WriteSchemaUpdateLog records a step between versions.
func (s *postgresSchema) WriteSchemaUpdateLog(from, to, md5, description string) error {
	now := time.Now().UTC()
	return s.Exec("INSERT INTO schema_update_history (version_partition, year, month, update_time, old_version, new_version, manifest_md5, description) VALUES (0, $1, $2, $3, $4, $5, $6, $7)",
		now.Year(), int(now.Month()), now, from, to, md5, description)
}

// Exec runs one statement of a step. A step that was cut short is run again from its start, so that what it made is there already, and
// what it dropped is gone.
func (s *postgresSchema) Exec(text string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, text, args...)
	switch {
	case isSQLState(err, "42P07", "42701", "42710", "42723"):
		return nil
	case isSQLState(err, "42P01", "42703", "42704") && strings.Contains(strings.ToUpper(text), "DROP "):
		return nil
	case isSQLState(err, "23505") && strings.HasPrefix(strings.ToUpper(strings.TrimSpace(text)), "INSERT INTO "):
		return nil
	}
	return err
}

// DropAllTables is refused: nothing here drops what it did not make.
func (s *postgresSchema) DropAllTables() error { return errors.ErrUnsupported }

// Close ends the connections.
func (s *postgresSchema) Close() { _ = s.db.Close() }

// Type is the kind of the database.
func (s *postgresSchema) Type() string { return "sql" }

func isSQLState(err error, states ...string) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	for _, state := range states {
		if e.Code == state {
			return true
		}
	}
	return false
}
