package aws

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

var _ providers.GlobalMaker = (*Provider)(nil)

// auroraModule is the module of a region that is an Aurora cluster; auroraEngine is AWS's word for what runs in it.
const (
	auroraModule = "aws-aurora-postgres"
	auroraEngine = "aurora-postgresql"
)

// Aurora is what a region says that is an Aurora cluster: storage that grows by itself and is kept in three zones, and instances on it.
type Aurora struct {
	// Instances is how many there are: in the primary one writes, and the others read and take over from it. Default: 2 for a primary, 1 for a replica.
	Instances int64 `yaml:"instances"`
	// Serverless lets each instance take as much as it needs between two bounds, instead of a size or class.
	Serverless *Serverless `yaml:"serverless"`
}

// Serverless bounds an instance of Aurora Serverless v2, in ACUs (2 GiB of memory and what goes with it); both in halves.
type Serverless struct {
	Min float64 `yaml:"min" required:"true"`
	Max float64 `yaml:"max" required:"true"`
}

const (
	// serverlessClass is the class of an instance of Serverless v2.
	serverlessClass = "db.serverless"
	// mostInstances is the most that a cluster can have.
	mostInstances = 16
	// mostACUs is the most that an instance of Serverless v2 can have. Source: Amazon Aurora User Guide, "Performance and scaling for Aurora
	// Serverless v2".
	mostACUs = 256
	// mostSecondaries is how many regions a global database can have beside its primary, whose readers are fewer by one for each of them.
	// Source: Amazon Aurora User Guide, "Configuration requirements of an Amazon Aurora global database".
	mostSecondaries = 10
	// longestCluster is how long the name of a cluster may be, so that those of its instances ("NAME-16") have at most 63 characters.
	longestCluster = 60
)

// auroraClasses are the instance classes of the sizes. Burstable ones are none: AWS advises against them for production, and a global
// database cannot have them.
var auroraClasses = map[string]string{"small": "db.r7g.large", "medium": "db.r7g.xlarge", "large": "db.r7g.2xlarge"}

// asAurora fills in what the settings of an Aurora cluster leave out, and refuses those that are an instance's.
func (s *Settings) asAurora(primary bool, path string) []stacks.Diagnostic {
	var ds []stacks.Diagnostic
	refuse := func(field, summary, next string) {
		ds = append(ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: "aws.settings", Field: path + "." + field, Summary: summary, Next: next})
	}
	switch serverless := s.Aurora.Serverless != nil; {
	case serverless && s.Size != "":
		refuse("size", "size and aurora.serverless are both given", "keep one of them")
	case serverless && s.Class != "":
		refuse("class", "class and aurora.serverless are both given", "keep one of them")
	case serverless:
		s.Class = serverlessClass
	case s.Class == serverlessClass:
		refuse("class", "class "+serverlessClass+" has no bounds", "write aurora: {serverless: {min: 0.5, max: 8}} instead")
	case s.Class == "":
		s.Size = cmp.Or(s.Size, "small")
		s.Class = auroraClasses[s.Size]
	}
	if s.MultiAZ != nil {
		refuse("multiAZ", "an Aurora cluster has no multiAZ", "say aurora.instances: with two or more, another zone takes over")
	}
	for field, given := range map[string]bool{
		"gib": s.Storage.GiB != 0, "maxGib": s.Storage.MaxGiB != 0, "iops": s.Storage.IOPS != 0, "throughput": s.Storage.Throughput != 0,
	} {
		if given {
			refuse("storage."+field, "an Aurora cluster has no storage."+field, "leave it out: its storage grows by itself")
		}
	}
	slices.SortFunc(ds, func(a, b stacks.Diagnostic) int { return cmp.Compare(a.Field, b.Field) })
	if s.Aurora.Instances == 0 {
		s.Aurora.Instances = 1
		if primary {
			s.Aurora.Instances = 2
		}
	}
	if s.LogExports == nil {
		s.LogExports = []string{"postgresql"}
	}
	return ds
}

