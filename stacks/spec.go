package stacks

// APIVersion is the only version of the spec's shape.
const APIVersion = "meridian/v1"

// KindDatabase is the kind of a spec that describes one database in one or more regions.
const KindDatabase = "Database"

// DefaultNamespace is where a database lives unless its spec says otherwise.
const DefaultNamespace = "default"

// Database is one spec document of kind Database. After Default it is an effective spec: nothing in it is left to guess.
type Database struct {
	APIVersion string       `yaml:"apiVersion" json:"apiVersion"`
	Kind       string       `yaml:"kind" json:"kind"`
	Metadata   Metadata     `yaml:"metadata" json:"metadata"`
	Spec       DatabaseSpec `yaml:"spec" json:"spec"`
}

// Metadata names a database. Namespace and Name are DNS labels and never change.
type Metadata struct {
	Namespace string            `yaml:"namespace,omitempty" json:"namespace"`
	Name      string            `yaml:"name" json:"name"`
	Labels    map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
}

// DatabaseSpec is what a user wants of a database.
type DatabaseSpec struct {
	Engine    Engine            `yaml:"engine" json:"engine"`
	Databases []LogicalDatabase `yaml:"databases,omitempty" json:"databases,omitempty"`
	Users     []User            `yaml:"users,omitempty" json:"users,omitempty"`
	Regions   []Region          `yaml:"regions" json:"regions"`
	// Topology says how the regions are one database; empty is TopologyRegional.
	Topology    Topology    `yaml:"topology,omitempty" json:"topology,omitempty"`
	Replication Replication `yaml:"replication,omitempty" json:"replication,omitzero"`
	Deletion    Deletion    `yaml:"deletion,omitempty" json:"deletion,omitzero"`
	Drift       Drift       `yaml:"drift,omitempty" json:"drift,omitzero"`
	// DependsOn lists the databases that have to be there before this one, and stay while it does.
	DependsOn []Dependency `yaml:"dependsOn,omitempty" json:"dependsOn,omitempty"`
	// AdminPasswordVersion counts the changes of the administrators' passwords: each higher number gives every region's administrator a new one. Not
	// said is 1.
	AdminPasswordVersion int64 `yaml:"adminPasswordVersion,omitempty" json:"adminPasswordVersion,omitempty"`
	// AllowReplace names the regions whose data may be lost by a move or a replacement in the next run; it is cleared once used.
	AllowReplace []string `yaml:"allowReplace,omitempty" json:"allowReplace,omitempty"`
}

// Engine is a database technology. Version "15" means the newest 15.x that the provider can run, "15.4" exactly that;
// empty means the newest major that the provider can run here, and is filled in by Default. an engine that is no database has no version.
type Engine struct {
	Name       string            `yaml:"name" json:"name"`
	Version    string            `yaml:"version,omitempty" json:"version,omitempty"`
	Parameters map[string]string `yaml:"parameters,omitempty" json:"parameters,omitempty"`
}

// LogicalDatabase is a database inside the engine. Drop removes it with its data; leaving it out of the spec keeps it, unmanaged.
type LogicalDatabase struct {
	Name  string `yaml:"name" json:"name"`
	Owner string `yaml:"owner,omitempty" json:"owner,omitempty"`
	Drop  bool   `yaml:"drop,omitempty" json:"drop,omitempty"`
}

// User is a login role of the engine; its password is made once and kept in the keyring's custody, never in the spec.
type User struct {
	Name string `yaml:"name" json:"name"`
	Drop bool   `yaml:"drop,omitempty" json:"drop,omitempty"`
}

// Role says what a region does.
type Role string

// The roles of a region. Each database has exactly one primary.
const (
	RolePrimary Role = "primary"
	RoleReplica Role = "replica"
)

// Region is one place of a database. Name is chosen by the user, never changes and is never a cloud's region name; Location is
// the provider's word for the place (a cloud's region) and defaults to the provider's name.
type Region struct {
	Name     string `yaml:"name" json:"name"`
	Provider string `yaml:"provider" json:"provider"`
	Location string `yaml:"location,omitempty" json:"location,omitempty"`
	Role     Role   `yaml:"role" json:"role"`
	// Settings are the provider's own: DecodeSettings reads them.
	Settings Settings `yaml:"settings,omitempty" json:"settings,omitempty"`
}

