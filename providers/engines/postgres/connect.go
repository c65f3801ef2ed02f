package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/providers/pgclient"
)

// maintenanceDB is the database that every server has; the fence lives in it.
const maintenanceDB = "postgres"

// connectTimeout bounds one connection attempt: a hung server must not eat a step's whole time.
const connectTimeout = 5 * time.Second

// appPrefix and the run's number make up the application_name of every session of ours; a newer run ends the sessions of older ones by it.
const appPrefix = "meridian run "

// connect opens a session as the target's admin for a step of that run.
//
// The search path is empty, so that nothing that a user put into a schema is called by a session of an admin. Locks are waited
// for 5 s at most: an ALTER that queues behind a user's transaction would hold up everybody behind it.
func connect(ctx context.Context, t providers.Target, database string, run int64) (*pgx.Conn, error) {
	conn, err := dial(ctx, t, database, t.Endpoint.User, t.Password, map[string]string{
		"application_name":                    appPrefix + strconv.FormatInt(run, 10),
		"search_path":                         "",
		"lock_timeout":                        "5s",
		"idle_in_transaction_session_timeout": "60s",
		"standard_conforming_strings":         "on",
		"client_min_messages":                 "error",
	})
	if err != nil {
		return nil, fmt.Errorf("connect to database %s in %s: %w", database, t.Region, err)
	}
	// A server that cannot watch its clients (before 14, or not on Linux) only notices later that we are gone.
	if _, err := conn.Exec(ctx, "SET client_connection_check_interval = '2s'"); err != nil && sqlState(err) == "" {
		shut(conn)
		return nil, fmt.Errorf("connect to database %s in %s: %w", database, t.Region, err)
	}
	return conn, nil
}

// dial opens one session.
func dial(ctx context.Context, t providers.Target, database, user, password string, params map[string]string) (*pgx.Conn, error) {
	if t.Endpoint.Host == "" {
		return nil, errNoAddress // a driver would try this machine's own server
	}
	if file := t.Endpoint.CAFile; file != "" {
		if _, err := os.Stat(file); err != nil {
			return nil, permanent("the authorities that %s is checked against cannot be read on this machine: %v; put the file there", t.Region, err)
		}
	}
	cfg, err := pgclient.Config(pgclient.Target{
		Host: t.Endpoint.Host, Port: t.Endpoint.Port, Database: database, User: user, Password: password, TLSMode: t.Endpoint.TLSMode,
		CAFile:  t.Endpoint.CAFile,
		Timeout: connectTimeout, Params: params,
	})
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

var errNoAddress = errors.New("the region has no address")

// shut closes a session in good order, whatever became of the step's context.
func shut(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// quoteLiteral quotes an SQL string; our sessions have standard_conforming_strings on.
func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ident quotes an SQL identifier, or a qualified one.
func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// strs runs a query of one text column and returns its rows.
func strs(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// major returns the server's major version.
func major(ctx context.Context, conn *pgx.Conn) (int, error) {
	var num int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&num); err != nil {
		return 0, fmt.Errorf("read server version: %w", err)
	}
	return num / 10000, nil
}

// quietly runs f in a transaction whose statements the server does not log, as far as our rights go: what f says holds a secret.
func quietly(ctx context.Context, conn *pgx.Conn, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range [][2]string{
			{"log_statement", "none"}, {"log_min_error_statement", "panic"}, {"log_min_duration_statement", "-1"},
			{"log_min_duration_sample", "-1"}, {"log_transaction_sample_rate", "0"}, {"log_duration", "off"},
			{"pg_stat_statements.track", "none"}, {"pgaudit.log", "none"}, {"auto_explain.log_min_duration", "-1"},
		} {
			err := pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
				_, err := sp.Exec(ctx, "SET LOCAL "+s[0]+" = "+quoteLiteral(s[1]))
				return err
			})
			if err != nil && sqlState(err) == "" {
				return err
			}
		}
		return f(tx)
	})
}

// one tells a row that is not there from an error.
func one(err error) (found bool, _ error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// wrapIf wraps an error, and leaves nil alone.
func wrapIf(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
