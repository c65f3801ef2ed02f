package temporal

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// topology counts the nodes of each data centre, and says which is ours.
func (s *cassandraSchema) topology(ctx context.Context) (datacenters, string, error) {
	var local, dc string
	if err := s.admin.Query("SELECT data_center FROM system.local").WithContext(ctx).Scan(&local); err != nil {
		return nil, "", explainCassandra(err)
	}
	out := datacenters{local: 1}
	iter := s.admin.Query("SELECT data_center FROM system.peers").WithContext(ctx).Iter()
	for iter.Scan(&dc) {
		out[dc]++
	}
	return out, local, explainCassandra(iter.Close())
}

// checkReplication compares the keyspace's copies with the nodes that there are.
func (s *cassandraSchema) checkReplication(ctx context.Context) error {
	if s.target.plain == nil {
		return nil // the service decides
	}
	var replication map[string]string
	err := s.admin.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", s.target.keyspace).WithContext(ctx).Scan(&replication)
	if err != nil {
		return explainCassandra(err)
	}
	nodes, local, err := s.topology(ctx)
	if err != nil {
		return err
	}
	return replicationFits(s.target.keyspace, replication, nodes, local)
}

// replicationFits says why a keyspace's copies do not fit the nodes that there are.
func replicationFits(keyspace string, replication map[string]string, nodes datacenters, local string) error {
	class := replication["class"]
	class = class[strings.LastIndex(class, ".")+1:]
	alter := fmt.Sprintf("ALTER KEYSPACE %s WITH replication = {'class': 'NetworkTopologyStrategy', '%s': 3}", keyspace, local)
	if class == "SimpleStrategy" {
		if n, err := strconv.Atoi(replication["replication_factor"]); len(nodes) > 1 || err == nil && n > nodes[local] {
			return fmt.Errorf("keyspace %s has SimpleStrategy with %s copies, and the cluster is %s nodes: %s", keyspace, replication["replication_factor"], nodes, alter)
		}
		return nil
	}
	copies := 0
	for dc, text := range replication {
		if dc == "class" {
			continue
		}
		n, err := strconv.Atoi(text)
		switch {
		case err != nil:
			return fmt.Errorf("keyspace %s has %q copies in data centre %s: transient copies are not supported", keyspace, text, dc)
		case n > nodes[dc]:
			return fmt.Errorf("keyspace %s wants %d copies in data centre %s, and the cluster is %s nodes: nothing could be written there; start the nodes, or change the keyspace: %s", keyspace, n, dc, nodes, alter)
		}
		if dc == local {
			copies = n
		}
	}
	if copies == 0 {
		return fmt.Errorf("keyspace %s has no copies in our data centre %s: LOCAL_QUORUM would fail; %s, or name another localDatacenter", keyspace, local, alter)
	}
	return nil
}

// checkWish compares the copies that the settings ask for with the nodes that there are.
func (s *cassandraSchema) checkWish(ctx context.Context) error {
	nodes, local, err := s.topology(ctx)
	if err != nil {
		return err
	}
	wish := map[string]string{"class": "NetworkTopologyStrategy"}
	for dc, n := range s.wish(nodes, local) {
		wish[dc] = strconv.Itoa(n)
	}
	return replicationFits(s.target.keyspace, wish, nodes, local)
}

// wish is the copies of a new keyspace: those of the settings, else up to three in our data centre.
func (s *cassandraSchema) wish(nodes datacenters, local string) map[string]int {
	if r := s.target.plain.settings.Replication; len(r) > 0 {
		return r
	}
	return map[string]int{local: min(3, nodes[local])}
}
