package cassandra

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

// whole is a cluster of two regions as it was made, as the first of them sees it.
func whole() (providers.Target, providers.InspectInput, view) {
	at := func(region, host string) providers.Target {
		return providers.Target{Region: region, Endpoint: stacks.Endpoint{Host: host, Port: 9042}}
	}
	in := providers.InspectInput{
		Objects: providers.Objects{Databases: []stacks.LogicalDatabase{{Name: "orders"}, {Name: "old", Drop: true}}, Users: []stacks.User{{Name: "app"}, {Name: "gone", Drop: true}}},
		Links:   []stacks.Link{{From: "ankara", To: "istanbul"}}, Peers: []providers.Target{at("istanbul", "127.0.0.2")},
	}
	v := view{
		members: []member{
			{datacenter: "ankara", rack: "rack1", address: net.ParseIP("127.0.0.1"), port: 9042},
			{datacenter: "istanbul", rack: "rack1", address: net.ParseIP("127.0.0.2"), port: 9042},
		},
		keyspaces: map[string]keyspace{}, logins: map[string]bool{"app": true},
		places: map[string]place{"ankara": {"ankara", "rack1"}, "istanbul": {"istanbul", "rack1"}},
	}
	for _, name := range spanning(in) {
		v.keyspaces[name] = keyspace{class: networkTopology, dcs: map[string]int{"ankara": 1, "istanbul": 1}}
	}
	return at("ankara", "127.0.0.1"), in, v
}

