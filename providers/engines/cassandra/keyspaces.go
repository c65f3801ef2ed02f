package cassandra

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gocql/gocql"

	"meridian/providers"
)

// own is the keyspace in which Meridian keeps what it must know of the cluster.
const own = "meridian"

// shared are the keyspaces that each data centre must have, whatever the spec says: Cassandra's own, and ours.
var shared = []string{"system_auth", "system_distributed", "system_traces", own}

// mostCopies is how many copies of each row a data centre holds, where it has the nodes for them.
const mostCopies = 3

// copies is how many copies of a new keyspace's rows a data centre of so many nodes holds.
func copies(nodes int) int { return min(max(nodes, 1), mostCopies) }

// fitting is how many copies a data centre of so many nodes can hold, nearest to those that it has: with more, a quorum never answers.
func fitting(have, nodes int) int { return min(max(have, 1), max(nodes, 1)) }

// keyspace is how a keyspace is replicated.
type keyspace struct {
	// class is the strategy's, without its package; only networkTopology knows data centres.
	class string
	// dcs are the data centres that it spans, each with its number of copies. It is empty for another class.
	dcs map[string]int
}

const networkTopology = "NetworkTopologyStrategy"

// keyspaces reads how all keyspaces are replicated, but for those that are each node's own.
func (s *session) keyspaces(ctx context.Context) (map[string]keyspace, error) {
	out := map[string]keyspace{}
	iter := s.Query("SELECT keyspace_name, replication FROM system_schema.keyspaces").WithContext(ctx).Consistency(gocql.One).Iter()
	var name string
	var replication map[string]string
	for iter.Scan(&name, &replication) {
		if k := parseReplication(replication); k.class != "LocalStrategy" {
			out[name] = k
		}
		replication = nil
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("keyspaces of region %s: %w", s.region, err)
	}
	return out, nil
}

func parseReplication(replication map[string]string) keyspace {
	class := replication["class"]
	k := keyspace{class: class[strings.LastIndex(class, ".")+1:], dcs: map[string]int{}}
	if k.class != networkTopology {
		return k
	}
	for dc, text := range replication {
		n, err := strconv.Atoi(text)
		if dc != "class" && err == nil && n > 0 {
			k.dcs[dc] = n
		}
	}
	return k
}

// alter has a keyspace span exactly these data centres.
func (s *session) alter(ctx context.Context, name string, dcs map[string]int) error {
	if err := s.exec(ctx, "ALTER KEYSPACE "+ident(name)+" WITH replication = "+strategy(dcs)); err != nil {
		return fmt.Errorf("keyspace %s over %s: %w", name, strings.Join(slices.Sorted(maps.Keys(dcs)), ", "), err)
	}
	return nil
}

// strategy is the replication of a keyspace in CQL.
func strategy(dcs map[string]int) string {
	words := []string{"'class': '" + networkTopology + "'"}
	for _, dc := range slices.Sorted(maps.Keys(dcs)) {
		words = append(words, text(dc)+": "+strconv.Itoa(dcs[dc]))
	}
	return "{" + strings.Join(words, ", ") + "}"
}

// ensureOwn makes our keyspace and what is in it. In the data centre where it is made, it is full from the beginning.
func (s *session) ensureOwn(ctx context.Context, home string, nodes int) error {
	all, err := s.keyspaces(ctx)
	if err != nil {
		return err
	}
	if _, there := all[own]; there && all[own].dcs[home] == 0 { // nothing could be asked of it here; span fills it
		if err := s.alter(ctx, own, with(all[own].dcs, home, copies(nodes))); err != nil {
			return err
		}
	} else if !there {
		if err := s.exec(ctx, "CREATE KEYSPACE IF NOT EXISTS "+own+" WITH replication = "+strategy(map[string]int{home: copies(nodes)})); err != nil {
			return fmt.Errorf("keyspace %s: %w", own, err)
		}
	}
	for _, cql := range []string{
		"CREATE TABLE IF NOT EXISTS " + own + ".rebuilds (datacenter text, keyspace_name text, done boolean, again boolean, PRIMARY KEY (datacenter, keyspace_name))",
		"CREATE TABLE IF NOT EXISTS " + own + ".beats (link text, way text, beat text, PRIMARY KEY (link, way))",
		"CREATE TABLE IF NOT EXISTS " + own + ".fence (region text PRIMARY KEY, run bigint)",
		"CREATE TABLE IF NOT EXISTS " + own + ".places (region text PRIMARY KEY, datacenter text, rack text)",
	} {
		if err := s.exec(ctx, cql); err != nil {
			return fmt.Errorf("keyspace %s: %w", own, err)
		}
	}
	if _, there := all[own]; there {
		return nil
	}
	return s.noteFill(ctx, home, own, true, false)
}

// with returns the data centres with one more.
func with(dcs map[string]int, dc string, n int) map[string]int {
	out := map[string]int{dc: n}
	maps.Copy(out, dcs)
	return out
}

