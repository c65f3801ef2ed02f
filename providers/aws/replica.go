package aws

import (
	"strconv"

	"meridian/stacks"
)

// What AWS documents of read replicas, and would refuse in the middle of an apply.
// Source: Amazon RDS User Guide, "Working with DB instance read replicas", "Creating a read replica in a different AWS Region" and "Creating
// cross-Region cascading read replicas with RDS for PostgreSQL"; API Reference, CreateDBInstanceReadReplica.
const (
	// mostReplicas is how many read replicas one instance can have.
	mostReplicas = 15
	// mostLevels is how many replicas can follow one another, of PostgreSQL, and mostLocations in how many AWS regions they and their source are.
	mostLevels    = 3
	mostLocations = 2
	// cascades is the first major version of PostgreSQL whose replicas can have replicas.
	cascades = 14
)

// settingsIn are a region's settings with what a read replica has from its source: its storage, for no replica can begin with another.
func settingsIn(db stacks.Database, region stacks.Region, path string) (Settings, []stacks.Diagnostic) {
	s, ds := readSettings(region, path)
	sources := sourcesOf(db, region)
	if len(sources) == 0 || s.Aurora != nil {
		return s, ds
	}
	first := sources[len(sources)-1]
	if first.Provider != Name || hasAurora(first) {
		return s, ds // another rule says so
	}
	of, wrong := readSettings(first, "settings")
	if stacks.HasErrors(wrong) {
		return s, ds // it says so itself
	}
	if !says(region, "storage", "gib") {
		s.Storage.GiB = of.Storage.GiB
		if !says(region, "storage", "maxGib") {
			s.Storage.MaxGiB = of.Storage.MaxGiB
		}
	}
	return s, ds
}

// says reports whether a region's settings have a value at a path.
func says(region stacks.Region, block, field string) bool {
	m, ok := region.Settings[block].(map[string]any)
	return ok && m[field] != nil
}

// sourcesOf are the regions that a region follows: its source, that one's, and so on.
func sourcesOf(db stacks.Database, region stacks.Region) (out []stacks.Region) {
	for range db.Spec.Regions { // a circle ends too
		of, follows := sourceIn(db, region)
		if !follows || of.Name == region.Name {
			break
		}
		out = append(out, of)
		region = of
	}
	return out
}

// replica refuses a read replica that AWS would not make.
func (c *checker) replica(db stacks.Database, region stacks.Region, s Settings) {
	sources := sourcesOf(db, region)
	if len(sources) == 0 || sources[0].Provider != Name {
		return
	}
	source, at := sources[0], regionField(db, sources[0].Name)+".settings"
	of, wrong := readSettings(source, at)
	if stacks.HasErrors(wrong) {
		return // it says so itself
	}
	if *of.Backup.Retention == 0 {
		c.refuse("aws.replica", at+".backup.retention", "write 1 or more: a replica is made from a backup of its source", "region %q is the source of a read replica and keeps no backups", source.Name)
	}
	if s.Account != of.Account {
		c.refuse("aws.replica", c.at+".settings.account", "write "+of.Account+", or let a logical link fill it", "a read replica is in its source's account, and region %q is in %s", source.Name, of.Account)
	}
	near := region.Location == source.Location
	switch {
	case partition(region.Location) != partition(source.Location):
		c.refuse("aws.replica", c.at+".location", "choose a region of the same partition as "+source.Location+", or let a logical link fill it",
			"a read replica in %s cannot follow one in %s: they are different partitions of AWS", region.Location, source.Location)
	case near && s.Storage.KMSKey != "":
		c.refuse("aws.replica", c.at+".settings.storage.kmsKey", "leave it out: it is encrypted with the key of region "+strconv.Quote(source.Name), "a read replica in its source's AWS region has no key of its own")
	case !near && s.Storage.KMSKey == "":
		c.refuse("aws.replica", c.at+".settings", "say storage.kmsKey: a key of "+region.Location, "the key that encrypts region %q is not said, and it cannot be that of another AWS region", region.Name)
	}
	if s.Storage.GiB != of.Storage.GiB && says(region, "storage", "gib") && len(sources) == 1 {
		c.refuse("aws.replica", c.at+".settings.storage.gib", "leave it out, or write "+strconv.FormatInt(of.Storage.GiB, 10), "a read replica begins with its source's storage: %d GiB, not %d", of.Storage.GiB, s.Storage.GiB)
	}
	c.siblings(db, region, source)
	if len(sources) > 1 && db.Spec.Engine.Name == EnginePostgres {
		c.cascade(db, region, sources)
	}
}

// siblings refuses more replicas of one source than it can have.
func (c *checker) siblings(db stacks.Database, region, source stacks.Region) {
	n := 0
	for _, r := range db.Spec.Regions {
		if of, follows := sourceIn(db, r); follows && of.Name == source.Name {
			n++
		}
		if r.Name == region.Name {
			break
		}
	}
	if n > mostReplicas {
		c.refuse("aws.replica", c.at, "let it follow one of the other replicas, or leave it out", "region %q has %d read replicas before this one, which is the most", source.Name, mostReplicas)
	}
}

// cascade refuses a replica of a replica that PostgreSQL in RDS cannot have.
func (c *checker) cascade(db stacks.Database, region stacks.Region, sources []stacks.Region) {
	major, err := strconv.Atoi(stacks.Major(db.Spec.Engine.Version))
	locations := map[string]bool{region.Location: true}
	for _, r := range sources {
		locations[r.Location] = true
	}
	switch {
	case err == nil && major < cascades:
		c.refuse("aws.replica", c.at, "let it follow "+strconv.Quote(sources[len(sources)-1].Name), "region %q is a replica itself: replicas of replicas need PostgreSQL %d.1", sources[0].Name, cascades)
	case len(sources) > mostLevels:
		c.refuse("aws.replica", c.at, "let it follow a region nearer to "+strconv.Quote(sources[len(sources)-1].Name), "%d replicas follow one another; the most is %d", len(sources), mostLevels)
	case len(locations) > mostLocations:
		c.refuse("aws.replica", c.at+".location", "let it follow "+strconv.Quote(sources[len(sources)-1].Name)+" itself", "replicas that follow one another are in %d AWS regions with their source; the most is %d", len(locations), mostLocations)
	}
}
