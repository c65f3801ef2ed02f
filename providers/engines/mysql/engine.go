// Package mysql is the engines "mysql" and "mariadb": the readiness probe, databases and users, and the proof that a read replica follows. Each
// function is one bounded look or one idempotent step: it may be stopped anywhere and called again.
//
// It must never make a replica (the cloud does), put a password into a statement that a server logs or into an error, or touch what neither the
// spec nor a name of ours owns. What a server is, it says itself: either engine is either product's client.
package mysql

import (
	"net"
	"net/url"
	"strconv"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

// Engine is the database technology "mysql" or "mariadb". Make one with MySQL or MariaDB.
type Engine struct {
	name string
	// beatWait bounds how long one look at a link waits for the row that it wrote.
	beatWait time.Duration
}

var (
	_ providers.Prober            = (*Engine)(nil)
	_ providers.ObjectEnsurer     = (*Engine)(nil)
	_ providers.Linker            = (*Engine)(nil)
	_ providers.ConnectionStrings = (*Engine)(nil)
	_ providers.Inspector         = (*Engine)(nil)
	_ providers.ReservedNames     = (*Engine)(nil)
	_ providers.MajorVersions     = (*Engine)(nil)
	_ providers.DatabaseValidator = (*Engine)(nil)

	_ providers.MaintenanceDatabase = (*Engine)(nil)
)

// beatWait is how long a row may take before a look ends: the next one looks again.
const beatWait = 5 * time.Second

// MySQL returns the engine mysql.
func MySQL() *Engine { return &Engine{name: "mysql", beatWait: beatWait} }

// MariaDB returns the engine mariadb.
func MariaDB() *Engine { return &Engine{name: "mariadb", beatWait: beatWait} }

// Name is "mysql" or "mariadb".
func (e *Engine) Name() string { return e.name }

// MaintenanceDatabase is "mysql".
func (*Engine) MaintenanceDatabase() string { return "mysql" }

// MajorParts is two: 8.0 and 8.4, 10.11 and 11.4 are major versions.
func (*Engine) MajorParts() int { return 2 }

// ReservedNames are the servers' own databases and users, and RDS's.
func (*Engine) ReservedNames() stacks.Reserved {
	return stacks.Reserved{
		Databases: []string{"information_schema", "innodb", "mysql", "performance_schema", "sys", "tmp"},
		Users:     []string{"mariadb", "mysql", "public", "root"},
		Prefixes:  []string{"rds"},
	}
}

// The words of an endpoint's TLSMode, and what MySQL's own clients call them.
var sslModes = map[string]string{
	"disable": "DISABLED", "prefer": "PREFERRED", "require": "REQUIRED", "verify-ca": "VERIFY_CA", "verify-full": "VERIFY_IDENTITY",
}

// ConnectionString returns a URL that MySQL's and MariaDB's clients and drivers read; password is left out where empty.
func (e *Engine) ConnectionString(at stacks.Endpoint, database, user, password string) string {
	u := url.URL{Scheme: "mysql", Host: net.JoinHostPort(at.Host, strconv.Itoa(at.Port)), Path: "/" + database}
	if user != "" {
		u.User = url.User(user)
		if password != "" {
			u.User = url.UserPassword(user, password)
		}
	}
	if mode := sslModes[at.TLSMode]; mode != "" {
		u.RawQuery = url.Values{"ssl-mode": {mode}}.Encode()
	}
	return u.String()
}
