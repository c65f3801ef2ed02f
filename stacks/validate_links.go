package stacks

import (
	"cmp"
	"fmt"
	"slices"
)

func (c *checker) replication() {
	rep := c.db.Spec.Replication
	const at = "spec.replication"
	if c.l.has(at+".maxLag") && rep.MaxLag <= 0 || rep.MaxLag < 0 {
		c.refuse("replication.maxLag", at+".maxLag", "write a lag above zero, like 5s", "maxLag is %s", rep.MaxLag)
	}
	if rep.Mode != "" || len(rep.Databases) > 0 {
		short := at + ".databases"
		if rep.Mode != "" {
			short = at + ".mode"
		}
		switch {
		case len(rep.Links) > 0 || c.l.has(at+".links"):
			c.refuse("link.shorthand", short, "give mode and databases to each of the links", "mode and databases are short for links; both are given")
		case rep.Mode == "":
			c.missing(at+".mode", "", "write mode: logical")
		default:
			c.mode(at+".mode", rep.Mode)
		}
		c.linkDatabases(at, rep.Databases)
	}
	if len(rep.Links) > maxRegions*maxRegions {
		c.refuse("links.many", at+".links", "", "there are %d links; at most %d are allowed", len(rep.Links), maxRegions*maxRegions)
		return
	}
	c.links(rep.Links)
}

// end checks one end of a link and reports whether it is good. A link that is to be dropped may name a region that is gone.
func (c *checker) end(path, region string, drop bool) bool {
	if _, ok := c.db.Region(region); ok {
		return true
	}
	if drop {
		return c.label("region", path, region, MaxRegion)
	}
	var names []string
	for _, r := range c.db.Spec.Regions {
		names = append(names, r.Name)
	}
	c.refuse("link.region", path, c.didYouMean(region, names), "%q is no region of this spec", brief(region))
	return false
}

func (c *checker) links(links []Link) {
	primary := c.db.Primary()
	g := graph{primary: primary, targets: map[string][]string{}, arriving: map[[2]string]string{}, filled: map[string]string{}, whole: map[string]string{}}
	seen := map[string]string{}
	for i, l := range links {
		path := fmt.Sprintf("spec.replication.links[%d]", i)
		if l.From == "" {
			l.From = primary
		}
		good := !c.missing(path+".to", l.To, "say which region it fills") && c.end(path+".to", l.To, l.Drop)
		if c.l.has(path + ".from") {
			good = c.end(path+".from", l.From, l.Drop) && good
		}
		if !l.Drop || l.Mode != "" {
			c.mode(path+".mode", l.Mode)
		}
		if !l.Drop {
			c.linkDatabases(path, l.Databases)
		}
		switch {
		case !good || l.From == "":
		case l.From == l.To:
			c.refuse("link.self", path+".to", "link it to another region", "region %q is linked to itself", l.To)
		case seen[l.Name()] != "":
			c.unique(seen, "link", l.Name(), path+".to")
		default:
			c.unique(seen, "link", l.Name(), path+".to")
			if !l.Drop {
				c.flow(g, path, l)
			}
		}
	}
}

// graph is what the links before one have made.
type graph struct {
	primary  string
	targets  map[string][]string  // from a region to those that it fills
	arriving map[[2]string]string // (region, database) to the link that fills it
	filled   map[string]string    // from a region to a link that fills it
	whole    map[string]string    // from a region to the physical link that makes it
}

// flow refuses a link that leads into the primary, closes a circle, or fills what another link fills.
func (c *checker) flow(g graph, path string, l Link) {
	switch {
	case l.To == g.primary:
		c.refuse("link.primary", path+".to", "link from the primary to a replica", "the link leads into the primary %q", l.To)
		return
	case reaches(g.targets, l.To, l.From):
		c.refuse("link.circle", path+".to", "remove one link of the circle", "the link from %q to %q closes a circle", l.From, l.To)
		return
	}
	g.targets[l.From] = append(g.targets[l.From], l.To)
	if l.Mode == LinkPhysical {
		if len(l.Databases) > 0 {
			c.refuse("link.whole", path+".databases", "leave it out", "a physical link carries the whole server, not single databases")
		}
		if g.filled[l.To] != "" {
			c.refuse("link.fan-in", path, "let it arrive by one link", "region %q is a physical replica and filled by another link too: %s", l.To, g.filled[l.To])
		}
		g.whole[l.To] = path
	} else if g.whole[l.To] != "" {
		c.refuse("link.fan-in", path, "let it arrive by one link", "region %q is a physical replica and filled by another link too: %s", l.To, g.whole[l.To])
	}
	g.filled[l.To] = path
	for _, db := range c.db.linked(l) {
		key := [2]string{l.To, db}
		if first, twice := g.arriving[key]; twice && first != path {
			c.refuse("link.fan-in", path, "let each database arrive by one link", "database %q arrives in region %q by two links; the first is %s", brief(db), l.To, first)
			return
		}
		g.arriving[key] = path
	}
}