// TestDifferences tells what of a cluster is drift, and which region says so.
func TestDifferences(t *testing.T) {
	spans := func(v *view, name string, dcs map[string]int) {
		v.keyspaces[name] = keyspace{class: networkTopology, dcs: dcs}
	}
	joined := func(in *providers.InspectInput) { in.Links = nil } // as a region that is not the first
	tests := map[string]struct {
		change func(in *providers.InspectInput, v *view)
		want   []string
	}{
		"as it was made": {func(*providers.InspectInput, *view) {}, nil},
		"a keyspace that spans the region no more": {func(_ *providers.InspectInput, v *view) { spans(v, "orders", map[string]int{"istanbul": 1}) },
			[]string{"changed keyspace orders.replication.ankara 1->0"}},
		"a system keyspace too": {func(_ *providers.InspectInput, v *view) { spans(v, "system_traces", map[string]int{"istanbul": 1}) },
			[]string{"changed keyspace system_traces.replication.ankara 1->0"}},
		"another region's part is that one's to tell": {func(_ *providers.InspectInput, v *view) { spans(v, "orders", map[string]int{"ankara": 1}) }, nil},
		"more copies than nodes": {func(_ *providers.InspectInput, v *view) {
			spans(v, "orders", map[string]int{"ankara": 3, "istanbul": 1})
		},
			[]string{"changed keyspace orders.replication.ankara 1->3"}},
		"more copies, and nodes for them": {func(_ *providers.InspectInput, v *view) {
			spans(v, "orders", map[string]int{"ankara": 2, "istanbul": 1})
			v.members = append(v.members, member{datacenter: "ankara", rack: "rack2", address: net.ParseIP("127.0.0.3"), port: 9042})
		}, nil},
		"another strategy": {func(_ *providers.InspectInput, v *view) { v.keyspaces["orders"] = keyspace{class: "SimpleStrategy"} },
			[]string{"changed keyspace orders.replication.class NetworkTopologyStrategy->SimpleStrategy"}},
		"another strategy, said once": {func(in *providers.InspectInput, v *view) {
			joined(in)
			v.keyspaces["orders"] = keyspace{class: "SimpleStrategy"}
		}, nil},
		"a data centre that is gone": {func(_ *providers.InspectInput, v *view) {
			spans(v, "orders", map[string]int{"ankara": 1, "istanbul": 1, "izmir": 1})
			spans(v, "system_auth", map[string]int{"ankara": 1, "istanbul": 1, "izmir": 1}) // which stays until the next run
		}, []string{"changed keyspace orders.replication.izmir 0->1"}},
		"a keyspace that was dropped": {func(_ *providers.InspectInput, v *view) { delete(v.keyspaces, "orders") }, []string{"missing keyspace orders. ->"}},
		"a keyspace that was dropped, said once": {func(in *providers.InspectInput, v *view) {
			joined(in)
			delete(v.keyspaces, "orders")
		}, nil},
		"a node in another data centre": {func(_ *providers.InspectInput, v *view) {
			v.members[0].datacenter = "izmir"
			for _, k := range v.keyspaces {
				k.dcs["izmir"] = 1
			}
			v.members = append(v.members, member{datacenter: "ankara", address: net.ParseIP("127.0.0.9"), port: 9042})
		}, []string{"changed node 127.0.0.1:9042.datacenter ankara->izmir", "extra node 127.0.0.9:9042. ->"}},
		"a node in another rack": {func(_ *providers.InspectInput, v *view) { v.members[0].rack = "rack7" }, []string{"changed node 127.0.0.1:9042.rack rack1->rack7"}},
		"a region whose node has left": {func(_ *providers.InspectInput, v *view) {
			v.members = v.members[:1]
			for _, k := range v.keyspaces {
				delete(k.dcs, "istanbul")
			}
		}, []string{"gone data centre of istanbul. ->"}},
		"a dead node of this data centre": {func(_ *providers.InspectInput, v *view) {
			v.members = append(v.members, member{datacenter: "ankara", address: net.ParseIP("127.0.0.3"), port: 9042, silent: true})
		}, []string{"unreachable node 127.0.0.3:9042. ->"}},
		"a node of no region": {func(_ *providers.InspectInput, v *view) {
			v.members = append(v.members, member{datacenter: "elsewhere", address: net.ParseIP("127.0.0.3"), port: 9042})
		}, []string{"extra node 127.0.0.3:9042. ->"}},
		"a node of no region, said once": {func(in *providers.InspectInput, v *view) {
			joined(in)
			v.members = append(v.members, member{datacenter: "elsewhere", address: net.ParseIP("127.0.0.3"), port: 9042})
		}, nil},
		"a region that was never looked at": {func(_ *providers.InspectInput, v *view) { v.places = nil }, nil},
		"a user that is gone":               {func(_ *providers.InspectInput, v *view) { v.logins = nil }, []string{"missing user app. ->"}},
		"a user that is locked out":         {func(_ *providers.InspectInput, v *view) { v.logins["app"] = false }, []string{"login user app. ->"}},
		"a user with another password":      {func(_ *providers.InspectInput, v *view) { v.strangers = []string{"app"} }, []string{"login user app. ->"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			at, in, v := whole()
			test.change(&in, &v)
			var got []string
			for _, i := range differences(at, in, v) {
				got = append(got, fmt.Sprintf("%s %s.%s %s->%s", i.Kind, i.Subject, i.Path, i.Want, i.Found))
				if i.Path == "" && i.Message == "" {
					t.Errorf("%s says nothing", i.Subject)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}

// TestPlaced tells what replication is put right without anything having to be filled.
func TestPlaced(t *testing.T) {
	two := map[string]int{"ankara": 1, "istanbul": 1}
	nts := func(dcs map[string]int) keyspace { return keyspace{class: networkTopology, dcs: dcs} }
	simple := keyspace{class: "SimpleStrategy", dcs: map[string]int{}}
	for name, test := range map[string]struct {
		k, ours keyspace
		nodes   map[string]int
		want    map[string]int
	}{
		"a new cluster's own":                    {simple, nts(map[string]int{"ankara": 1}), map[string]int{"ankara": 1}, map[string]int{"ankara": 1}},
		"a new cluster of three nodes":           {simple, nts(map[string]int{"ankara": 3}), map[string]int{"ankara": 3}, map[string]int{"ankara": 3}},
		"a new cluster of five nodes":            {simple, nts(map[string]int{"ankara": 3}), map[string]int{"ankara": 5}, map[string]int{"ankara": 3}},
		"changed in a cluster of two":            {simple, nts(two), two, nil},
		"right":                                  {nts(two), nts(two), two, two},
		"a data centre that has left":            {nts(map[string]int{"ankara": 1, "izmir": 1}), nts(two), two, map[string]int{"ankara": 1}},
		"more copies than nodes":                 {nts(map[string]int{"ankara": 3, "istanbul": 1}), nts(two), two, two},
		"one that spans only what has left":      {nts(map[string]int{"izmir": 1}), nts(map[string]int{"ankara": 1}), map[string]int{"ankara": 1}, map[string]int{"ankara": 1}},
		"what a data centre lacks is the link's": {nts(map[string]int{"istanbul": 1}), nts(two), two, map[string]int{"istanbul": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := placed(test.k, test.ours, "ankara", test.nodes); !maps.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// TestUnfilled tells which keyspaces of a data centre are not known to be full.
func TestUnfilled(t *testing.T) {
	full := fillNote{done: true}
	for name, test := range map[string]struct {
		fills map[string]fillNote
		want  []string
	}{
		"full":                       {map[string]fillNote{own: full, "orders": full}, nil},
		"being filled":               {map[string]fillNote{own: full, "orders": {}}, []string{"orders"}},
		"the notes themselves":       {map[string]fillNote{own: {again: true}}, []string{own}},
		"no notes: they are missing": {nil, []string{own}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unfilled(test.fills); !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