// burstable are the classes that a global database cannot have.
var burstable = regexp.MustCompile(`^db\.t[0-9]`)

// aurora checks what is a cluster's alone.
func (c *checker) aurora(db stacks.Database, region stacks.Region, s Settings) {
	c.within("aurora.instances", s.Aurora.Instances, 1, mostInstances)
	if v := s.Aurora.Serverless; v != nil {
		half := func(n float64) bool { return n*2 == float64(int64(n*2)) }
		if v.Min < 0 || v.Max < 1 || v.Max > mostACUs || v.Min > v.Max || !half(v.Min) || !half(v.Max) {
			c.refuse("aws.settings", c.at+".settings.aurora.serverless", fmt.Sprintf("write halves of ACUs, like {min: 0.5, max: 8}; the most is %d", mostACUs),
				"an instance cannot have from %g to %g ACUs", v.Min, v.Max)
		}
	}
	if s.Storage.Type != "" {
		c.oneOf("storage.type", s.Storage.Type, "aurora", "aurora-iopt1")
	}
	if s.Storage.KMSKey != "" {
		c.shape("storage.kmsKey", s.Storage.KMSKey, "write the key's ARN", keyShape)
	}
	id := stacks.StackID{Namespace: cmp.Or(db.Metadata.Namespace, stacks.DefaultNamespace), Name: db.Metadata.Name, Incarnation: strings.Repeat("x", stacks.IncarnationLen), Region: region.Name}
	if n := len(identifier(id)) - longestCluster; n > 0 {
		c.refuse("name.long", c.at+".name", fmt.Sprintf("shorten it, or the database's name, by %d", n), "the names of the instances of region %q would be too long for AWS", region.Name)
	}
}

// topology checks what the other regions have to do with it.
func (c *checker) topology(db stacks.Database, region stacks.Region, s Settings) {
	if db.Spec.Topology != stacks.TopologyGlobal {
		if of, follows := sourceIn(db, region); follows && (s.Aurora != nil || hasAurora(of)) {
			c.refuse("aws.topology", c.at+".settings", "write spec.topology: global and no link, or let a logical link fill it",
				"an Aurora cluster of PostgreSQL and another region are no physical replicas of each other")
			return
		}
		c.replica(db, region, s)
		return
	}
	primary, _ := db.Region(db.Primary())
	switch {
	case s.Aurora == nil:
		c.refuse("aws.topology", c.at+".settings", "write aurora: {}", "only Aurora can be global, and region %q is an RDS instance", region.Name)
		return
	case burstable.MatchString(s.Class):
		c.refuse("aws.topology", c.at+".settings.class", "use db.r7g.large or larger", "a global database cannot have instances of class %s", s.Class)
	case region.Name != primary.Name && s.Storage.KMSKey == "":
		c.refuse("aws.topology", c.at+".settings", "say storage.kmsKey: a key of "+region.Location, "the key that encrypts region %q is not said, and it cannot be that of another region", region.Name)
	}
	if of, _ := readSettings(primary, ""); region.Name != primary.Name && of.Account != s.Account {
		c.refuse("aws.topology", c.at+".settings.account", "write "+of.Account, "a global database is one account's, and the primary is in %s", of.Account)
	}
	others := len(db.Spec.Regions) - 1
	switch {
	case partition(region.Location) != partition(primary.Location):
		c.refuse("aws.topology", c.at+".location", "choose a region of the same partition as "+primary.Location, "a global database cannot be in %s and in %s: they are different partitions of AWS", primary.Location, region.Location)
	case region.Name == primary.Name && others > mostSecondaries:
		c.refuse("aws.topology", "spec.regions", "leave some out", "the global database has %d regions beside its primary; the most is %d", others, mostSecondaries)
	case region.Name == primary.Name && s.Aurora.Instances > 1 && s.Aurora.Instances-1 > int64(mostInstances-1-others):
		c.refuse("aws.topology", c.at+".settings.aurora.instances", fmt.Sprintf("write at most %d", mostInstances-others), "the primary of a global database with %d other regions can have %d instances, not %d", others, mostInstances-others, s.Aurora.Instances)
	}
	for _, other := range db.Spec.Regions {
		if other.Name == region.Name {
			break
		}
		if other.Location == region.Location {
			c.refuse("aws.topology", c.at+".location", "choose another AWS region", "region %q is in %s already: a global database has one cluster in each AWS region", other.Name, other.Location)
		}
	}
}

