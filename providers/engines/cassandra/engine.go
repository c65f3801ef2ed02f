// Package cassandra is the engine "cassandra": regions are data centres of one cluster. It asks a node that answers, makes keyspaces and roles,
// takes a new data centre into the cluster, and has keyspaces span it.
//
// It must never know a provider: what a data centre needs of one (a rebuild) comes with the input. No password enters an error.
package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"meridian/providers"
	"meridian/stacks"
)

// Engine is the database technology "cassandra".
type Engine struct{}

var (
	_ providers.Prober            = Engine{}
	_ providers.ObjectEnsurer     = Engine{}
	_ providers.Joiner            = Engine{}
	_ providers.Linker            = Engine{}
	_ providers.Inspector         = Engine{}
	_ providers.ReservedNames     = Engine{}
	_ providers.LinkModes         = Engine{}
	_ providers.DatabaseValidator = Engine{}
	_ providers.ConnectionStrings = Engine{}
)

// Name is "cassandra".
func (Engine) Name() string { return "cassandra" }

// LinkModes is one: a data centre for each region.
func (Engine) LinkModes() []stacks.LinkMode { return []stacks.LinkMode{stacks.LinkDatacenter} }

// ConnectionString returns a URL for people and programs; password is left out where empty.
func (Engine) ConnectionString(e stacks.Endpoint, database, user, password string) string {
	var b strings.Builder
	b.WriteString("cassandra://")
	if user != "" {
		b.WriteString(url.PathEscape(user))
		if password != "" {
			b.WriteString(":" + url.PathEscape(password))
		}
		b.WriteString("@")
	}
	b.WriteString(net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) + "/" + url.PathEscape(database))
	return b.String()
}

// The bounds of one statement: a change of the schema waits until all nodes agree.
const (
	connectFor = 5 * time.Second
	requestFor = 12 * time.Second
	agreeFor   = 10 * time.Second
)

// session talks to one region's node alone, so that a data centre that is down disturbs nobody.
type session struct {
	*gocql.Session
	region string
}

// open logs in to a region. An endpoint that is not known is an error.
func open(ctx context.Context, t providers.Target) (*session, error) {
	if t.Endpoint.Host == "" {
		return nil, fmt.Errorf("region %s has no endpoint", t.Region)
	}
	s, err := openAs(ctx, t, t.Endpoint.User, t.Password)
	if err != nil {
		return nil, fmt.Errorf("region %s: %w", t.Region, err)
	}
	return &session{Session: s, region: t.Region}, nil
}

func openAs(ctx context.Context, t providers.Target, user, password string) (*gocql.Session, error) {
	c := gocql.NewCluster(t.Endpoint.Host)
	c.Port, c.ProtoVersion, c.NumConns = t.Endpoint.Port, 4, 1
	c.ConnectTimeout, c.Timeout, c.MaxWaitSchemaAgreement = connectFor, requestFor, agreeFor
	c.Consistency, c.SerialConsistency = gocql.LocalQuorum, gocql.LocalSerial
	c.DisableInitialHostLookup = true
	c.Events.DisableNodeStatusEvents, c.Events.DisableTopologyEvents = true, true
	host := net.ParseIP(t.Endpoint.Host)
	if host != nil {
		c.HostFilter = gocql.HostFilterFunc(func(h *gocql.HostInfo) bool { return h.ConnectAddress().Equal(host) })
	}
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.Logger = log.New(io.Discard, "", 0) // its errors come back to us
	type result struct {
		s   *gocql.Session
		err error
	}
	done := make(chan result, 1)
	go func() { // the driver's own limits do not bound every step of it
		s, err := c.CreateSession()
		done <- result{s, err}
	}()
	select {
	case r := <-done:
		return r.s, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.s != nil {
				r.s.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// Probe asks a query. A login that is refused is ErrDenied: not for good, as a new node hears of its users a moment after it answers.
func (Engine) Probe(ctx context.Context, t providers.Target) error {
	s, err := open(ctx, t)
	if refused(err) {
		return fmt.Errorf("%w: %w", err, providers.ErrDenied)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.members(ctx, t)
	return err
}

// exec runs a statement. A change of the schema on which not all nodes agree in time is an error too: it is repeated.
func (s *session) exec(ctx context.Context, cql string, values ...any) error {
	if err := s.Query(cql, values...).WithContext(ctx).Exec(); err != nil {
		return err
	}
	return nil
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// permanent reports an error that a person must act upon.
func permanent(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, providers.ErrPermanent)...)
}

// refused reports whether a login was refused, as opposed to not answered.
func refused(err error) bool {
	var re gocql.RequestError
	if errors.As(err, &re) && re.Code() == gocql.ErrCodeCredentials {
		return true
	}
	return err != nil && strings.Contains(err.Error(), "and/or password are incorrect") // gocql gives the words of a failed handshake only
}