// place has keyspaces know data centres, and only those that there are. A new cluster's own do not: a node that joined would take part of the
// users with it, where nobody could log in any more. Data centres that have left are taken out: the rights of users are written to a quorum
// of each that is named. What a data centre lacks is the link's to give: it has to be filled.
func (s *session) place(ctx context.Context, names []string, home string, nodes map[string]int) error {
	all, err := s.keyspaces(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		k, there := all[name]
		if !there {
			continue
		}
		want := placed(k, all[own], home, nodes)
		if k.class == networkTopology && maps.Equal(want, k.dcs) {
			continue
		}
		if len(want) == 0 {
			continue
		}
		if err := s.alter(ctx, name, want); err != nil {
			return err
		}
	}
	return nil
}

// placed is what a keyspace may span without anything having to be filled: what it spans, where there are nodes, with no more copies than these;
// in a cluster of one data centre, that one. It is empty for a keyspace that the link has to place. It is pure.
func placed(k, ours keyspace, home string, nodes map[string]int) map[string]int {
	alone := len(nodes) <= 1 || len(ours.dcs) <= 1
	if k.class != networkTopology {
		if alone {
			return map[string]int{home: copies(nodes[home])}
		}
		return nil
	}
	out := map[string]int{}
	for dc, n := range k.dcs {
		if nodes[dc] > 0 {
			out[dc] = fitting(n, nodes[dc])
		}
	}
	if len(out) == 0 && alone {
		out[home] = copies(nodes[home])
	}
	return out
}

// side is a data centre of a link, and how it is filled; nil where it cannot be.
type side struct {
	dc      string
	nodes   int
	rebuild providers.Rebuild
}

// span has keyspaces span both data centres and fills them: none is called done before each row is there. What is begun is written
// down before, so that whoever comes after a kill goes on.
func (s *session) span(ctx context.Context, all map[string]keyspace, names []string, from, to side) error {
	for _, name := range names {
		k, there := all[name]
		if !there {
			continue
		}
		wider := maps.Clone(k.dcs)
		for _, at := range []side{from, to} {
			if wider[at.dc] > 0 {
				continue
			}
			wider[at.dc] = copies(at.nodes)
			fills, err := s.fills(ctx, at.dc)
			if err != nil {
				return err
			}
			// The one that is joined has them all but for what was changed behind our back; so has one that was full before.
			_, before := fills[name]
			if err := s.noteFill(ctx, at.dc, name, false, before || at.dc == from.dc); err != nil {
				return err
			}
		}
		if k.class != networkTopology || !maps.Equal(wider, k.dcs) {
			if err := s.alter(ctx, name, wider); err != nil {
				return err
			}
		}
		for _, at := range []side{from, to} {
			other := from.dc
			if at.dc == from.dc {
				other = to.dc
			}
			if err := s.fill(ctx, name, at, other); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill brings a data centre the rows of a keyspace, where they are not known to be there.
func (s *session) fill(ctx context.Context, name string, at side, from string) error {
	fills, err := s.fills(ctx, at.dc)
	if err != nil {
		return err
	}
	if !slices.Contains(unfilled(fills), name) {
		return nil
	}
	if at.rebuild == nil {
		return permanent("fill %s in %s: its provider cannot: have its nodes rebuild it from %s by hand, then INSERT INTO %s.rebuilds (datacenter, keyspace_name, done) VALUES (%s, %s, true)",
			name, at.dc, from, own, text(at.dc), text(name))
	}
	note, noted := fills[name]
	if err := at.rebuild(ctx, providers.Fill{Database: name, From: from, Again: note.again || !noted}); err != nil {
		return fmt.Errorf("fill %s in %s: %w", name, at.dc, err)
	}
	return s.noteFill(ctx, at.dc, name, true, false)
}

// fillNote is what is written down of a keyspace in a data centre that it came to span later.
type fillNote struct {
	done bool
	// again says that it was full once.
	again bool
}

// noteFill writes down where a keyspace's rows stand in a data centre.
func (s *session) noteFill(ctx context.Context, dc, name string, done, again bool) error {
	if err := s.exec(ctx, "INSERT INTO "+own+".rebuilds (datacenter, keyspace_name, done, again) VALUES (?, ?, ?, ?)", dc, name, done, again); err != nil {
		return fmt.Errorf("note what %s has of %s: %w", dc, name, err)
	}
	return nil
}

// fills reads what is written down of a data centre.
func (s *session) fills(ctx context.Context, dc string) (map[string]fillNote, error) {
	iter := s.Query("SELECT keyspace_name, done, again FROM "+own+".rebuilds WHERE datacenter = ?", dc).WithContext(ctx).Iter()
	out := map[string]fillNote{}
	var name string
	var note fillNote
	for iter.Scan(&name, &note.done, &note.again) {
		out[name] = note
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("what is to be filled in %s: %w", dc, err)
	}
	return out, nil
}

// unfilled lists the keyspaces whose rows are not all there yet. Our own holds the notes: where it has none of itself, it is not full. It is
// pure.
func unfilled(fills map[string]fillNote) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(fills)) {
		if !fills[name].done {
			out = append(out, name)
		}
	}
	if _, noted := fills[own]; !noted {
		out = append(out, own)
	}
	return out
}
