package stacks_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"meridian/stacks"
)

// stored is the effective spec that changes are made to.
func stored() stacks.Database {
	no := false
	return stacks.Database{APIVersion: stacks.APIVersion, Kind: stacks.KindDatabase, Metadata: stacks.Metadata{Namespace: "default", Name: "orders"},
		Spec: stacks.DatabaseSpec{
			Engine:    stacks.Engine{Name: "postgres", Version: "15.4"},
			Databases: []stacks.LogicalDatabase{{Name: "orders", Owner: "app"}, {Name: "audit"}, {Name: "gone", Drop: true}},
			Users:     []stacks.User{{Name: "app"}, {Name: "bob"}, {Name: "left", Drop: true}},
			Regions: []stacks.Region{
				{Name: "ankara", Provider: "local", Location: "local", Role: stacks.RolePrimary},
				{Name: "istanbul", Provider: "local", Location: "local", Role: stacks.RoleReplica},
				{Name: "izmir", Provider: "local", Location: "local", Role: stacks.RoleReplica},
			},
			Replication: stacks.Replication{MaxLag: stacks.DefaultMaxLag, Links: []stacks.Link{
				{From: "ankara", To: "istanbul", Mode: stacks.LinkLogical, Databases: []string{"orders"}},
				{From: "istanbul", To: "izmir", Mode: stacks.LinkLogical, Databases: []string{"orders"}},
			}},
			Deletion: stacks.Deletion{Protect: &no},
		}}
}

func protected(db *stacks.Database) { yes := true; db.Spec.Deletion.Protect = &yes }

func without(region string) func(*stacks.Database) {
	return func(db *stacks.Database) {
		db.Spec.Regions = slices.DeleteFunc(db.Spec.Regions, func(r stacks.Region) bool { return r.Name == region })
		db.Spec.Replication.Links = slices.DeleteFunc(db.Spec.Replication.Links, func(l stacks.Link) bool { return l.From == region || l.To == region })
	}
}

