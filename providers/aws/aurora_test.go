package aws

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
	"meridian/stacks"
)

// TestAuroraSettings holds what is a cluster's, what is an instance's, and what a global database cannot have.
func TestAuroraSettings(t *testing.T) {
	t.Parallel()
	set := func(path string, v any) func(*providers.ModuleInput) {
		return func(in *providers.ModuleInput) {
			in.Region.Settings[path] = v
			in.Database.Spec.Regions[0] = in.Region
		}
	}
	secondary := func(change func(*stacks.Region)) func(*providers.ModuleInput) {
		return func(in *providers.ModuleInput) {
			change(&in.Database.Spec.Regions[1])
			in.Region = in.Database.Spec.Regions[1]
		}
	}
	for name, c := range map[string]struct {
		change      []func(*providers.ModuleInput)
		rule, field string
	}{
		"a cluster":              {[]func(*providers.ModuleInput){withAurora}, "", ""},
		"two instances":          {[]func(*providers.ModuleInput){withAurora, set("aurora", map[string]any{"instances": 2.0})}, "", ""},
		"serverless":             {[]func(*providers.ModuleInput){withAurora, set("aurora", map[string]any{"serverless": map[string]any{"min": 0.5, "max": 8.0}})}, "", ""},
		"serverless backwards":   {[]func(*providers.ModuleInput){withAurora, set("aurora", map[string]any{"serverless": map[string]any{"min": 9.0, "max": 8.0}})}, "aws.settings", "aurora.serverless"},
		"serverless in thirds":   {[]func(*providers.ModuleInput){withAurora, set("aurora", map[string]any{"serverless": map[string]any{"min": 0.3, "max": 8.0}})}, "aws.settings", "aurora.serverless"},
		"serverless and a size":  {[]func(*providers.ModuleInput){withAurora, set("aurora", map[string]any{"serverless": map[string]any{"min": 0.5, "max": 8.0}}), set("size", "small")}, "aws.settings", "size"},
		"serverless and a class": {[]func(*providers.ModuleInput){withAurora, set("aurora", map[string]any{"serverless": map[string]any{"min": 0.5, "max": 8.0}}), set("class", "db.r7g.large")}, "aws.settings", "class"},
		"serverless by class":    {[]func(*providers.ModuleInput){withAurora, set("class", "db.serverless")}, "aws.settings", "class"},
		"too many instances":     {[]func(*providers.ModuleInput){withAurora, set("aurora", map[string]any{"instances": 17.0})}, "aws.settings", "aurora.instances"},
		"a size":                 {[]func(*providers.ModuleInput){withAurora, set("size", "large")}, "", ""},
		"no such size":           {[]func(*providers.ModuleInput){withAurora, set("size", "huge")}, "aws.settings", "size"},
		"multi-AZ":               {[]func(*providers.ModuleInput){withAurora, set("multiAZ", true)}, "aws.settings", "multiAZ"},
		"gibibytes":              {[]func(*providers.ModuleInput){withAurora, set("storage", map[string]any{"gib": 20.0})}, "aws.settings", "storage.gib"},
		"an instance's storage":  {[]func(*providers.ModuleInput){withAurora, set("storage", map[string]any{"type": "gp3"})}, "aws.settings", "storage.type"},
		"I/O-optimized":          {[]func(*providers.ModuleInput){withAurora, set("storage", map[string]any{"type": "aurora-iopt1"})}, "", ""},
		"an instance's log":      {[]func(*providers.ModuleInput){withAurora, set("logExports", []any{"upgrade"})}, "aws.settings", "logExports[0]"},
		"no backups":             {[]func(*providers.ModuleInput){withAurora, set("backup", map[string]any{"retention": 0.0})}, "aws.settings", "backup.retention"},
		"a replica of an instance": {[]func(*providers.ModuleInput){global, func(in *providers.ModuleInput) {
			in.Database.Spec.Topology = ""
		}, secondary(func(*stacks.Region) {})}, "aws.topology", ""},
		"global":                  {[]func(*providers.ModuleInput){global}, "", ""},
		"a second region":         {[]func(*providers.ModuleInput){global, secondary(func(*stacks.Region) {})}, "", ""},
		"a global instance":       {[]func(*providers.ModuleInput){global, secondary(func(r *stacks.Region) { delete(r.Settings, "aurora") })}, "aws.topology", ""},
		"too many readers":        {[]func(*providers.ModuleInput){global, set("aurora", map[string]any{"instances": 16.0})}, "aws.topology", "aurora.instances"},
		"as many as there may be": {[]func(*providers.ModuleInput){global, set("aurora", map[string]any{"instances": 15.0})}, "", ""},
		"a key of elsewhere":      {[]func(*providers.ModuleInput){withAurora, set("storage", map[string]any{"kmsKey": "arn:aws:kms:us-east-1:123456789012:key/1"})}, "aws.settings", "storage.kmsKey"},
		"a burstable class":       {[]func(*providers.ModuleInput){global, set("class", "db.t4g.medium")}, "aws.topology", "class"},
		"a burstable class alone": {[]func(*providers.ModuleInput){withAurora, set("class", "db.t4g.medium")}, "", ""},
		"no key of there":         {[]func(*providers.ModuleInput){global, secondary(func(r *stacks.Region) { delete(r.Settings, "storage") })}, "aws.topology", ""},
		"another account":         {[]func(*providers.ModuleInput){global, secondary(func(r *stacks.Region) { r.Settings["account"] = "210987654321" })}, "aws.topology", "account"},
	} {
		t.Run(name, func(t *testing.T) {
			in := region(c.change...)
			ds := New(Config{}).ValidateRegion(t.Context(), in.Database, in.Region)
			at := regionField(in.Database, in.Region.Name) + ".settings"
			if c.field != "" {
				at += "." + c.field
			}
			switch {
			case c.rule == "" && len(ds) > 0:
				t.Errorf("%+v", ds)
			case c.rule != "" && (len(ds) != 1 || ds[0].Rule != c.rule || ds[0].Field != at || ds[0].Summary == "" || ds[0].Next == ""):
				t.Errorf("%+v, want one of rule %s at %s", ds, c.rule, at)
			}
		})
	}
	t.Run("twice in one AWS region", func(t *testing.T) {
		in := region(global)
		in.Database.Spec.Regions[1].Location = here
		in.Database.Spec.Regions[1].Settings["storage"] = map[string]any{"kmsKey": "arn:aws:kms:" + here + ":123456789012:key/1"}
		ds := New(Config{}).ValidateRegion(t.Context(), in.Database, in.Database.Spec.Regions[1])
		if len(ds) != 1 || ds[0].Field != "spec.regions[1].location" {
			t.Errorf("%+v", ds)
		}
	})
	t.Run("a name that leaves no room for its instances", func(t *testing.T) {
		in := region(withAurora)
		in.Database.Metadata = stacks.Metadata{Namespace: strings.Repeat("n", 12), Name: strings.Repeat("d", 30)}
		in.Region.Name = "frankfurt-1"
		in.Database.Spec.Regions[0].Name = in.Region.Name
		ds := New(Config{}).ValidateRegion(t.Context(), in.Database, in.Region)
		if len(ds) != 1 || ds[0].Rule != "name.long" {
			t.Errorf("%+v", ds)
		}
	})
}

