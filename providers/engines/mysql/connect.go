package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"meridian/providers"
)

// connectTimeout bounds one connection attempt: a hung server must not eat a step's whole time.
const connectTimeout = 5 * time.Second

// session is one session as the target's administrator. Everything that a step changes goes through one session: when that ends, so does the step.
type session struct {
	*sql.Conn
	pool   *sql.DB
	region string
	// maria says that the server is MariaDB.
	maria bool
}

// connect opens a session as the target's administrator.
//
// Locks are waited for 5 s at most: an ALTER that queues behind a user's transaction would hold up everybody behind it. Backslashes in texts
// mean themselves, so that doubling quotes is all that quoting takes.
func connect(ctx context.Context, t providers.Target) (*session, error) {
	s, err := dial(ctx, t, t.Endpoint.User, t.Password)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.Region, err)
	}
	var version string
	if err := s.QueryRowContext(ctx, "SELECT @@version").Scan(&version); err != nil {
		s.close()
		return nil, fmt.Errorf("version of %s: %w", t.Region, err)
	}
	s.maria = strings.Contains(strings.ToLower(version), "mariadb")
	return s, nil
}

// dial opens one session.
func dial(ctx context.Context, t providers.Target, user, password string) (*session, error) {
	if t.Endpoint.Host == "" {
		return nil, errNoAddress // a driver would try this machine's own server
	}
	c := driver.NewConfig()
	c.Net, c.Addr = "tcp", net.JoinHostPort(t.Endpoint.Host, strconv.Itoa(t.Endpoint.Port))
	c.User, c.Passwd, c.Timeout, c.Logger = user, password, connectTimeout, &driver.NopLogger{}
	c.Collation = "utf8mb4_general_ci"
	c.Params = map[string]string{
		"sql_mode": "'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION'", "time_zone": "'+00:00'", "lock_wait_timeout": "5", "innodb_lock_wait_timeout": "5", "wait_timeout": "120",
	}
	var err error
	if c.TLS, c.AllowFallbackToPlaintext, err = tlsOf(t); err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(c)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(1)
	conn, err := pool.Conn(ctx)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &session{Conn: conn, pool: pool, region: t.Region}, nil
}

var errNoAddress = errors.New("the region has no address")

// tlsOf is how a server is talked to: with fallback, it may be plain text.
func tlsOf(t providers.Target) (c *tls.Config, fallback bool, err error) {
	mode := t.Endpoint.TLSMode
	if mode == "disable" {
		return nil, false, nil
	}
	c = &tls.Config{ServerName: t.Endpoint.Host, MinVersion: tls.VersionTLS12}
	if file := t.Endpoint.CAFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, false, permanent("the authorities that %s is checked against cannot be read on this machine: %v; put the file there", t.Region, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, false, permanent("%s holds no certificate: %s is checked against the authorities in it", file, t.Region)
		}
	}
	switch mode {
	case "", "prefer", "require":
		c.InsecureSkipVerify = true //nolint:gosec // so it was asked for: encrypted, and not proven
		return c, mode != "require", nil
	case "verify-ca":
		roots := c.RootCAs
		c.InsecureSkipVerify = true //nolint:gosec // VerifyConnection checks the chain, and not the name
		c.VerifyConnection = func(s tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, cert := range s.PeerCertificates[1:] {
				between.AddCert(cert)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
			return err
		}
		return c, false, nil
	case "verify-full":
		return c, false, nil
	}
	return nil, false, permanent("%s: %q is no way to encrypt a connection: write disable, prefer, require, verify-ca or verify-full", t.Region, mode)
}

// close ends the session.
func (s *session) close() {
	_ = s.Conn.Close()
	_ = s.pool.Close()
}

// exec runs a statement.
func (s *session) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.ExecContext(ctx, query, args...)
	return err
}

// texts runs a query of one column of text and returns its rows.
func (s *session) texts(ctx context.Context, query string, args ...any) (out []string, err error) {
	rows, err := s.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}

// ident quotes an identifier.
func ident(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// literal quotes a text; sessions of ours take a backslash for itself.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// account is a user as grants name it: from everywhere.
func account(user string) string { return literal(user) + "@'%'" }

// one tells a row that is not there from an error.
func one(err error) (found bool, _ error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
