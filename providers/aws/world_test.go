package aws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
	"meridian/stacks"
)

const (
	here         = "eu-central-1"
	installation = "inst"
)

// newFake starts a fake of RDS and a provider that asks it, with credentials of its account.
func newFake(t *testing.T) (*rdsfake.Fake, *Provider) {
	t.Helper()
	fake := rdsfake.New()
	t.Cleanup(fake.Close)
	return fake, New(Config{Installation: installation, SDK: []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(fake.URL()),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIAGOOD", "verysecret", "")),
	}})
}

// region is what a provider is asked with for the region "here" of default/orders.
func region(change ...func(*providers.ModuleInput)) providers.ModuleInput {
	in := providers.ModuleInput{
		Stack:  stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "k3m9x2pq", Region: "here"},
		Region: stacks.Region{Name: "here", Provider: Name, Location: here, Role: stacks.RolePrimary, Settings: settings()},
	}
	in.Database.Metadata = stacks.Metadata{Namespace: "default", Name: "orders"}
	in.Database.Spec.Engine = stacks.Engine{Name: EnginePostgres, Version: "16"}
	in.Database.Spec.Regions = []stacks.Region{in.Region}
	for _, c := range change {
		c(&in)
	}
	return in
}

func settings() stacks.Settings {
	return stacks.Settings{
		"account": rdsfake.Account,
		"network": map[string]any{"subnetGroup": "private", "securityGroups": []any{"sg-0123"}},
	}
}

// withRole makes a region one that is worked on as a role.
func withRole(arn, length string) func(*providers.ModuleInput) {
	return func(in *providers.ModuleInput) {
		in.Region.Settings = settings()
		in.Region.Settings["assumeRole"] = map[string]any{"arn": arn, "sessionLength": length}
	}
}

const name = "default-orders-k3m9x2pq-here"

func instance(change ...func(*rdsfake.Instance)) rdsfake.Instance {
	i := rdsfake.Instance{
		ID: name, Region: here, Class: "db.t4g.medium", Engine: EnginePostgres, Version: "16.4", Status: "available", Backups: 7,
		Tags: map[string]string{TagOwner: installation + "/default/orders/k3m9x2pq/here"},
	}
	for _, c := range change {
		c(&i)
	}
	return i
}

// withAurora makes the region "here" an Aurora cluster; global also makes it the primary of a global database.
func withAurora(in *providers.ModuleInput) {
	in.Region.Settings = settings()
	in.Region.Settings["aurora"] = map[string]any{}
	in.Database.Spec.Regions = []stacks.Region{in.Region}
}

func global(in *providers.ModuleInput) {
	withAurora(in)
	in.Database.Spec.Topology = stacks.TopologyGlobal
	there := in.Region
	there.Name, there.Location, there.Role = "there", "us-east-1", stacks.RoleReplica
	there.Settings = settings()
	there.Settings["aurora"] = map[string]any{}
	there.Settings["storage"] = map[string]any{"kmsKey": "arn:aws:kms:us-east-1:123456789012:key/1"}
	in.Database.Spec.Regions = append(in.Database.Spec.Regions, there)
	in.Database.Spec.Replication.Links = []stacks.Link{{From: "here", To: "there", Mode: stacks.LinkPhysical}}
}

// mine marks what is the stack's of the region "here".
func mine() map[string]string {
	return map[string]string{TagOwner: installation + "/default/orders/k3m9x2pq/here"}
}

func cluster(change ...func(*rdsfake.Cluster)) rdsfake.Cluster {
	c := rdsfake.Cluster{ID: name, Region: here, Status: "available", Tags: mine()}
	for _, f := range change {
		f(&c)
	}
	return c
}

func clusterStatus(s string) func(*rdsfake.Cluster) {
	return func(c *rdsfake.Cluster) { c.Status = s }
}

// member is an instance of the cluster.
func member(number string, change ...func(*rdsfake.Instance)) rdsfake.Instance {
	return instance(append([]func(*rdsfake.Instance){func(i *rdsfake.Instance) { i.ID, i.Cluster = name+"-"+number, name }}, change...)...)
}
