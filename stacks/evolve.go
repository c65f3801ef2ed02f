package stacks

import (
	"cmp"
	"fmt"
	"slices"
)

// CheckChange compares two effective specs of one database. Errors refuse the change; warnings tell what is kept, unmanaged, or dropped.
// Each diagnostic carries the Field of the new spec that it is about; Loaded.Locate finds its place in the text.
func CheckChange(old, new Database, caps Capabilities) []Diagnostic {
	var ds []Diagnostic
	add := func(severity Severity, rule, path, summary, detail, next string) {
		ds = append(ds, Diagnostic{Severity: severity, Rule: rule, Field: path, Summary: summary, Detail: detail, Next: next})
	}
	for _, d := range slices.Concat(changedEngine(old, new, caps), changedTopology(old, new), changedPassword(old, new), changedRegions(old, new), changedSources(old, new)) {
		add(SeverityError, d.Rule, d.Field, d.Summary, d.Detail, d.Next)
	}
	for _, d := range slices.Concat(leftOut(old, new), droppedNow(old, new)) {
		add(SeverityWarning, d.Rule, d.Field, d.Summary, d.Detail, d.Next)
	}
	return ds
}

func changedEngine(old, new Database, caps Capabilities) []Diagnostic {
	was, is := old.Spec.Engine, new.Spec.Engine
	from, to := caps.MajorVersion(was.Name, was.Version), caps.MajorVersion(is.Name, is.Version)
	switch {
	case was.Name != is.Name:
		return []Diagnostic{{Rule: "engine.name", Field: "spec.engine.name", Summary: fmt.Sprintf("the engine cannot change from %s to %s", was.Name, is.Name),
			Next: "create another database and move the data"}}
	case from != to:
		return []Diagnostic{{Rule: "engine.major", Field: "spec.engine.version",
			Summary: fmt.Sprintf("the major version cannot change from %s to %s in place", from, to),
			Next:    fmt.Sprintf("write version: %q, or create another database of the new version and move the data", from)}}
	}
	return nil
}

// changedPassword refuses to count back: it would set an older password again.
func changedPassword(old, new Database) []Diagnostic {
	was, is := old.PasswordVersion(), new.PasswordVersion()
	if is >= was {
		return nil
	}
	return []Diagnostic{{Rule: "password.version", Field: "spec.adminPasswordVersion", Summary: fmt.Sprintf("the version of the administrators' passwords cannot go back from %d to %d", was, is),
		Next: fmt.Sprintf("write adminPasswordVersion: %d, or %d for new passwords", was, was+1)}}
}

// changedTopology refuses to make one database of several, or several of one.
func changedTopology(old, new Database) []Diagnostic {
	was, is := cmp.Or(old.Spec.Topology, TopologyRegional), cmp.Or(new.Spec.Topology, TopologyRegional)
	if was == is {
		return nil
	}
	return []Diagnostic{{Rule: "topology.changed", Field: "spec.topology", Summary: fmt.Sprintf("the topology cannot change from %s to %s", was, is),
		Next: "write topology: " + string(was) + ", or create another database and move the data"}}
}

func changedRegions(old, new Database) []Diagnostic {
	var ds []Diagnostic
	for _, was := range old.Spec.Regions {
		i := slices.IndexFunc(new.Spec.Regions, func(r Region) bool { return r.Name == was.Name })
		if i < 0 {
			ds = append(ds, removedRegion(old, was)...)
			continue
		}
		is, path := new.Spec.Regions[i], fmt.Sprintf("spec.regions[%d]", i)
		if was.Role != is.Role {
			ds = append(ds, Diagnostic{Rule: "region.role", Field: path + ".role", Summary: fmt.Sprintf("region %q is the %s and cannot become the %s", was.Name, was.Role, is.Role),
				Detail: "switching the primary over is not supported yet", Next: fmt.Sprintf("write role: %s", was.Role)})
		}
		field, from, to := "provider", was.Provider, is.Provider
		if from == to {
			field, from, to = "location", was.Location, is.Location
		}
		if from != to && !new.ReplaceAllowed(was.Name) {
			ds = append(ds, Diagnostic{Rule: "region.moved", Field: path + "." + field, Summary: fmt.Sprintf("region %q would move from %s %q to %q", was.Name, field, from, to),
				Detail: "moving a region destroys its data", Next: fmt.Sprintf("write %s: %s, or allow the loss for once with spec.allowReplace: [%s]", field, from, was.Name)})
		}
	}
	return ds
}

