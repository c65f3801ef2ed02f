package activities

import (
	"context"
	"errors"
	"slices"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// drops lists what a run removes inside of the servers, beside terraform: what its spec drops and no finished run is known to have dropped.
func (a *Activities) drops(ctx context.Context, run catalog.Run, spec stacks.Database) ([]stacks.Change, error) {
	if run.Kind == stacks.RunDestroy {
		return nil, nil
	}
	db, err := a.Catalog.Incarnation(ctx, run.Incarnation)
	if errors.Is(err, catalog.ErrNotFound) { // a check of a database that does not exist
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var since []stacks.Database // the spec that was applied last, and those after it that may have made it again
	for n := db.Applied; n > 0 && (n < run.Revision || n == db.Applied); n++ {
		rev, err := a.Catalog.Revision(ctx, run.Incarnation, n)
		if err == nil && !rev.Draft {
			since = append(since, rev.Effective)
		} else if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return nil, err
		}
	}
	return dropsNow(spec, since, db.Unmanaged), nil
}

// dropsNow lists the drops of a spec, without those that are done: every spec since the last finished run says them too, and nothing of
// that name was found. It is pure.
func dropsNow(spec stacks.Database, since []stacks.Database, unmanaged []string) []stacks.Change {
	var out []stacks.Change
	add := func(kind, name string, data bool, dropped func(stacks.Database) bool) {
		address := kind + " " + name
		still := func(db stacks.Database) bool { return !dropped(db) }
		if len(since) == 0 || slices.ContainsFunc(since, still) || slices.Contains(unmanaged, address) {
			out = append(out, stacks.Change{Address: address, Type: kind, Action: stacks.ActionDelete, DataBearing: data, Reason: "drop: true"})
		}
	}
	for _, d := range spec.Spec.Databases {
		if d.Drop {
			add("database", d.Name, true, func(db stacks.Database) bool { return slices.Contains(db.Spec.Databases, d) })
		}
	}
	for _, u := range spec.Spec.Users {
		if u.Drop {
			add("user", u.Name, false, func(db stacks.Database) bool { return slices.Contains(db.Spec.Users, u) })
		}
	}
	return out
}

// mayGo leaves out the databases that a spec drops and nobody was asked about: what came there after an earlier run dropped that name is
// found, kept and reported, and the next plan asks.
func mayGo(run catalog.Run, all []stacks.LogicalDatabase) []stacks.LogicalDatabase {
	asked := func(name string) bool {
		return slices.ContainsFunc(run.Drops, func(c stacks.Change) bool { return c.Type == "database" && c.Address == "database "+name })
	}
	return slices.DeleteFunc(slices.Clone(all), func(d stacks.LogicalDatabase) bool { return d.Drop && !asked(d.Name) })
}
