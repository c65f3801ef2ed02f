package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers/pgclient"
)

const connectFor = 10 * time.Second

// connect opens a session as the administrator through the socket in the data directory.
func (s Spec) connect(ctx context.Context) (*pgx.Conn, error) {
	p, ok := postmaster(s.dataDir())
	if !ok {
		return nil, fmt.Errorf("no server runs in %s", s.Home)
	}
	cfg, err := pgclient.Config(pgclient.Target{
		Host: s.dataDir(), Port: p.port, User: AdminUser, Database: "postgres", TLSMode: "disable", Timeout: connectFor,
		Params: map[string]string{"application_name": "meridian"},
	})
	if err != nil {
		return nil, err
	}
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dialSocket(ctx, p.port) }
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("ask the server in %s: %w", s.Home, err)
	}
	return conn, nil
}

// dialSocket reaches the socket by way of an open directory: a socket's address has at most 107 bytes, a home may have more.
func (s Spec) dialSocket(ctx context.Context, port int) (net.Conn, error) {
	dir, err := os.Open(s.dataDir())
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), ".s.PGSQL."+strconv.Itoa(port)))
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	return conn, nil
}

// identity is what a server says about itself.
type identity struct {
	data       string
	systemID   string
	version    string
	pendingAny bool
}

func (s Spec) identify(ctx context.Context, conn *pgx.Conn) (identity, error) {
	var id identity
	err := conn.QueryRow(ctx, `select current_setting('data_directory'), (select system_identifier::text from pg_control_system()),
		split_part(current_setting('server_version'), ' ', 1), exists (select from pg_settings where pending_restart)`).
		Scan(&id.data, &id.systemID, &id.version, &id.pendingAny)
	return id, err
}

// setting is a row of pg_settings.
type setting struct {
	name, value, unit, kind, source string
}

func readSettings(ctx context.Context, conn *pgx.Conn) (map[string]setting, error) {
	rows, err := conn.Query(ctx, "select name, setting, coalesce(unit, ''), vartype, source from pg_settings")
	if err != nil {
		return nil, err
	}
	out := map[string]setting{}
	var v setting
	_, err = pgx.ForEachRow(rows, []any{&v.name, &v.value, &v.unit, &v.kind, &v.source}, func() error {
		out[strings.ToLower(v.name)] = v
		return nil
	})
	return out, err
}

// verifier reads the stored form of the administrator's password; "" when there is none.
func verifier(ctx context.Context, conn *pgx.Conn) (string, error) {
	var v string
	err := conn.QueryRow(ctx, "select coalesce(rolpassword, '') from pg_authid where rolname = $1", AdminUser).Scan(&v)
	return v, err
}

// setPassword sets the administrator's password. What travels and may be logged is the stored form; the password itself never leaves us.
func setPassword(ctx context.Context, conn *pgx.Conn, password string) error {
	have, err := verifier(ctx, conn)
	if err != nil {
		return err
	}
	if pgclient.Matches(have, password) {
		return nil
	}
	made, err := pgclient.Verifier(password)
	if err != nil {
		return fmt.Errorf("the administrator's password: %w", err)
	}
	_, err = conn.Exec(ctx, "alter role "+quoteIdent(AdminUser)+" password '"+made+"'") // base64 and signs of its own: nothing to quote
	return err
}
