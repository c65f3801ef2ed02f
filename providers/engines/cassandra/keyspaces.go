package cassandra

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gocql/gocql"
)

// own is the keyspace in which Meridian keeps what it must know of the cluster.
const own = "meridian"

// shared are the keyspaces that each data centre must have, whatever the spec says: Cassandra's own, and ours.
var shared = []string{"system_auth", "system_distributed", "system_traces", own}

// replicas is how many copies of each row a data centre holds.
const replicas = 1

// spans maps a keyspace to the data centres that it spans, each with its number of copies.
type spans map[string]map[string]int

// keyspaces reads how all keyspaces are replicated. One that knows no data centres is taken to be in home alone.
func (s *session) keyspaces(ctx context.Context, home string) (spans, error) {
	out := spans{}
	iter := s.Query("SELECT keyspace_name, replication FROM system_schema.keyspaces").WithContext(ctx).Consistency(1).Iter()
	var name string
	var replication map[string]string
	for iter.Scan(&name, &replication) {
		class := replication["class"]
		if strings.HasSuffix(class, "LocalStrategy") {
			continue
		}
		dcs := map[string]int{}
		if strings.HasSuffix(class, "NetworkTopologyStrategy") {
			for dc, n := range replication {
				if count, err := strconv.Atoi(n); dc != "class" && err == nil {
					dcs[dc] = count
				}
			}
		} else {
			dcs[home] = replicas
		}
		out[name] = dcs
		replication = nil
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("keyspaces of region %s: %w", s.region, err)
	}
	return out, nil
}

// alter has a keyspace span exactly these data centres.
func (s *session) alter(ctx context.Context, keyspace string, dcs map[string]int) error {
	if err := s.exec(ctx, "ALTER KEYSPACE "+ident(keyspace)+" WITH replication = "+strategy(dcs)); err != nil {
		return fmt.Errorf("keyspace %s over %s: %w", keyspace, strings.Join(slices.Sorted(maps.Keys(dcs)), ", "), err)
	}
	return nil
}

// strategy is the replication of a keyspace in CQL.
func strategy(dcs map[string]int) string {
	words := []string{"'class': 'NetworkTopologyStrategy'"}
	for _, dc := range slices.Sorted(maps.Keys(dcs)) {
		words = append(words, text(dc)+": "+strconv.Itoa(dcs[dc]))
	}
	return "{" + strings.Join(words, ", ") + "}"
}

// ensureOwn makes our keyspace and what is in it.
func (s *session) ensureOwn(ctx context.Context, home string) error {
	for _, cql := range []string{
		"CREATE KEYSPACE IF NOT EXISTS " + own + " WITH replication = " + strategy(map[string]int{home: replicas}),
		"CREATE TABLE IF NOT EXISTS " + own + ".rebuilds (datacenter text, keyspace_name text, done boolean, PRIMARY KEY (datacenter, keyspace_name))",
		"CREATE TABLE IF NOT EXISTS " + own + ".beats (link text, way text, beat text, PRIMARY KEY (link, way))",
		"CREATE TABLE IF NOT EXISTS " + own + ".fence (region text PRIMARY KEY, run bigint)",
	} {
		if err := s.exec(ctx, cql); err != nil {
			return fmt.Errorf("keyspace %s: %w", own, err)
		}
	}
	return nil
}

// place has the shared keyspaces know data centres. A new cluster's do not: a node that joined would take part of the users with it, where
// nobody could log in any more.
// Data centres that have left are taken out: the rights of users are written to a quorum of each that is named.
func (s *session) place(ctx context.Context, home string) error {
	live := map[string]bool{home: true}
	iter := s.Query("SELECT data_center FROM system.peers_v2").WithContext(ctx).Consistency(gocql.One).Iter()
	var dc string
	for iter.Scan(&dc) {
		live[dc] = true
	}
	if err := iter.Close(); err != nil {
		return fmt.Errorf("nodes that region %s sees: %w", s.region, err)
	}
	all, err := s.keyspaces(ctx, home)
	if err != nil {
		return err
	}
	for _, name := range shared {
		var replication map[string]string
		err := s.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", name).WithContext(ctx).Consistency(gocql.One).Scan(&replication)
		if err != nil {
			return fmt.Errorf("keyspace %s: %w", name, err)
		}
		kept := maps.Clone(all[name])
		maps.DeleteFunc(kept, func(dc string, _ int) bool { return !live[dc] })
		if strings.HasSuffix(replication["class"], "NetworkTopologyStrategy") && len(kept) == len(all[name]) {
			continue
		}
		if err := s.alter(ctx, name, kept); err != nil {
			return err
		}
	}
	return nil
}

// span has keyspaces span a further data centre and fills it: none is called done before each row is there. What is begun is written
// down before, so that whoever comes after a kill goes on.
func (s *session) span(ctx context.Context, all spans, names []string, from, to string, rebuild func(ctx context.Context, keyspace, from string) error) error {
	for _, name := range names {
		dcs, there := all[name]
		if !there {
			continue
		}
		if _, spanned := dcs[to]; !spanned {
			if err := s.exec(ctx, "INSERT INTO "+own+".rebuilds (datacenter, keyspace_name, done) VALUES (?, ?, false)", to, name); err != nil {
				return fmt.Errorf("note that %s is to be filled in %s: %w", name, to, err)
			}
			wider := maps.Clone(dcs)
			if _, ok := wider[from]; !ok {
				wider[from] = replicas
			}
			wider[to] = replicas
			if err := s.alter(ctx, name, wider); err != nil {
				return err
			}
		}
		open, err := s.unfilled(ctx, to)
		if err != nil {
			return err
		}
		if !slices.Contains(open, name) {
			continue
		}
		if rebuild != nil {
			if err := rebuild(ctx, name, from); err != nil {
				return fmt.Errorf("fill %s in %s: %w", name, to, err)
			}
		}
		if err := s.exec(ctx, "INSERT INTO "+own+".rebuilds (datacenter, keyspace_name, done) VALUES (?, ?, true)", to, name); err != nil {
			return fmt.Errorf("note that %s is filled in %s: %w", name, to, err)
		}
	}
	return nil
}

// unfilled lists the keyspaces that span a data centre and whose rows are not all there yet.
func (s *session) unfilled(ctx context.Context, dc string) ([]string, error) {
	iter := s.Query("SELECT keyspace_name, done FROM "+own+".rebuilds WHERE datacenter = ?", dc).WithContext(ctx).Iter()
	var out []string
	var name string
	var done bool
	for iter.Scan(&name, &done) {
		if !done {
			out = append(out, name)
		}
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("what is to be filled in %s: %w", dc, err)
	}
	return out, nil
}
