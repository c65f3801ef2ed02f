package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// AdminUser is the superuser of every cluster that we make.
const AdminUser = "meridian"

// Password is the administrator's password; it prints as stars.
type Password string

// String hides the password.
func (Password) String() string { return "****" }

// GoString hides the password.
func (Password) GoString() string { return "****" }

// EnsureAdmin gives a cluster of ours its administrator, in place of the superuser whose password everybody knows. A node that joins a
// cluster has that one's.
func EnsureAdmin(ctx context.Context, s Spec, password Password) error {
	if !s.first() {
		return nil
	}
	deadline := time.Now().Add(time.Minute) // a new node makes its first superuser a moment after it answers
	for {
		err := ensureAdmin(s, password)
		if err == nil {
			return s.noteAdmin(ctx)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// first reports whether a node is the first of its cluster: its own seed.
func (s Spec) first() bool { return len(s.Seeds) == 1 && s.Seeds[0] == s.Storage() }

// noteAdmin has the marker say that there is an administrator: who finds the node without knows that its making was cut short.
func (s Spec) noteAdmin(ctx context.Context) error {
	a, err := machine.RunAs()
	if err != nil {
		return err
	}
	lock, err := machine.LockHome(ctx, s.Home)
	if err != nil {
		return err
	}
	defer lock.Close() // released
	m, err := readMarker(s.Home)
	if err != nil || m.Admin {
		return err
	}
	m.Admin = true
	return m.write(a)
}

func ensureAdmin(s Spec, password Password) error {
	admin, err := login(s, AdminUser, string(password))
	if err != nil {
		first, ferr := login(s, "cassandra", "cassandra")
		if ferr != nil {
			return fmt.Errorf("log in to %s as %s: %w", s.HostPort(), AdminUser, errors.Join(err, providers.ErrPermanent))
		}
		err := first.Query("CREATE ROLE IF NOT EXISTS " + AdminUser + " WITH SUPERUSER = true AND LOGIN = true AND PASSWORD = '" + strings.ReplaceAll(string(password), "'", "''") + "'").Exec()
		first.Close()
		if err != nil {
			return fmt.Errorf("make the administrator of %s: %w", s.HostPort(), err)
		}
		if admin, err = login(s, AdminUser, string(password)); err != nil {
			return fmt.Errorf("log in to %s as %s: %w", s.HostPort(), AdminUser, err)
		}
	}
	defer admin.Close()
	if err := admin.Query("DROP ROLE IF EXISTS cassandra").Exec(); err != nil {
		return fmt.Errorf("remove the superuser that everybody knows from %s: %w", s.HostPort(), err)
	}
	return nil
}

// login opens a session with this node alone. The driver's own words go nowhere: its errors come back to us.
func login(s Spec, user, password string) (*gocql.Session, error) {
	c := gocql.NewCluster(s.Address)
	c.Port, c.ProtoVersion, c.NumConns = s.Port, 4, 1
	c.Timeout, c.ConnectTimeout = 15*time.Second, 10*time.Second
	c.Consistency = gocql.One
	c.DisableInitialHostLookup = true
	c.HostFilter = gocql.HostFilterFunc(func(h *gocql.HostInfo) bool { return h.ConnectAddress().Equal(net.ParseIP(s.Address)) })
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.Logger = log.New(io.Discard, "", 0)
	return c.CreateSession()
}