// TestGlobalRegionsShareOneCluster holds what each region's stack carries: the primary's makes the global cluster, the other joins it by its name and
// has no password; and what AWS decides is not asked for.
func TestGlobalRegionsShareOneCluster(t *testing.T) {
	t.Parallel()
	in := region(global)
	for region, c := range map[string]struct {
		primary, secret bool
		instances       int64
	}{"here": {true, true, 2}, "there": {false, false, 1}} {
		t.Run(region, func(t *testing.T) {
			_, call := callOf(t, in.Database, region)
			g, _ := call.Inputs["global"].(map[string]any)
			if g["identifier"] != "default-orders-k3m9x2pq" || g["primary"] != c.primary || call.Inputs["instances"] != c.instances {
				t.Errorf("%+v", call.Inputs)
			}
			if _, has := call.Secrets["admin_password"]; has != c.secret {
				t.Errorf("secrets %v", call.Secrets)
			}
			for _, not := range []string{"multi_az", "source_arn"} {
				if _, has := call.Inputs[not]; has {
					t.Errorf("it has %s", not)
				}
			}
			if _, err := stacks.Render(stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "k3m9x2pq", Region: region}, call); err != nil {
				t.Error(err)
			}
		})
	}
	p := New(Config{Installation: installation})
	lift, err := p.LiftProtection(in)
	if err != nil || lift.Call.Inputs["deletion_protection"] != false || !slices.Contains(lift.Types, clusterType) || !slices.Contains(lift.Types, globalType) {
		t.Errorf("%+v, %v", lift, err)
	}
	if p.GlobalMode(EnginePostgres) != stacks.LinkPhysical || p.GlobalMode("cassandra") != "" {
		t.Error("another mode")
	}
}