func TestCheckChange(t *testing.T) {
	nothing := func(*stacks.Database) {}
	for name, c := range map[string]struct {
		old, new func(*stacks.Database)
		want     string // severity rule field, in order
	}{
		"nothing":               {nothing, nothing, ""},
		"a parameter":           {protected, func(db *stacks.Database) { db.Spec.Engine.Parameters = map[string]string{"work_mem": "8MB"} }, ""},
		"another minor version": {nothing, func(db *stacks.Database) { db.Spec.Engine.Version = "15.18" }, ""},
		"the major of the same": {nothing, func(db *stacks.Database) { db.Spec.Engine.Version = "15" }, ""},
		"another major version": {nothing, func(db *stacks.Database) { db.Spec.Engine.Version = "16" }, "error engine.major spec.engine.version"},
		"a major that begins alike": {func(db *stacks.Database) { db.Spec.Engine.Version = "1" }, func(db *stacks.Database) { db.Spec.Engine.Version = "15" },
			"error engine.major spec.engine.version"},
		"a major of two parts": {func(db *stacks.Database) { db.Spec.Engine = stacks.Engine{Name: "mysql", Version: "8.0.40"} },
			func(db *stacks.Database) { db.Spec.Engine = stacks.Engine{Name: "mysql", Version: "8.4"} }, "error engine.major spec.engine.version"},
		"a minor after two parts": {func(db *stacks.Database) { db.Spec.Engine = stacks.Engine{Name: "mysql", Version: "8.4"} },
			func(db *stacks.Database) { db.Spec.Engine = stacks.Engine{Name: "mysql", Version: "8.4.3"} }, ""},
		"a new password": {nothing, func(db *stacks.Database) { db.Spec.AdminPasswordVersion = 2 }, ""},
		"an older password": {func(db *stacks.Database) { db.Spec.AdminPasswordVersion = 3 },
			func(db *stacks.Database) { db.Spec.AdminPasswordVersion = 2 }, "error password.version spec.adminPasswordVersion"},
		"the first password again": {func(db *stacks.Database) { db.Spec.AdminPasswordVersion = 2 },
			func(db *stacks.Database) { db.Spec.AdminPasswordVersion = 0 }, "error password.version spec.adminPasswordVersion"},
		"the first password, counted": {nothing, func(db *stacks.Database) { db.Spec.AdminPasswordVersion = 1 }, ""},
		"another engine":              {nothing, func(db *stacks.Database) { db.Spec.Engine = stacks.Engine{Name: "cassandra", Version: "5.0"} }, "error engine.name spec.engine.name"},
		"the topology as it is":       {nothing, func(db *stacks.Database) { db.Spec.Topology = stacks.TopologyRegional }, ""},
		"another topology":            {nothing, func(db *stacks.Database) { db.Spec.Topology = stacks.TopologyGlobal }, "error topology.changed spec.topology"},
		"a region more": {protected, func(db *stacks.Database) {
			db.Spec.Regions = append(db.Spec.Regions, stacks.Region{Name: "bursa", Provider: "local", Role: stacks.RoleReplica})
		}, ""},
		"regions in another order": {protected, func(db *stacks.Database) { slices.Reverse(db.Spec.Regions) }, ""},
		"a region moves, without its links": {nothing, func(db *stacks.Database) {
			db.Spec.Regions[1].Location, db.Spec.AllowReplace, db.Spec.Replication.Links = "there", []string{"istanbul"}, nil
		}, ""},
		"a leaf moves, without any link": {nothing, func(db *stacks.Database) {
			db.Spec.Regions[2].Location, db.Spec.AllowReplace, db.Spec.Replication.Links = "there", []string{"izmir"}, nil
		}, "warning link.unmanaged spec.replication.links"},
		"a leaf goes with its link": {nothing, without("izmir"), ""},
		"another provider":          {nothing, func(db *stacks.Database) { db.Spec.Regions[1].Provider = "aws" }, "error region.moved spec.regions[1].provider"},
		"another location":          {nothing, func(db *stacks.Database) { db.Spec.Regions[0].Location = "there" }, "error region.moved spec.regions[0].location"},
		"another location, allowed": {protected, func(db *stacks.Database) {
			db.Spec.Regions[0].Location, db.Spec.AllowReplace = "there", []string{"ankara"}
		}, ""},
		"another location, allowed elsewhere": {nothing, func(db *stacks.Database) {
			db.Spec.Regions[0].Location, db.Spec.AllowReplace = "there", []string{"izmir"}
		}, "error region.moved spec.regions[0].location"},
		"two moves": {nothing, func(db *stacks.Database) { db.Spec.Regions[1].Provider, db.Spec.Regions[2].Location = "aws", "x" },
			"error region.moved spec.regions[1].provider, error region.moved spec.regions[2].location"},
		"a region less":                    {nothing, without("izmir"), ""},
		"a region less, protected":         {protected, without("izmir"), "error region.protected spec.regions"},
		"a region less, protected by new":  {nothing, func(db *stacks.Database) { without("izmir")(db); protected(db) }, ""},
		"a region less, unprotected alike": {protected, func(db *stacks.Database) { without("izmir")(db); db.Spec.Deletion = stored().Spec.Deletion }, "error region.protected spec.regions"},
		"a region less, allowed to be replaced": {protected, func(db *stacks.Database) { without("izmir")(db); db.Spec.AllowReplace = []string{"izmir"} },
			"error region.protected spec.regions"},
		"protection that is off by default": {func(db *stacks.Database) { db.Spec.Deletion.Protect = nil }, without("izmir"), "error region.protected spec.regions"},
		"the primary gone": {nothing, func(db *stacks.Database) {
			db.Spec.Regions = append(db.Spec.Regions[1:], stacks.Region{Name: "bursa", Provider: "local", Role: stacks.RolePrimary})
			db.Spec.Replication.Links = db.Spec.Replication.Links[1:]
		}, "error region.primary spec.regions"},
		"roles switched": {nothing, func(db *stacks.Database) {
			db.Spec.Regions[0].Role, db.Spec.Regions[1].Role = stacks.RoleReplica, stacks.RolePrimary
		}, "error region.role spec.regions[0].role, error region.role spec.regions[1].role"},
		"protection off": {protected, func(db *stacks.Database) { db.Spec.Deletion = stored().Spec.Deletion }, ""},
		"objects left out": {nothing, func(db *stacks.Database) {
			db.Spec.Databases, db.Spec.Users, db.Spec.Replication.Links = db.Spec.Databases[:1], db.Spec.Users[:1], db.Spec.Replication.Links[:1]
		}, "warning database.unmanaged spec.databases, warning user.unmanaged spec.users, warning link.unmanaged spec.replication.links"},
		"objects dropped": {nothing, func(db *stacks.Database) {
			db.Spec.Databases[1].Drop, db.Spec.Users[1].Drop, db.Spec.Replication.Links[1].Drop = true, true, true
		}, "warning database.dropped spec.databases[1].drop"},
	} {
		t.Run(name, func(t *testing.T) {
			old, next := stored(), stored()
			c.old(&old)
			c.old(&next)
			c.new(&next)
			var got []string
			for _, d := range stacks.CheckChange(old, next, capabilities{}) {
				got = append(got, string(d.Severity)+" "+d.Rule+" "+d.Field)
				if d.Summary == "" || d.Severity == stacks.SeverityError && d.Next == "" {
					t.Errorf("says nothing: %+v", d)
				}
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
}

func TestInherit(t *testing.T) {
	for name, c := range map[string]struct{ engine, given, stored, want string }{
		"left open":              {"postgres", "", "15", "15"},
		"left open after a pin":  {"postgres", "", "15.4", "15"},
		"said":                   {"postgres", "16", "15", "16"},
		"left open, new engine":  {"cassandra", "", "15", ""},
		"left open, never known": {"postgres", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			old, next := stored(), stored()
			old.Spec.Engine.Version, next.Spec.Engine = c.stored, stacks.Engine{Name: c.engine, Version: c.given}
			if got := stacks.Inherit(old, next, capabilities{}).Spec.Engine.Version; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDefaultVersion(t *testing.T) {
	for name, c := range map[string]struct {
		engine, version, want string
		providers             []string
		caps                  stacks.Capabilities
	}{
		"newest major":            {"postgres", "", "18", []string{"local"}, capabilities{}},
		"newest common major":     {"postgres", "", "16", []string{"local", "other", "local"}, capabilities{}},
		"a major stays a major":   {"postgres", "15", "15", []string{"local"}, capabilities{}},
		"an exact one stays":      {"postgres", "15.18", "15.18", []string{"local"}, capabilities{}},
		"said, nobody to ask":     {"postgres", "15", "15", []string{"local"}, nil},
		"not said, nobody to ask": {"postgres", "", "", []string{"local"}, nil},
		"no versions known":       {"cassandra", "", "", []string{"local"}, capabilities{}},
		"a provider that fails":   {"postgres", "", "", []string{"broken"}, capabilities{}},
	} {
		t.Run(name, func(t *testing.T) {
			db := stored()
			db.Spec.Engine, db.Spec.Regions = stacks.Engine{Name: c.engine, Version: c.version}, nil
			for _, p := range c.providers {
				db.Spec.Regions = append(db.Spec.Regions, stacks.Region{Name: "r", Provider: p})
			}
			before := stored()
			before.Spec.Engine, before.Spec.Regions = db.Spec.Engine, slices.Clone(db.Spec.Regions)
			got, err := stacks.Default(t.Context(), db, c.caps)
			if got.Spec.Engine.Version != c.want || (err != nil) != (c.want == "") {
				t.Errorf("got %q (%v), want %q", got.Spec.Engine.Version, err, c.want)
			}
			if !reflect.DeepEqual(db, before) {
				t.Error("the input was changed")
			}
		})
	}
}

func TestRunDigest(t *testing.T) {
	a := []stacks.RegionDigest{{Region: "ankara", Digest: "11"}, {Region: "istanbul", Digest: "22"}}
	b := []stacks.RegionDigest{a[1], a[0]}
	d := stacks.RunDigest(a)
	if len(d) != 64 || d != stacks.RunDigest(b) {
		t.Errorf("the order counts: %s, %s", d, stacks.RunDigest(b))
	}
	if a[0].Region != "ankara" || b[0].Region != "istanbul" {
		t.Error("the input was sorted")
	}
	for name, other := range map[string][]stacks.RegionDigest{
		"another digest":  {a[0], {Region: "istanbul", Digest: "23"}},
		"another region":  {a[0], {Region: "izmir", Digest: "22"}},
		"a region less":   a[:1],
		"digests swapped": {{Region: "ankara", Digest: "22"}, {Region: "istanbul", Digest: "11"}},
		"shifted text":    {{Region: "ankara1", Digest: "1"}, a[1]},
	} {
		if stacks.RunDigest(other) == d {
			t.Errorf("%s gives the same digest", name)
		}
	}
}
