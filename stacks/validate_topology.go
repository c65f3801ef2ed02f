package stacks

import (
	"slices"
	"strings"
)

// topology refuses one that is none, and what a global one decides by itself.
func (c *checker) topology() {
	const at = "spec.topology"
	rep := c.db.Spec.Replication
	if words := topologyWords(); c.db.Spec.Topology != "" && !slices.Contains(words, string(c.db.Spec.Topology)) {
		c.refuse("topology.unknown", at, c.didYouMean(string(c.db.Spec.Topology), words), "unknown topology %q", brief(string(c.db.Spec.Topology)))
	}
	if c.db.Spec.Topology != TopologyGlobal {
		return
	}
	for _, given := range []struct {
		field string
		is    bool
	}{{"mode", rep.Mode != ""}, {"databases", len(rep.Databases) > 0}, {"links", len(rep.Links) > 0}} {
		if given.is {
			c.refuse("topology.links", "spec.replication."+given.field, "leave it out: only maxLag is yours to say", "topology global replicates everything from the primary to each replica by itself")
		}
	}
}

// globalTopology refuses a global topology of regions that no provider makes one database of.
func (c *checker) globalTopology(caps Capabilities) {
	if c.db.Spec.Topology != TopologyGlobal {
		return
	}
	ps := providersOf(c.db)
	if len(ps) > 1 {
		c.refuse("topology.providers", "spec.topology", "use one provider, or leave out topology and link the regions",
			"a global database is made by one provider, and its regions have %s", strings.Join(ps, " and "))
		return
	}
	if len(ps) == 1 && slices.Contains(caps.ProviderNames(), ps[0]) && globalMode(c.db, caps) == "" {
		c.refuse("topology.providers", "spec.topology", "leave it out and link the regions",
			"provider %s does not make one global database of regions of %s", ps[0], brief(c.db.Spec.Engine.Name))
	}
}

func topologyWords() []string {
	var out []string
	for _, t := range Topologies {
		out = append(out, string(t))
	}
	return out
}
