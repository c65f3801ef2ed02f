package stacks

import (
	"cmp"
	"fmt"
)

// Dependency is another database that has to be there before this one is made, and stays as long as this one does.
type Dependency struct {
	Namespace string `yaml:"namespace,omitempty" json:"namespace"`
	Name      string `yaml:"name" json:"name"`
}

// String is "namespace/name".
func (d Dependency) String() string { return d.Namespace + "/" + d.Name }

// OutputRef names one output of one region of another database.
type OutputRef struct {
	Dependency
	Region string `json:"region"`
	Output string `json:"output"`
}

// String is "namespace/name/region/output".
func (r OutputRef) String() string { return r.Dependency.String() + "/" + r.Region + "/" + r.Output }

// DependsOn reports whether a database says that it depends on another.
func (d Database) DependsOn(other Dependency) bool {
	for _, o := range d.Spec.DependsOn {
		o.Namespace = cmp.Or(o.Namespace, d.Metadata.Namespace, DefaultNamespace)
		if o == other {
			return true
		}
	}
	return false
}

// maxDependencies bounds what one database depends on.
const maxDependencies = 64

func (c *checker) dependencies() {
	m := c.db.Metadata
	seen := map[string]string{}
	if n := len(c.db.Spec.DependsOn); n > maxDependencies {
		c.refuse("depends.many", "spec.dependsOn", "", "there are %d dependencies; at most %d are allowed", n, maxDependencies)
		return
	}
	for i, d := range c.db.Spec.DependsOn {
		path := fmt.Sprintf("spec.dependsOn[%d]", i)
		if c.missing(path+".name", d.Name, "name the database that has to be there before") || !c.label("name", path+".name", d.Name, MaxName) {
			continue
		}
		if d.Namespace != "" && !c.label("namespace", path+".namespace", d.Namespace, MaxNamespace) {
			continue
		}
		d.Namespace = cmp.Or(d.Namespace, m.Namespace)
		if d.Namespace == m.Namespace && d.Name == m.Name {
			c.refuse("depends.self", path+".name", "take it out", "the database depends on itself")
			continue
		}
		c.unique(seen, "dependency", d.String(), path+".name")
	}
}

// noDatabase refuses, for an engine that is no database, all that only a database has.
func (c *checker) noDatabase() {
	spec := c.db.Spec
	for _, has := range []struct {
		some bool
		path string
	}{
		{spec.Engine.Version != "", "spec.engine.version"}, {len(spec.Engine.Parameters) > 0, "spec.engine.parameters"},
		{len(spec.Databases) > 0, "spec.databases"}, {len(spec.Users) > 0, "spec.users"},
		{len(spec.Replication.Links) > 0 || spec.Replication.Mode != "", "spec.replication"},
	} {
		if has.some {
			c.refuse("engine.none", has.path, "leave it out, or name an engine", "engine %s is no database, so it has no %s", spec.Engine.Name, has.path[len("spec."):])
		}
	}
}
