package local_test

import (
	"testing"

	"meridian/providers"
	"meridian/providers/conformance"
	"meridian/providers/local"
	"meridian/providers/local/cassandra"
	"meridian/stacks"
)

func clusterDatabase() stacks.Database {
	db := testDatabase()
	db.Spec.Engine = stacks.Engine{Name: "cassandra", Version: "5.0", Parameters: map[string]string{"concurrent_reads": "16"}}
	db.Spec.Replication.Links = []stacks.Link{{From: "ankara", To: "istanbul", Mode: stacks.LinkDatacenter}}
	return db
}

func newNodes(t *testing.T) *local.Provider {
	t.Helper()
	if _, err := cassandra.Find(); err != nil {
		t.Skip(err)
	}
	return local.New(local.Config{PluginSource: "meridian.internal/meridian/localdb", PluginVersion: "0.1.0-dev.abc", Root: "/srv/test/servers", Installation: "test" + t.Name()})
}

func TestConformanceOfCassandra(t *testing.T) {
	t.Parallel()
	p := newNodes(t)
	source, err := p.Place(t.Context(), providers.PlaceInput{Engine: "cassandra", Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcd1234", Region: "ankara"}})
	must(t, err)
	conformance.Run(t, conformance.Suite{
		Provider: p, Database: clusterDatabase(), Source: source,
		Outputs: func(p stacks.Placement) map[string]any {
			return map[string]any{"host": p.Address, "port": p.Port, "admin_user": "meridian", "datacenter": "ankara", "server_version": "5.0.9"}
		},
		BadParameters: map[string]string{
			"concurent_reads": "16", "cluster_name": "x", "authenticator": "AllowAllAuthenticator", "concurrent_reads": "1: 2", "seed_provider": "x", "listen_address": "0.0.0.0",
		},
	})
}

// TestSeeds has the primary found by its own place, and every other region by the primary's.
func TestSeeds(t *testing.T) {
	t.Parallel()
	p := newNodes(t)
	db := clusterDatabase()
	place := func(address string, port int) stacks.Placement {
		return stacks.Placement{Address: address, Port: port, Values: map[string]string{"data_dir": "/srv/x"}}
	}
	for name, c := range map[string]struct {
		region int
		source stacks.Placement
		want   string
	}{
		"the primary":          {0, stacks.Placement{}, "127.1.1.1:7000"},
		"a replica":            {1, place("127.2.2.2", 9043), "127.2.2.2:7001"},
		"a replica of nothing": {1, stacks.Placement{}, ""},
	} {
		in := providers.ModuleInput{Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abc", Region: "r"}, Database: db, Region: db.Spec.Regions[c.region],
			Placement: place("127.1.1.1", 9042), Source: c.source}
		call, err := p.ModuleCall(in)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: it has seeds %v", name, call.Inputs["seeds"])
			}
			continue
		}
		must(t, err)
		if seeds, _ := call.Inputs["seeds"].([]any); len(seeds) != 1 || seeds[0] != c.want {
			t.Errorf("%s: seeds %v, want %s", name, call.Inputs["seeds"], c.want)
		}
	}
}

// TestLaunchMemory has a launch that starts a Java weigh more than one that starts PostgreSQL.
func TestLaunchMemory(t *testing.T) {
	t.Parallel()
	p := local.New(local.Config{})
	if pg, node := p.LaunchMemory("postgres"), p.LaunchMemory("cassandra"); pg < 100 || node < pg+cassandra.DefaultHeap {
		t.Errorf("%d MiB for postgres, %d for cassandra, whose heap alone is %d", pg, node, cassandra.DefaultHeap)
	}
}