// changedSources refuses a region that becomes a physical replica, of another region, or of none: each of these is another database.
func changedSources(old, new Database) []Diagnostic {
	var ds []Diagnostic
	for i, r := range new.Spec.Regions {
		if _, there := old.Region(r.Name); !there || new.ReplaceAllowed(r.Name) {
			continue
		}
		was, _ := old.PhysicalSource(r.Name)
		is, _ := new.PhysicalSource(r.Name)
		if was.Name == is.Name {
			continue
		}
		summary := fmt.Sprintf("region %q cannot become a physical replica of %q", r.Name, is.Name)
		if is.Name == "" {
			summary = fmt.Sprintf("region %q is a physical replica of %q and cannot become a database of its own", r.Name, was.Name)
		}
		ds = append(ds, Diagnostic{Rule: "region.source", Field: fmt.Sprintf("spec.regions[%d]", i), Summary: summary,
			Next: fmt.Sprintf("put the link back as it was, or allow the loss of the region's data for once with spec.allowReplace: [%s]", r.Name)})
	}
	return ds
}

// removedRegion says why a region may not go. The protection that counts is that of the stored spec: switching it off and removing a
// region in one change would make it no protection.
func removedRegion(old Database, was Region) []Diagnostic {
	switch {
	case old.Spec.Deletion.Protected():
		return []Diagnostic{{Rule: "region.protected", Field: "spec.regions", Summary: fmt.Sprintf("region %q is gone from the spec, and the database is protected", was.Name),
			Detail: "removing a region destroys its data", Next: "put the region back, or first apply deletion: {protect: false}"}}
	case was.Role == RolePrimary:
		return []Diagnostic{{Rule: "region.primary", Field: "spec.regions", Summary: fmt.Sprintf("the primary region %q is gone from the spec", was.Name),
			Detail: "removing the primary destroys the data", Next: "put the region back, or destroy the database"}}
	}
	return nil
}

// leftOut tells what the new spec no longer lists: it is kept.
func leftOut(old, new Database) []Diagnostic {
	var ds []Diagnostic
	kept := func(rule, path, what, name string) {
		ds = append(ds, Diagnostic{Rule: rule, Field: path, Summary: fmt.Sprintf("%s %q is no longer in the spec", what, name),
			Detail: "it is kept, unmanaged", Next: "to remove it, list it with drop: true"})
	}
	for _, d := range old.Spec.Databases {
		if !d.Drop && !slices.ContainsFunc(new.Spec.Databases, func(o LogicalDatabase) bool { return o.Name == d.Name }) {
			kept("database.unmanaged", "spec.databases", "database", d.Name)
		}
	}
	for _, u := range old.Spec.Users {
		if !u.Drop && !slices.ContainsFunc(new.Spec.Users, func(o User) bool { return o.Name == u.Name }) {
			kept("user.unmanaged", "spec.users", "user", u.Name)
		}
	}
	cut := linksCut(old, new)
	for _, l := range old.Spec.Replication.Links {
		byName := func(o Link) bool { return o.Name() == l.Name() }
		if !l.Drop && !slices.ContainsFunc(new.Spec.Replication.Links, byName) && !slices.ContainsFunc(cut, byName) {
			kept("link.unmanaged", "spec.replication.links", "link", l.Name())
		}
	}
	return ds
}

// droppedNow tells what will be dropped with its data.
func droppedNow(old, new Database) []Diagnostic {
	var ds []Diagnostic
	for i, d := range new.Spec.Databases {
		if d.Drop && slices.ContainsFunc(old.Spec.Databases, func(o LogicalDatabase) bool { return o.Name == d.Name && !o.Drop }) {
			ds = append(ds, Diagnostic{Rule: "database.dropped", Field: fmt.Sprintf("spec.databases[%d].drop", i),
				Summary: fmt.Sprintf("database %q will be dropped with its data, in every region", d.Name)})
		}
	}
	return ds
}

// ReplaceAllowed reports whether the spec allows the loss of a region's data in its next run.
func (d Database) ReplaceAllowed(region string) bool {
	return slices.Contains(d.Spec.AllowReplace, region)
}

// linksCut lists the links of old that go because new has no longer both of their regions, or one of them moves. A link of a moved region is
// made anew afterwards where new still wants it.
func linksCut(old, new Database) []Link {
	stays := func(region string) bool {
		was, _ := old.Region(region)
		is, ok := new.Region(region)
		return ok && was.Provider == is.Provider && was.Location == is.Location
	}
	var out []Link
	for _, l := range old.Spec.Replication.Links {
		if !l.Drop && (!stays(l.From) || !stays(l.To)) {
			out = append(out, l)
		}
	}
	return out
}