// Topology says how the regions of a database are one.
type Topology string

// The topologies.
const (
	// TopologyRegional makes each region a database that its own stack holds whole; links replicate between them.
	TopologyRegional Topology = "regional"
	// TopologyGlobal makes the regions one database that their provider itself replicates. Links from the primary to each replica, of the mode
	// that the provider has for that, are made by Default; they are proven, and never made.
	TopologyGlobal Topology = "global"
)

// Topologies are all of them.
var Topologies = []Topology{TopologyRegional, TopologyGlobal}

// LinkMode says how a link replicates.
type LinkMode string

// The modes of a link.
const (
	// LinkLogical replicates rows by the engine's logical replication.
	LinkLogical LinkMode = "logical"
	// LinkPhysical makes the target's database as a replica of the whole source; the provider makes it, after its source is ready.
	LinkPhysical LinkMode = "physical"
	// LinkDatacenter makes the target a further data centre of the source's cluster, which its databases then span: rows go both ways.
	LinkDatacenter LinkMode = "datacenter"
)

// LinkModes are all modes; which of them a link can have, its engine and its providers say.
var LinkModes = []LinkMode{LinkLogical, LinkPhysical, LinkDatacenter}

// Joins reports whether a link of this mode makes its target a part of its source: the target is made only once the source is ready.
func (m LinkMode) Joins() bool { return m == LinkPhysical || m == LinkDatacenter }

// Replication says what flows between the regions. Mode and Databases without Links are short for one link from the primary
// to each replica; Default expands them into Links and clears them.
type Replication struct {
	MaxLag    Duration `yaml:"maxLag,omitempty" json:"maxLag,omitzero"`
	Links     []Link   `yaml:"links,omitempty" json:"links,omitempty"`
	Mode      LinkMode `yaml:"mode,omitempty" json:"mode,omitempty"`
	Databases []string `yaml:"databases,omitempty" json:"databases,omitempty"`
}

// Link replicates databases from one region to another. From defaults to the primary; an empty Databases means all that are
// listed in the spec. Its identity is its name, LinkName(From, To).
type Link struct {
	From      string   `yaml:"from,omitempty" json:"from"`
	To        string   `yaml:"to" json:"to"`
	Mode      LinkMode `yaml:"mode" json:"mode"`
	Databases []string `yaml:"databases,omitempty" json:"databases"`
	Drop      bool     `yaml:"drop,omitempty" json:"drop,omitempty"`
}

// Name is the link's identity within its database: "from-to".
func (l Link) Name() string { return l.From + "-" + l.To }

// Deletion guards a database. Protect is true unless the spec says false.
type Deletion struct {
	Protect *bool `yaml:"protect,omitempty" json:"protect,omitempty"`
}

// Protected reports whether the database and its regions may not be removed.
func (d Deletion) Protected() bool { return d.Protect == nil || *d.Protect }

// Region returns the region of that name.
func (d Database) Region(name string) (Region, bool) {
	for _, r := range d.Spec.Regions {
		if r.Name == name {
			return r, true
		}
	}
	return Region{}, false
}

// PhysicalSource returns the region that a region is a physical replica of, if it is one.
func (d Database) PhysicalSource(region string) (Region, bool) {
	for _, l := range d.Spec.Replication.Links {
		if l.To == region && l.Mode == LinkPhysical && !l.Drop {
			return d.Region(l.From)
		}
	}
	return Region{}, false
}

// JoinsRegion returns the region whose database a region joins, if it joins one.
func (d Database) JoinsRegion(region string) (string, bool) {
	if after := d.MadeAfter(region); len(after) > 0 {
		return after[0], true
	}
	return "", false
}

// MadeAfter lists the regions that have to be ready before a region is made, because it joins them.
func (d Database) MadeAfter(region string) []string {
	var out []string
	for _, l := range d.Spec.Replication.Links {
		if l.To == region && l.Mode.Joins() && !l.Drop {
			out = append(out, l.From)
		}
	}
	return out
}

// Primary returns the name of the primary region, or "" where validation has not passed.
func (d Database) Primary() string {
	for _, r := range d.Spec.Regions {
		if r.Role == RolePrimary {
			return r.Name
		}
	}
	return ""
}