// sourceIn is the region that a region of a spec is a physical replica of, be the links written out or not.
func sourceIn(db stacks.Database, region stacks.Region) (stacks.Region, bool) {
	if db.Spec.Replication.Mode == stacks.LinkPhysical && region.Role == stacks.RoleReplica {
		return db.Region(db.Primary())
	}
	for _, l := range db.Spec.Replication.Links {
		if l.To == region.Name && l.Mode == stacks.LinkPhysical && !l.Drop {
			return db.Region(cmp.Or(l.From, db.Primary()))
		}
	}
	return stacks.Region{}, false
}

// hasAurora reports whether a region's settings make it an Aurora cluster.
func hasAurora(region stacks.Region) bool { return region.Settings["aurora"] != nil }

// GlobalMode is physical for PostgreSQL: an Aurora Global Database has one cluster that writes, and the others follow it.
func (*Provider) GlobalMode(engine string) stacks.LinkMode {
	if engine == EnginePostgres {
		return stacks.LinkPhysical
	}
	return ""
}

// globalIdentifier is the name of a database's global cluster, known before it is made: it is unique in the account.
func globalIdentifier(id stacks.StackID) string {
	return strings.Join([]string{id.Namespace, id.Name, id.Incarnation}, "-")
}

// auroraCall makes a region of the module aws-aurora-postgres. Of a global database the primary's stack makes the global cluster; each other
// region's own stack joins it by its name, so that a region that is down keeps no other from being worked on.
func (p *Provider) auroraCall(in providers.ModuleInput, s Settings) stacks.ModuleCall {
	inputs := p.inputs(in, s)
	storage := map[string]any{}
	for name, value := range map[string]string{"kms_key": s.Storage.KMSKey, "type": s.Storage.Type} {
		if value != "" && value != "aurora" { // what AWS itself takes for none
			storage[name] = value
		}
	}
	inputs["storage"], inputs["instances"] = storage, s.Aurora.Instances
	if v := s.Aurora.Serverless; v != nil {
		inputs["serverless"] = map[string]any{"min": v.Min, "max": v.Max}
	}
	call := stacks.ModuleCall{
		Module: auroraModule, Inputs: inputs, Outputs: []string{"host", "reader_host", "port", "admin_user", "arn", "server_version", "instances"},
		Providers: []stacks.ProviderConfig{plugin(in.Region.Location, s)}, DataBearing: []string{clusterType},
		Secrets: map[string]string{"admin_password": in.Database.AdminSecret(in.Region.Name)},
	}
	if in.Placement.Takeover != nil {
		asImported(inputs, in)
		inputs["members"] = membersOf(in)
		call.Secrets = nil
		return call
	}
	if in.Database.Spec.Topology != stacks.TopologyGlobal {
		return call
	}
	primary := in.Region.Name == in.Database.Primary()
	inputs["global"] = map[string]any{"identifier": globalIdentifier(in.Stack), "primary": primary}
	if !primary {
		call.Secrets = nil
		delete(inputs, "admin_password_version")
	}
	return call
}

// auroraLift is what protects a cluster, and what a deletion of it reads from the state.
func auroraLift(call stacks.ModuleCall) providers.Lift {
	call.Inputs = maps.Clone(call.Inputs)
	call.Inputs["deletion_protection"] = false
	return providers.Lift{
		Call: call, Types: []string{clusterType, globalType}, Attributes: []string{"deletion_protection", "final_snapshot_identifier", "skip_final_snapshot"},
	}
}
