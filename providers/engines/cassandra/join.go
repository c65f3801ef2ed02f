package cassandra

import (
	"context"
	"errors"
	"fmt"
	"net"

	"meridian/providers"
)

// errJoining says that the cluster does not count the new data centre among its own yet.
var errJoining = errors.New("the other region does not see its node yet")

// JoinRegion has the keyspaces of users and rights, and our own, span the new data centre, and fills them: before, nobody can log in there.
// The link does the others, which may take longer.
func (Engine) JoinRegion(ctx context.Context, in providers.JoinInput) error {
	s, err := open(ctx, in.From)
	if err != nil {
		return err
	}
	defer s.Close()
	from, err := s.local(ctx)
	if err != nil {
		return err
	}
	to, err := s.datacenterOf(ctx, in.To)
	if err != nil {
		return err
	}
	all, err := s.keyspaces(ctx, from)
	if err != nil {
		return err
	}
	return s.span(ctx, all, []string{"system_auth", own}, from, to, in.Rebuild)
}

// datacenterOf is what the cluster calls the data centre of a region that cannot be logged in to.
func (s *session) datacenterOf(ctx context.Context, t providers.Target) (string, error) {
	iter := s.Query("SELECT native_address, native_port, data_center FROM system.peers_v2").WithContext(ctx).Consistency(1).Iter()
	var address net.IP
	var port int
	var dc, found string
	for iter.Scan(&address, &port, &dc) {
		if address.Equal(net.ParseIP(t.Endpoint.Host)) && port == t.Endpoint.Port {
			found = dc
		}
	}
	if err := iter.Close(); err != nil {
		return "", fmt.Errorf("nodes that region %s sees: %w", s.region, err)
	}
	if found == "" {
		return "", errJoining
	}
	return found, nil
}
