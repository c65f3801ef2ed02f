package cassandra

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/gocql/gocql"

	"meridian/providers"
)

// member is one node, as a node of its cluster knows it.
type member struct {
	datacenter, rack string
	// address and port are where it takes CQL.
	address net.IP
	port    int
	// silent says that nothing accepts there. Only Inspect looks.
	silent bool
}

func (m member) String() string { return net.JoinHostPort(m.address.String(), fmt.Sprint(m.port)) }

// members lists the nodes of the cluster; the first is the one that is asked.
func (s *session) members(ctx context.Context, t providers.Target) ([]member, error) {
	here := member{address: net.ParseIP(t.Endpoint.Host), port: t.Endpoint.Port}
	if err := s.Query("SELECT data_center, rack FROM system.local").WithContext(ctx).Consistency(gocql.One).Scan(&here.datacenter, &here.rack); err != nil {
		return nil, fmt.Errorf("ask region %s: %w", s.region, err)
	}
	iter := s.Query("SELECT native_address, native_port, data_center, rack FROM system.peers_v2").WithContext(ctx).Consistency(gocql.One).Iter()
	out := []member{here}
	var m member
	for iter.Scan(&m.address, &m.port, &m.datacenter, &m.rack) {
		if m.datacenter != "" { // else it is only just being heard of
			out = append(out, m)
		}
		m = member{}
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("nodes that region %s sees: %w", s.region, err)
	}
	return out, nil
}

// find is the index of a region's node; -1 where it is not there.
func find(members []member, t providers.Target) int {
	host := net.ParseIP(t.Endpoint.Host)
	return slices.IndexFunc(members, func(m member) bool { return m.address.Equal(host) && m.port == t.Endpoint.Port })
}

// count counts the nodes of each data centre.
func count(members []member) map[string]int {
	out := map[string]int{}
	for _, m := range members {
		out[m.datacenter]++
	}
	return out
}
