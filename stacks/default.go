package stacks

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultMaxLag is the lag that a link may have unless its spec says otherwise.
const DefaultMaxLag = Duration(30 * time.Second)

// Inherit returns db with what it leaves open and the database's effective spec has decided before: the engine's major version.
// Without it, a new major on this machine would change a database whose spec did not change. Call it before Default.
func Inherit(effective, db Database, caps Capabilities) Database {
	if db.Spec.Engine.Version == "" && db.Spec.Engine.Name == effective.Spec.Engine.Name {
		db.Spec.Engine.Version = caps.MajorVersion(effective.Spec.Engine.Name, effective.Spec.Engine.Version)
	}
	return db
}

// Default returns the effective spec: nothing in it is left to guess. db has passed Validate; it is not changed.
// Regions, databases and users keep the document's order, because the first of them is what `connect` takes; links are in order of name.
// Default of an effective spec is that spec.
func Default(ctx context.Context, db Database, caps Capabilities) (Database, error) {
	out := db
	out.APIVersion, out.Kind = APIVersion, KindDatabase
	out.Metadata.Namespace = cmp.Or(db.Metadata.Namespace, DefaultNamespace)
	out.Metadata.Labels = cloneMap(db.Metadata.Labels)
	spec := &out.Spec
	spec.Engine.Parameters = cloneMap(spec.Engine.Parameters)
	spec.Databases, spec.Users = cloneSlice(spec.Databases), cloneSlice(spec.Users)
	spec.Regions = cloneSlice(spec.Regions)
	for i := range spec.Regions {
		spec.Regions[i].Location = cmp.Or(spec.Regions[i].Location, spec.Regions[i].Provider)
	}
	spec.AllowReplace = sortedSet(spec.AllowReplace)
	spec.DependsOn = cloneSlice(spec.DependsOn)
	for i := range spec.DependsOn {
		spec.DependsOn[i].Namespace = cmp.Or(spec.DependsOn[i].Namespace, out.Metadata.Namespace)
	}
	protect := spec.Deletion.Protected()
	spec.Deletion.Protect = &protect
	spec.Topology = cmp.Or(spec.Topology, TopologyRegional)
	spec.Replication = defaultReplication(out, caps)
	if spec.Engine.Version == "" && (caps == nil || caps.HasDatabase(spec.Engine.Name)) {
		major, err := newestMajor(ctx, out, caps)
		if err != nil {
			return Database{}, fmt.Errorf("engine version of %s/%s: %w", out.Metadata.Namespace, out.Metadata.Name, err)
		}
		spec.Engine.Version = major
	}
	return out, nil
}

// defaultReplication expands the shorthand and fills in each link. The links of topology global are its provider's.
func defaultReplication(db Database, caps Capabilities) Replication {
	in := db.Spec.Replication
	if db.Spec.Topology == TopologyGlobal {
		in = Replication{MaxLag: in.MaxLag, Mode: globalMode(db, caps)}
	}
	out := Replication{MaxLag: cmp.Or(in.MaxLag, DefaultMaxLag)}
	links := slices.Clone(in.Links)
	if in.Mode != "" && len(links) == 0 {
		for _, r := range db.Spec.Regions {
			if r.Role == RoleReplica {
				links = append(links, Link{To: r.Name, Mode: in.Mode, Databases: in.Databases})
			}
		}
	}
	for _, l := range links {
		l.From = cmp.Or(l.From, db.Primary())
		l.Mode = cmp.Or(l.Mode, LinkLogical) // only a link that is to be dropped may leave it out
		l.Databases = sortedSet(db.linked(l))
		if l.Mode == LinkPhysical {
			l.Databases = nil // it carries the whole server
		}
		out.Links = append(out.Links, l)
	}
	slices.SortFunc(out.Links, func(a, b Link) int { return cmp.Compare(a.Name(), b.Name()) })
	return out
}

// globalMode is the mode of the links of topology global, "" where the provider of the regions does not make one database of them.
func globalMode(db Database, caps Capabilities) LinkMode {
	ps := providersOf(db)
	if caps == nil || len(ps) != 1 {
		return ""
	}
	return caps.GlobalMode(db.Spec.Engine.Name, ps[0])
}

// newestMajor is the newest major version of the engine that all providers of the database can run here.
func newestMajor(ctx context.Context, db Database, caps Capabilities) (string, error) {
	engine := db.Spec.Engine.Name
	var common []string
	told := false
	for _, provider := range providersOf(db) {
		if caps == nil {
			return "", fmt.Errorf("nobody says which versions of %s there are: say spec.engine.version", engine)
		}
		versions, err := caps.EngineVersions(ctx, provider, engine)
		if err != nil {
			return "", fmt.Errorf("provider %s: %w", provider, err)
		}
		if len(versions) == 0 {
			continue // it does not say, so it refuses none
		}
		var majors []string
		for _, v := range versions {
			majors = append(majors, caps.MajorVersion(engine, v))
		}
		if !told {
			common, told = majors, true
		}
		common = slices.DeleteFunc(slices.Clone(common), func(m string) bool { return !slices.Contains(majors, m) })
	}
	if !told {
		return "", fmt.Errorf("%s does not say which versions of %s it can run: say spec.engine.version", strings.Join(providersOf(db), " and "), engine)
	}
	if len(common) == 0 {
		return "", fmt.Errorf("there is no major version of %s that %s can run here", engine, strings.Join(providersOf(db), " and "))
	}
	return slices.MaxFunc(common, compareMajors), nil
}

// providersOf lists the providers of a database's regions, each once, in order of region.
func providersOf(db Database) []string {
	var out []string
	for _, r := range db.Spec.Regions {
		if !slices.Contains(out, r.Provider) {
			out = append(out, r.Provider)
		}
	}
	return out
}

// compareMajors compares versions part by part, as numbers where they are.
func compareMajors(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX != nil || errY != nil {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(x, y)
	})
}

// cloneMap, cloneSlice and sortedSet make nothing of an empty value, so that an effective spec survives its JSON.
func cloneMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

func cloneSlice[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

func sortedSet(s []string) []string {
	return cloneSlice(slices.Compact(slices.Sorted(slices.Values(s))))
}
