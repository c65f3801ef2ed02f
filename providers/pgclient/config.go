// Package pgclient is what every client of PostgreSQL needs, engine or provider: how to reach a server, and the form in which it stores a
// password.
//
// It must never let libpq's environment (PGHOST, PGSSLMODE and the like) or a file of the home directory decide anything: a server is reached
// as its place says, whoever started Meridian.
package pgclient

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Target is whom to connect to, as whom.
type Target struct {
	Host     string
	Port     int
	Database string
	User     string
	Password string
	// TLSMode is libpq's sslmode; "" is "prefer".
	TLSMode string
	// CAFile holds the authorities that a verifying TLSMode trusts; "" is the machine's own.
	CAFile string
	// Timeout bounds one try to connect, in whole seconds.
	Timeout time.Duration
	// Params are set in the session.
	Params map[string]string
}

// Config returns the configuration of a connection. The password is never part of a text that is parsed, so no error can quote it.
func Config(t Target) (*pgx.ConnConfig, error) {
	// Every setting that a variable could make is made here; only that of a service cannot be unmade by another.
	if err := os.Unsetenv("PGSERVICE"); err != nil {
		return nil, fmt.Errorf("unset PGSERVICE: %w", err)
	}
	mode := t.TLSMode
	if mode == "" {
		mode = "prefer"
	}
	words := []string{
		"host=" + Quote(t.Host), "port=" + strconv.Itoa(t.Port), "user=" + Quote(t.User), "dbname=" + Quote(t.Database), "sslmode=" + Quote(mode),
		"connect_timeout=" + strconv.Itoa(int(t.Timeout.Seconds())), "target_session_attrs=any", "sslcertmode=allow", "channel_binding=prefer",
		"sslrootcert=" + Quote(t.CAFile),
	}
	for _, name := range []string{
		"passfile", "servicefile", "sslcert", "sslkey", "sslpassword", "sslsni", "sslnegotiation",
		"min_protocol_version", "max_protocol_version", "require_auth",
	} {
		words = append(words, name+"=''")
	}
	cfg, err := pgx.ParseConfig(strings.Join(words, " "))
	if err != nil {
		return nil, err
	}
	cfg.Password, cfg.RuntimeParams = t.Password, t.Params
	return cfg, nil
}

// Quote quotes a value of a libpq connection string.
func Quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
