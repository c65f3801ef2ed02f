package cassandra

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gocql/gocql"

	"meridian/providers"
	"meridian/stacks"
)

// answersIn bounds how long a node may take to accept.
const answersIn = 3 * time.Second

// view is what a region's node says of its cluster, and what is written down of it.
type view struct {
	// members are the nodes of the cluster; the first is the one that was asked.
	members   []member
	keyspaces map[string]keyspace
	// logins are the roles, each with whether it may log in.
	logins map[string]bool
	// strangers are users whose password is another than the one that was made.
	strangers []string
	// places are where regions were found when they were made.
	places map[string]place
}

// place is a data centre and a rack in it.
type place struct{ datacenter, rack string }

// Inspect compares nodes, replication, keyspaces and users with what was made, and changes nothing. Each region answers for its own data
// centre; for what all of them share, the one that the others joined does.
func (Engine) Inspect(ctx context.Context, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	s, err := open(ctx, t)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var v view
	if v.members, err = s.members(ctx, t); err != nil {
		return nil, err
	}
	silence(ctx, v.members)
	if v.keyspaces, err = s.keyspaces(ctx); err != nil {
		return nil, err
	}
	if _, there := v.keyspaces[own]; there {
		if v.places, err = s.places(ctx); err != nil {
			return nil, err
		}
	}
	if first(in) {
		if v.logins, err = s.logins(ctx); err != nil {
			return nil, err
		}
		for _, u := range in.Objects.Users {
			if v.logins[u.Name] && !u.Drop && !knows(ctx, t, u.Name, in.Objects.Passwords[u.Name]) {
				v.strangers = append(v.strangers, u.Name)
			}
		}
	}
	return differences(t, in, v), nil
}

// first reports whether a region is the one that the others joined, or alone.
func first(in providers.InspectInput) bool { return len(in.Links) > 0 || len(in.Peers) == 0 }

// silence marks the nodes of the asked one's data centre at which nothing accepts.
func silence(ctx context.Context, members []member) {
	var wg sync.WaitGroup
	for i := 1; i < len(members); i++ {
		m := &members[i]
		if m.datacenter != members[0].datacenter {
			continue // its own region answers for it
		}
		wg.Go(func() {
			conn, err := (&net.Dialer{Timeout: answersIn}).DialContext(ctx, "tcp", m.String())
			if err != nil {
				m.silent = true
				return
			}
			_ = conn.Close()
		})
	}
	wg.Wait()
}

// differences is what is not as it was made. It is pure.
func differences(t providers.Target, in providers.InspectInput, v view) []stacks.DriftItem {
	out := topology(t, in, v)
	out = append(out, replication(in, v)...)
	if first(in) {
		out = append(out, objects(in, v)...)
	}
	return out
}

// topology finds nodes that moved, left, are dead, or that nobody asked for.
func topology(t providers.Target, in providers.InspectInput, v view) []stacks.DriftItem {
	var out []stacks.DriftItem
	here := v.members[0]
	if was, known := v.places[t.Region]; known {
		for _, x := range []struct{ path, want, found string }{{"datacenter", was.datacenter, here.datacenter}, {"rack", was.rack, here.rack}} {
			if x.want != x.found {
				out = append(out, stacks.DriftItem{Kind: stacks.DriftChanged, Subject: "node " + here.String(), Path: x.path, Want: x.want, Found: x.found})
			}
		}
	}
	ours := map[string]bool{here.datacenter: true}
	for _, p := range in.Peers {
		i := find(v.members, p)
		if i < 0 {
			out = append(out, stacks.DriftItem{Kind: stacks.DriftGone, Subject: "data centre of " + p.Region,
				Message: fmt.Sprintf("the cluster that %s is in has no node at %s: it has left, or it is in another cluster", t.Region, endpoint(p))})
			if was, known := v.places[p.Region]; known {
				ours[was.datacenter] = true
			}
			continue
		}
		ours[v.members[i].datacenter] = true
	}
	for _, m := range v.members[1:] {
		switch {
		case m.silent:
			out = append(out, stacks.DriftItem{Kind: stacks.DriftUnreachable, Subject: "node " + m.String(), Message: "nothing accepts there"})
		case !ours[m.datacenter] && first(in):
			out = append(out, stacks.DriftItem{Kind: stacks.DriftExtra, Subject: "node " + m.String(), Message: "it is in data centre " + m.datacenter + ", which is of no region"})
		}
	}
	return out
}