// reaches reports whether links lead from one region to another.
func reaches(targets map[string][]string, from, to string) bool {
	seen := map[string]bool{}
	for open := []string{from}; len(open) > 0; {
		r := open[len(open)-1]
		open = open[:len(open)-1]
		if r == to {
			return true
		}
		if !seen[r] {
			seen[r] = true
			open = append(open, targets[r]...)
		}
	}
	return false
}

func (c *checker) mode(path string, mode LinkMode) {
	if mode == "" {
		c.missing(path, "", "say how it replicates, like mode: logical")
	} else if words := modeWords(LinkModes); !slices.Contains(words, string(mode)) {
		c.refuse("link.mode", path, c.didYouMean(string(mode), words), "unknown mode %q", brief(string(mode)))
	}
}

func modeWords(modes []LinkMode) []string {
	var out []string
	for _, m := range modes {
		out = append(out, string(m))
	}
	return out
}

// linkModes refuses a mode that the engine and the providers at both ends of a link do not have.
func (c *checker) linkModes(caps Capabilities) {
	spec := c.db.Spec
	if spec.Topology == TopologyGlobal { // its links are its provider's
		return
	}
	for _, l := range defaultReplication(c.db, caps).Links {
		from, ok1 := c.db.Region(l.From)
		to, ok2 := c.db.Region(l.To)
		if l.Drop || !ok1 || !ok2 || !slices.Contains(LinkModes, l.Mode) {
			continue
		}
		path := "spec.replication.mode"
		if len(spec.Replication.Links) > 0 {
			i := slices.IndexFunc(spec.Replication.Links, func(o Link) bool { return o.To == l.To && cmp.Or(o.From, c.db.Primary()) == l.From })
			path = fmt.Sprintf("spec.replication.links[%d].mode", i)
		}
		modes := caps.LinkModes(spec.Engine.Name, from.Provider, to.Provider)
		if !slices.Contains(modes, l.Mode) {
			c.refuse("link.mode", path, c.linkAdvice(modes), "a link of %s from provider %s to provider %s cannot be %s", spec.Engine.Name, from.Provider, to.Provider, l.Mode)
		}
	}
}

// linkAdvice says which modes there are instead.
func (c *checker) linkAdvice(modes []LinkMode) string {
	if len(modes) == 0 {
		return "there is none between these providers: leave the link out, or have both regions from one provider that makes it"
	}
	return c.didYouMean("", modeWords(modes))
}

// linkDatabases checks the databases of a link, or of the shorthand.
func (c *checker) linkDatabases(path string, names []string) {
	var known []string
	dropped := map[string]bool{}
	for _, d := range c.db.Spec.Databases {
		known = append(known, d.Name)
		dropped[d.Name] = d.Drop
	}
	seen := map[string]string{}
	for i, name := range names {
		at := fmt.Sprintf("%s.databases[%d]", path, i)
		drop, ok := dropped[name]
		switch {
		case !ok:
			c.refuse("link.database", at, c.didYouMean(name, known), "%q is no database of this spec", brief(name))
		case drop:
			c.refuse("link.database", at, "take it out of the link", "database %q is to be dropped", brief(name))
		default:
			c.unique(seen, "database", name, at)
		}
	}
}

// linked lists the databases of a link: its own, or all that are not to be dropped.
func (d Database) linked(l Link) []string {
	if len(l.Databases) > 0 {
		return slices.Clone(l.Databases)
	}
	var out []string
	for _, ldb := range d.Spec.Databases {
		if !ldb.Drop {
			out = append(out, ldb.Name)
		}
	}
	return out
}
