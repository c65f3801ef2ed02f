package postgres

import (
	"net"
	"strconv"
	"strings"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

// Engine is the database technology "postgres". Make one with New.
type Engine struct {
	pgDump func(major int) (string, error)
	// beatWait bounds how long one look at a link waits for the row that it wrote.
	beatWait time.Duration
	// copyWait bounds how long one look at a link that is still being filled waits to see that it gets on.
	copyWait time.Duration
}

var (
	_ providers.Prober            = (*Engine)(nil)
	_ providers.ObjectEnsurer     = (*Engine)(nil)
	_ providers.Linker            = (*Engine)(nil)
	_ providers.ConnectionStrings = (*Engine)(nil)
	_ providers.SlotLister        = (*Engine)(nil)
	_ providers.LinkModes         = (*Engine)(nil)
	_ providers.Inspector         = (*Engine)(nil)
	_ providers.ReservedNames     = (*Engine)(nil)
	_ providers.Sweeper           = (*Engine)(nil)

	_ providers.MaintenanceDatabase = (*Engine)(nil)
)

// Option changes an Engine that New makes.
type Option func(*Engine)

// WithPgDump says how to find the pg_dump of a major version; the pg_restore that is used lies beside it. Links ask for the
// target's major, which can read the source (never newer) and writes what the target understands. Without this option the
// usual folders and PATH are searched.
func WithPgDump(find func(major int) (path string, err error)) Option {
	return func(e *Engine) { e.pgDump = find }
}

// New returns the engine.
func New(opts ...Option) *Engine {
	e := &Engine{pgDump: findPgDump, beatWait: 5 * time.Second, copyWait: time.Second}
	for _, o := range opts {
		o(e)
	}
	return e
}

// Name is "postgres".
func (*Engine) Name() string { return "postgres" }

// MaintenanceDatabase is "postgres".
func (*Engine) MaintenanceDatabase() string { return maintenanceDB }

// LinkModes are those that the engine makes by itself.
func (*Engine) LinkModes() []stacks.LinkMode { return []stacks.LinkMode{stacks.LinkLogical} }

// ConnectionString returns a URL that libpq and every driver reads; password is left out where empty, and may be a mask of asterisks.
func (*Engine) ConnectionString(e stacks.Endpoint, database, user, password string) string {
	var b strings.Builder
	b.WriteString("postgres://")
	if user != "" {
		b.WriteString(percent(user))
		if password != "" {
			b.WriteString(":" + percent(password))
		}
		b.WriteString("@")
	}
	b.WriteString(net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) + "/" + percent(database))
	if e.TLSMode != "" {
		b.WriteString("?sslmode=" + percent(e.TLSMode))
	}
	return b.String()
}

// percent escapes everything but RFC 3986's unreserved characters and the asterisk, which is legal in each part and is what a mask is made of.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~*", c) >= 0:
			b.WriteByte(c)
		default:
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