func endpoint(t providers.Target) string {
	return net.JoinHostPort(t.Endpoint.Host, strconv.Itoa(t.Endpoint.Port))
}

// replication finds keyspaces that do not span the region's data centre, or not as its nodes can hold them.
func replication(in providers.InspectInput, v view) []stacks.DriftItem {
	var out []stacks.DriftItem
	here, nodes := v.members[0].datacenter, count(v.members)
	for _, name := range spanning(in) {
		k, there := v.keyspaces[name]
		if !there {
			continue // said once, of the keyspace itself
		}
		differs := func(path, want, found string) {
			out = append(out, stacks.DriftItem{Kind: stacks.DriftChanged, Subject: "keyspace " + name, Path: "replication." + path, Want: want, Found: found})
		}
		if k.class != networkTopology {
			if first(in) {
				differs("class", networkTopology, k.class)
			}
			continue
		}
		switch have := k.dcs[here]; {
		case have == 0:
			differs(here, strconv.Itoa(copies(nodes[here])), "0")
		case have != fitting(have, nodes[here]):
			differs(here, strconv.Itoa(fitting(have, nodes[here])), strconv.Itoa(have))
		}
		for _, dc := range slices.Sorted(maps.Keys(k.dcs)) {
			// Users and rights stay in a data centre until its node has left, and are taken out by the next run.
			if nodes[dc] == 0 && first(in) && name != "system_auth" {
				differs(dc, "0", strconv.Itoa(k.dcs[dc]))
			}
		}
	}
	return out
}

// spanning lists the keyspaces that each region must have.
func spanning(in providers.InspectInput) []string {
	out := slices.Clone(shared)
	for _, d := range in.Objects.Databases {
		if !d.Drop {
			out = append(out, d.Name)
		}
	}
	return out
}

// objects finds keyspaces and users that are gone, and users that are let in no more.
func objects(in providers.InspectInput, v view) []stacks.DriftItem {
	var out []stacks.DriftItem
	for _, name := range spanning(in) {
		if _, there := v.keyspaces[name]; !there {
			out = append(out, stacks.DriftItem{Kind: stacks.DriftMissing, Subject: "keyspace " + name, DataBearing: name != own && !strings.HasPrefix(name, "system_"), Message: "the keyspace was dropped, with its data"})
		}
	}
	for _, u := range in.Objects.Users {
		login, there := v.logins[u.Name]
		item := stacks.DriftItem{Kind: stacks.DriftLogin, Subject: "user " + u.Name}
		switch {
		case u.Drop:
			continue
		case !there:
			item.Kind, item.Message = stacks.DriftMissing, "the user is there no more"
		case !login:
			item.Message = "the user may not log in any more"
		case slices.Contains(v.strangers, u.Name):
			item.Sensitive, item.Message = true, "the password is not the one that Meridian made"
		default:
			continue
		}
		out = append(out, item)
	}
	return out
}

// logins lists the roles, and which may log in.
func (s *session) logins(ctx context.Context) (map[string]bool, error) {
	iter := s.Query("SELECT role, can_login FROM system_auth.roles").WithContext(ctx).Iter()
	out := map[string]bool{}
	var role string
	var login bool
	for iter.Scan(&role, &login) {
		out[role] = login
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("users of region %s: %w", s.region, err)
	}
	return out, nil
}

// places reads where regions were found when they were made. Any copy will do: the keyspace may span fewer data centres than it should.
func (s *session) places(ctx context.Context) (map[string]place, error) {
	iter := s.Query("SELECT region, datacenter, rack FROM " + own + ".places").WithContext(ctx).Consistency(gocql.One).Iter()
	out := map[string]place{}
	var region string
	var p place
	for iter.Scan(&region, &p.datacenter, &p.rack) {
		out[region] = p
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("places of regions, as %s knows them: %w", s.region, err)
	}
	return out, nil
}
