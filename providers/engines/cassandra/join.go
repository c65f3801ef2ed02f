package cassandra

import (
	"context"
	"errors"

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
	from, to, err := s.sides(ctx, in.From, in.To)
	if err != nil {
		return err
	}
	to.rebuild = in.Rebuild
	all, err := s.keyspaces(ctx)
	if err != nil {
		return err
	}
	return s.span(ctx, all, []string{"system_auth", own}, from, to)
}

// sides are the data centres of two regions; the second need not let anybody in.
func (s *session) sides(ctx context.Context, a, b providers.Target) (from, to side, err error) {
	members, err := s.members(ctx, a)
	if err != nil {
		return from, to, err
	}
	i := find(members, b)
	if i < 0 {
		return from, to, errJoining
	}
	nodes := count(members)
	from.dc, to.dc = members[0].datacenter, members[i].datacenter
	from.nodes, to.nodes = nodes[from.dc], nodes[to.dc]
	return from, to, nil
}
