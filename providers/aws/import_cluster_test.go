package aws

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
	"meridian/stacks"
)

// legacyCluster is a cluster of somebody's, with two instances under names of their own; the second one writes.
func legacyCluster(change ...func(*rdsfake.Cluster)) func(*rdsfake.Fake) {
	return func(f *rdsfake.Fake) {
		f.PutCluster(cluster(append([]func(*rdsfake.Cluster){func(c *rdsfake.Cluster) { c.ID, c.Tags, c.Writer = "legacy", nil, "shop-b" }}, change...)...))
		for id, tier := range map[string]int{"shop-a": 0, "shop-b": 1} {
			f.Put(instance(func(i *rdsfake.Instance) {
				i.ID, i.Cluster, i.Tier, i.Tags, i.Engine = id, "legacy", tier, nil, auroraEngine
			}))
		}
	}
}

// TestImportCluster looks at a cluster that is to be taken over, and has the region's stack say what is there: names, the order in which the instances
// take over, no word on the password.
func TestImportCluster(t *testing.T) {
	t.Parallel()
	state := []providers.StateObject{{Address: "aws_rds_cluster.shop", Type: clusterType, Attributes: map[string]string{"cluster_identifier": `"legacy"`}}}
	two := func(in *providers.ModuleInput) { in.Region.Settings["aurora"] = map[string]any{"instances": 2.0} }
	for name, c := range map[string]struct {
		world  func(*rdsfake.Fake)
		in     providers.ImportInput
		change func(*providers.ModuleInput)
		err    error
		says   string
	}{
		"by its name":           {legacyCluster(), providers.ImportInput{ID: "Legacy"}, two, nil, ""},
		"in a state":            {legacyCluster(), providers.ImportInput{Objects: state}, two, nil, ""},
		"in a state of nothing": {legacyCluster(), providers.ImportInput{Objects: []providers.StateObject{{Type: instanceType}}}, two, providers.ErrPermanent, "has no aws_rds_cluster"},
		"absent":                {func(*rdsfake.Fake) {}, providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "there is none in account"},
		"not ready":             {legacyCluster(clusterStatus("upgrading")), providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "it is not ready: legacy is upgrading"},
		"an instance that is not ready": {func(f *rdsfake.Fake) {
			legacyCluster()(f)
			f.Put(instance(status("rebooting"), func(i *rdsfake.Instance) { i.ID, i.Cluster, i.Tags = "shop-a", "legacy", nil }))
		}, providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "shop-a is rebooting"},
		"another Meridian's": {legacyCluster(func(c *rdsfake.Cluster) { c.Tags = map[string]string{TagOwner: "other/a/b/c/d"} }), providers.ImportInput{ID: "legacy"}, two,
			providers.ErrForeign, "is marked as other/a/b/c/d"},
		"another engine":        {legacyCluster(func(c *rdsfake.Cluster) { c.Engine = "aurora-mysql" }), providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "its engine is aurora-mysql"},
		"Serverless v1":         {legacyCluster(func(c *rdsfake.Cluster) { c.Mode = "serverless" }), providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "Serverless v1"},
		"a replica":             {legacyCluster(func(c *rdsfake.Cluster) { c.Source = "arn:x" }), providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "replica of arn:x"},
		"it forwards writes":    {legacyCluster(func(c *rdsfake.Cluster) { c.Forwards = true }), providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "its readers forward writes"},
		"its password is AWS's": {legacyCluster(func(c *rdsfake.Cluster) { c.Managed = true }), providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "AWS manages its master password"},
		"a member of a global cluster": {func(f *rdsfake.Fake) {
			legacyCluster()(f)
			f.PutGlobal(rdsfake.Global{ID: "world", Status: "available", Members: []string{rdsfake.Cluster{ID: "legacy", Region: here}.ARN()}})
		}, providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "a member of a global cluster (world)"},
		"a global spec": {legacyCluster(), providers.ImportInput{ID: "legacy"}, func(in *providers.ModuleInput) {
			global(in)
			two(in)
		}, providers.ErrPermanent, "a member of a global cluster (spec.topology)"},
		"another number of instances": {legacyCluster(), providers.ImportInput{ID: "legacy"}, func(in *providers.ModuleInput) {
			in.Region.Settings["aurora"] = map[string]any{"instances": 3.0}
		}, providers.ErrPermanent, "it has 2 instances and the spec says 3: write aurora: {instances: 2}"},
		"credentials that expired": {func(f *rdsfake.Fake) { legacyCluster()(f); f.Refuse("AKIAGOOD", "ExpiredToken") }, providers.ImportInput{ID: "legacy"}, two, providers.ErrPermanent, "renew them"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			c.world(fake)
			c.in.ModuleInput = region(withAurora, c.change)
			got, err := p.Import(t.Context(), c.in)
			if c.err != nil {
				if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e := got.Endpoint; e.Host != "legacy."+here+".rds.invalid" || e.User != "shop" || e.Port != 5432 || e.Secret != "region/here/admin" {
				t.Errorf("endpoint %+v", e)
			}
			if (got.Managed == "aws_rds_cluster.shop") != (c.in.ID == "") {
				t.Errorf("it is managed as %q", got.Managed)
			}
			in := c.in.ModuleInput
			in.Placement = got.Placement
			call, err := p.ModuleCall(in)
			if err != nil {
				t.Fatal(err)
			}
			version, said := call.Inputs["admin_password_version"]
			if call.Inputs["identifier"] != "legacy" || call.Inputs["admin_user"] != "shop" || !said || version != nil || len(call.Secrets) != 0 {
				t.Errorf("inputs %+v, secrets %v", call.Inputs, call.Secrets)
			}
			want := map[string]any{"1": map[string]any{"identifier": "shop-b", "promotion_tier": int64(1)}, "2": map[string]any{"identifier": "shop-a", "promotion_tier": int64(0)}}
			if members := call.Inputs["members"].(map[string]any); !maps.EqualFunc(members, want, func(a, b any) bool { return maps.Equal(a.(map[string]any), b.(map[string]any)) }) {
				t.Errorf("members %v, want %v", members, want)
			}
			if objects := got.Placement.Takeover.Objects; !slices.Equal(objects, []stacks.Import{
				{Address: clusterAddress, ID: "legacy"}, {Address: memberAddress("1"), ID: "shop-b"}, {Address: memberAddress("2"), ID: "shop-a"},
			}) {
				t.Errorf("%+v", objects)
			}
			located, err := p.Locate(t.Context(), providers.LocateInput{ModuleInput: in, Type: clusterInstanceType, Address: memberAddress("2")})
			if err != nil || !strings.Contains(located.Evidence, "shop-a") {
				t.Errorf("its second instance is %+v, %v", located, err)
			}
		})
	}
}

// TestInventoryOfAnImportedCluster finds its instances at their addresses, which their names do not tell.
func TestInventoryOfAnImportedCluster(t *testing.T) {
	t.Parallel()
	fake, p := newFake(t)
	legacyCluster(func(c *rdsfake.Cluster) { c.Tags = mine() })(fake)
	fake.Put(instance(func(i *rdsfake.Instance) { i.ID, i.Cluster, i.Tags = "shop-a", "legacy", mine() }))
	place := region(withAurora)
	place.Placement.Values = map[string]string{valueIdentifier: "legacy", valueMember + "2": "shop-a", valueTier + "2": "0"}
	found, err := p.Inventory(t.Context(), []providers.ModuleInput{place})
	if err != nil || !slices.ContainsFunc(found, func(o providers.Object) bool { return o.ImportID == "shop-a" && o.Address == memberAddress("2") }) {
		t.Errorf("%+v, %v", found, err)
	}
}
