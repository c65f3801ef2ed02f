package cassandra

import (
	"context"
	"fmt"

	"meridian/stacks"
)

// maxKeyspace is the length of a keyspace's name.
const maxKeyspace = 48

// ReservedNames are Cassandra's own keyspaces, the superuser that everybody knows, and the name by which Astra knows a token.
func (Engine) ReservedNames() stacks.Reserved {
	return stacks.Reserved{Databases: []string{"system"}, Users: []string{"cassandra", "token"}, Prefixes: []string{"system_"}}
}

// ValidateDatabase checks keyspaces and links: every replica is a data centre of the primary's cluster, and has one link from it.
func (Engine) ValidateDatabase(_ context.Context, db stacks.Database) []stacks.Diagnostic {
	var ds []stacks.Diagnostic
	refuse := func(rule, field, next, format string, args ...any) {
		ds = append(ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: rule, Field: field, Next: next, Summary: fmt.Sprintf(format, args...)})
	}
	for i, d := range db.Spec.Databases {
		field := fmt.Sprintf("spec.databases[%d].name", i)
		if len(d.Name) > maxKeyspace {
			refuse("name.long", field, fmt.Sprintf("shorten it by %d", len(d.Name)-maxKeyspace), "keyspace %q has %d characters; at most %d are allowed", d.Name, len(d.Name), maxKeyspace)
		}
	}
	rep := db.Spec.Replication
	linked := map[string]bool{}
	for i, l := range rep.Links {
		field := fmt.Sprintf("spec.replication.links[%d]", i)
		if l.Drop {
			refuse("link.drop", field+".drop", "remove the region from the spec: its link goes with it", "a data centre does not stay without its link")
		}
		if l.From != "" && l.From != db.Primary() {
			refuse("link.primary", field+".from", "leave it out: data centres join the primary's cluster", "the link comes from %q, which is not the primary", l.From)
		}
		linked[l.To] = true
	}
	if rep.Mode != "" && len(rep.Links) == 0 {
		return ds
	}
	for i, r := range db.Spec.Regions {
		if r.Role == stacks.RoleReplica && !linked[r.Name] {
			refuse("link.missing", fmt.Sprintf("spec.regions[%d]", i), "write replication: {mode: datacenter}, or a link to it", "region %q has no link: it would be no data centre of the cluster", r.Name)
		}
	}
	return ds
}