// TestAuroraStatus holds that a region is ready once its cluster and all its instances are.
func TestAuroraStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		world func(*rdsfake.Fake)
		state providers.ReadyState
		says  string
	}{
		"nothing":         {func(*rdsfake.Fake) {}, providers.StatePending, "shows no cluster"},
		"a cluster alone": {func(f *rdsfake.Fake) { f.PutCluster(cluster()) }, providers.StatePending, "0 of its 2 instances"},
		"one of two":      {func(f *rdsfake.Fake) { f.PutCluster(cluster()); f.Put(member("1")) }, providers.StatePending, "1 of its 2 instances"},
		"one is made": {func(f *rdsfake.Fake) {
			f.PutCluster(cluster())
			f.Put(member("1"))
			f.Put(member("2", status("creating")))
		}, providers.StatePending, name + "-2 is creating"},
		"all": {func(f *rdsfake.Fake) { f.PutCluster(cluster()); f.Put(member("1")); f.Put(member("2")) }, providers.StateReady, "is available"},
		"one has failed": {func(f *rdsfake.Fake) {
			f.PutCluster(cluster())
			f.Put(member("1"))
			f.Put(member("2", status("failed")))
		}, providers.StateFailed, "has failed"},
		"the cluster stopped": {func(f *rdsfake.Fake) {
			f.PutCluster(cluster(clusterStatus("stopped")))
			f.Put(member("1", status("stopped")))
		}, providers.StateFailed, "start it"},
		"the cluster is made": {func(f *rdsfake.Fake) {
			f.PutCluster(cluster(clusterStatus("creating"), func(c *rdsfake.Cluster) { c.Percent, c.Events = "40", []string{"DB cluster created"} }))
		}, providers.StatePending, "(40 %): it is being created; AWS at"},
		"a word that nobody knows": {func(f *rdsfake.Fake) { f.PutCluster(cluster(clusterStatus("dreaming"))) }, providers.StatePending, `"dreaming"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			c.world(fake)
			fake.Put(instance()) // another's
			got, err := p.ControlPlane(t.Context(), region(withAurora))
			if err != nil || got.State != c.state || !strings.Contains(got.Message, c.says) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	fake, p := newFake(t)
	fake.PutCluster(cluster(clusterStatus("modifying")))
	fake.Put(member("1", status("creating")))
	if said, err := p.ApplyProgress(t.Context(), region(withAurora)); err != nil || said != name+" is modifying, "+name+"-1 is creating" {
		t.Errorf("%q, %v", said, err)
	}
	fake.Fail("DescribeDBClusters", rdsfake.Fault{Status: 503, Code: "ServiceUnavailable", Times: callAttempts})
	if _, err := p.ControlPlane(t.Context(), region(withAurora)); err == nil || errors.Is(err, providers.ErrPermanent) {
		t.Errorf("the look must be repeated, and it says %v", err)
	}
}

// TestLocateAurora looks for each type that the module of a cluster makes.
func TestLocateAurora(t *testing.T) {
	t.Parallel()
	theirs := map[string]string{TagOwner: "other/default/orders/k3m9x2pq/here"}
	group := func(tags map[string]string) func(*rdsfake.Fake) {
		return func(f *rdsfake.Fake) {
			f.PutClusterGroup(rdsfake.ClusterGroup{Name: name + "-aurora-postgresql16", Region: here, Tags: tags})
		}
	}
	whole := func(status string, tags map[string]string) func(*rdsfake.Fake) {
		return func(f *rdsfake.Fake) {
			f.PutGlobal(rdsfake.Global{ID: "default-orders-k3m9x2pq", Status: status, Tags: tags})
		}
	}
	second := clusterInstanceAddress + `["2"]`
	for name, c := range map[string]struct {
		typ, address string
		world        func(*rdsfake.Fake)
		state        providers.FoundState
		id, says     string
	}{
		"no cluster":             {clusterType, clusterAddress, func(*rdsfake.Fake) {}, providers.FoundAbsent, "", "there is no cluster"},
		"our cluster":            {clusterType, clusterAddress, func(f *rdsfake.Fake) { f.PutCluster(cluster()) }, providers.FoundPresent, name, "is available"},
		"our cluster, made":      {clusterType, clusterAddress, func(f *rdsfake.Fake) { f.PutCluster(cluster(clusterStatus("creating"))) }, providers.FoundSettling, "", "is creating"},
		"our cluster, deleted":   {clusterType, clusterAddress, func(f *rdsfake.Fake) { f.PutCluster(cluster(clusterStatus("deleting"))) }, providers.FoundSettling, "", "is deleting"},
		"their cluster":          {clusterType, clusterAddress, func(f *rdsfake.Fake) { f.PutCluster(cluster(func(c *rdsfake.Cluster) { c.Tags = theirs })) }, providers.FoundForeign, "", "is marked as other/"},
		"our second instance":    {clusterInstanceType, second, func(f *rdsfake.Fake) { f.Put(member("2")) }, providers.FoundPresent, name + "-2", "is available"},
		"their second instance":  {clusterInstanceType, second, func(f *rdsfake.Fake) { f.Put(member("2", tagged(theirs))) }, providers.FoundForeign, "", "is marked as other/"},
		"no second instance":     {clusterInstanceType, second, func(f *rdsfake.Fake) { f.Put(member("1")) }, providers.FoundAbsent, "", "no database " + name + "-2"},
		"an instance of no name": {clusterInstanceType, clusterInstanceAddress, func(*rdsfake.Fake) {}, providers.FoundUnknown, "", "names no instance"},
		"no parameters":          {clusterGroupType, clusterGroupAddress, func(*rdsfake.Fake) {}, providers.FoundAbsent, "", "no cluster parameter group"},
		"our parameters":         {clusterGroupType, clusterGroupAddress, group(mine()), providers.FoundPresent, name + "-aurora-postgresql16", "with our mark"},
		"their parameters":       {clusterGroupType, clusterGroupAddress, group(theirs), providers.FoundForeign, "", "is marked as other/"},
		"no global cluster":      {globalType, globalAddress, func(*rdsfake.Fake) {}, providers.FoundAbsent, "", "no global cluster default-orders-k3m9x2pq"},
		"our global cluster":     {globalType, globalAddress, whole("available", mine()), providers.FoundPresent, "default-orders-k3m9x2pq", "is available"},
		"a global one, made":     {globalType, globalAddress, whole("creating", mine()), providers.FoundSettling, "", "is creating"},
		"their global cluster":   {globalType, globalAddress, whole("available", theirs), providers.FoundForeign, "", "is marked as other/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			c.world(fake)
			got, err := p.Locate(t.Context(), providers.LocateInput{ModuleInput: region(global), Address: c.address, Type: c.typ})
			if err != nil || got.State != c.state || got.ImportID != c.id || !strings.Contains(got.Evidence, c.says) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestInventoryOfAurora lists what a global database is made of, each once, though AWS shows the global cluster in every region.
func TestInventoryOfAurora(t *testing.T) {
	t.Parallel()
	fake, p := newFake(t)
	fake.PutCluster(cluster())
	fake.PutCluster(cluster(func(c *rdsfake.Cluster) { c.ID, c.Tags = "theirs", nil }))
	fake.Put(member("1"))
	fake.PutClusterGroup(rdsfake.ClusterGroup{Name: name + "-aurora-postgresql16", Region: here, Tags: mine()})
	fake.PutClusterGroup(rdsfake.ClusterGroup{Name: "default.aurora-postgresql16", Region: here})
	fake.PutGlobal(rdsfake.Global{ID: "default-orders-k3m9x2pq", Status: "available", Tags: mine(), Members: []string{cluster().ARN()}})
	fake.PutGlobal(rdsfake.Global{ID: "theirs", Status: "available"})
	got, err := p.Inventory(t.Context(), []providers.ModuleInput{region(global), region(func(in *providers.ModuleInput) { in.Region.Location = "us-east-1" })})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]providers.Object{}
	for _, o := range got {
		found[o.Type+" "+o.Address] = o
	}
	for key, id := range map[string]string{
		clusterType + " " + clusterAddress:                           name,
		clusterInstanceType + " " + clusterInstanceAddress + `["1"]`: name + "-1",
		clusterGroupType + " " + clusterGroupAddress:                 name + "-aurora-postgresql16",
		globalType + " " + globalAddress:                             "default-orders-k3m9x2pq",
	} {
		o := found[key]
		if o.ImportID != id || o.Stack != region().Stack || o.Detail == "" || o.DataBearing != (o.Type == clusterType) {
			t.Errorf("%s is %+v", key, o)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d objects: %+v", len(got), got)
	}
}

// TestRemoveAurora removes what nobody knows, in the order that AWS needs, and says what has to go before.
func TestRemoveAurora(t *testing.T) {
	t.Parallel()
	far := rdsfake.Cluster{ID: "far", Region: "us-east-1", Status: "available"}
	object := func(typ, arn, id string) providers.Object {
		return providers.Object{Provider: Name, ID: arn, Stack: region().Stack, Type: typ, ImportID: id}
	}
	whole := rdsfake.Global{ID: "default-orders-k3m9x2pq", Status: "available", Tags: mine()}
	theCluster, theGlobal := object(clusterType, cluster().ARN(), name), object(globalType, whole.ARN(), whole.ID)
	deleting := func(t *testing.T, f *rdsfake.Fake) {
		t.Helper()
		if c, ok := f.Cluster(here, name); ok && c.Status != "deleting" {
			t.Errorf("it is %+v", c)
		}
	}
	there := func(t *testing.T, f *rdsfake.Fake) {
		t.Helper()
		if c, ok := f.Cluster(here, name); !ok || c.Status == "deleting" {
			t.Errorf("it is %+v", c)
		}
	}
	members := func(arns ...string) func(*rdsfake.Fake) {
		return func(f *rdsfake.Fake) {
			f.PutCluster(cluster())
			f.PutCluster(far)
			g := whole
			g.Members = arns
			f.PutGlobal(g)
		}
	}
	for name, c := range map[string]struct {
		world func(*rdsfake.Fake)
		o     providers.Object
		err   error
		says  string
		check func(*testing.T, *rdsfake.Fake)
	}{
		"a cluster": {func(f *rdsfake.Fake) { f.PutCluster(cluster()) }, theCluster, nil, "", deleting},
		"its answer is lost": {func(f *rdsfake.Fake) {
			f.PutCluster(cluster())
			f.Fail("DeleteDBCluster", rdsfake.Fault{AfterCommit: true, Times: 1})
		}, theCluster, nil, "", deleting},
		"gone":          {func(*rdsfake.Fake) {}, theCluster, nil, "", nil},
		"being deleted": {func(f *rdsfake.Fake) { f.PutCluster(cluster(clusterStatus("deleting"))) }, theCluster, nil, "", deleting},
		"protected": {func(f *rdsfake.Fake) { f.PutCluster(cluster(func(c *rdsfake.Cluster) { c.DeletionProtection = true })) }, theCluster,
			providers.ErrPermanent, "lift that in AWS", there},
		"somebody else's by now":                 {func(f *rdsfake.Fake) { f.PutCluster(cluster(func(c *rdsfake.Cluster) { c.Tags = nil })) }, theCluster, providers.ErrForeign, "not marked", there},
		"with an instance":                       {func(f *rdsfake.Fake) { f.PutCluster(cluster()); f.Put(member("1")) }, theCluster, providers.ErrPermanent, "1 instances still", there},
		"one that reads":                         {members(far.ARN(), cluster().ARN()), theCluster, nil, "", deleting},
		"the one that writes, before the others": {members(cluster().ARN(), far.ARN()), theCluster, providers.ErrPermanent, "1 others: remove those first", there},
		"the one that writes, at last":           {members(cluster().ARN()), theCluster, nil, "", deleting},
		"an instance": {func(f *rdsfake.Fake) { f.PutCluster(cluster()); f.Put(member("1")) }, object(clusterInstanceType, member("1").ARN(), member("1").ID), nil, "",
			func(t *testing.T, f *rdsfake.Fake) {
				if i, ok := f.Instance(here, member("1").ID); !ok || i.Status != "deleting" {
					t.Errorf("it is %+v", i)
				}
			}},
		"parameters": {func(f *rdsfake.Fake) {
			f.PutClusterGroup(rdsfake.ClusterGroup{Name: "old-aurora-postgresql16", Region: here, Tags: mine()})
		}, object(clusterGroupType, rdsfake.ClusterGroup{Name: "old-aurora-postgresql16", Region: here}.ARN(), "old-aurora-postgresql16"), nil, "",
			func(t *testing.T, f *rdsfake.Fake) {
				if f.ClusterGroup(here, "old-aurora-postgresql16") {
					t.Error("it is there still")
				}
			}},
		"a global cluster": {func(f *rdsfake.Fake) { f.PutGlobal(whole) }, theGlobal, nil, "", func(t *testing.T, f *rdsfake.Fake) {
			if _, ok := f.Global(whole.ID); ok {
				t.Error("it is there still")
			}
		}},
		"a global cluster with members": {members(cluster().ARN()), theGlobal, providers.ErrPermanent, "remove them first", there},
		"a protected global cluster": {func(f *rdsfake.Fake) { g := whole; g.DeletionProtection = true; f.PutGlobal(g) }, theGlobal,
			providers.ErrPermanent, "lift that in AWS", nil},
		"somebody's global cluster": {func(f *rdsfake.Fake) { g := whole; g.Tags = nil; f.PutGlobal(g) }, theGlobal, providers.ErrForeign, "not marked", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			c.world(fake)
			err := p.RemoveObject(t.Context(), c.o, []providers.ModuleInput{region()})
			if c.err == nil && err != nil || c.err != nil && (!errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v", err)
			}
			if c.check != nil {
				c.check(t, fake)
			}
		})
	}
}
