package aws

import (
	"errors"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
)

const vpc = "vpc-0a1b2c3d"

// inVPC makes a region one whose security group is made.
func inVPC(in *providers.ModuleInput) {
	in.Region.Settings = settings()
	in.Region.Settings["network"] = map[string]any{"subnetGroup": "private", "vpc": vpc, "allow": []any{"10.0.0.0/16"}}
}

// TestLocate looks for each type that the module makes.
func TestLocate(t *testing.T) {
	t.Parallel()
	mine := map[string]string{TagOwner: installation + "/default/orders/k3m9x2pq/here"}
	theirs := map[string]string{TagOwner: "other/default/orders/k3m9x2pq/here"}
	group := rdsfake.Group{ID: "sg-1", Name: name, VPC: vpc, Region: here, Tags: mine, Rules: map[string]string{"10.0.0.0/16": "sgr-1"}}
	for name, c := range map[string]struct {
		typ, address string
		world        func(*rdsfake.Fake)
		state        providers.FoundState
		id           string
		healthy      bool
		says         string
	}{
		"no database":            {instanceType, instanceAddress, func(*rdsfake.Fake) {}, providers.FoundAbsent, "", false, "there is no database"},
		"ours":                   {instanceType, instanceAddress, func(f *rdsfake.Fake) { f.Put(instance()) }, providers.FoundPresent, name, true, "is available"},
		"ours, being made":       {instanceType, instanceAddress, func(f *rdsfake.Fake) { f.Put(instance(status("creating"))) }, providers.FoundSettling, "", false, "is creating"},
		"ours, being deleted":    {instanceType, instanceAddress, func(f *rdsfake.Fake) { f.Put(instance(status("deleting"))) }, providers.FoundSettling, "", false, "is deleting"},
		"ours, failed":           {instanceType, instanceAddress, func(f *rdsfake.Fake) { f.Put(instance(status("incompatible-network"))) }, providers.FoundPresent, name, false, "mend the network"},
		"ours, elsewhere":        {instanceType, instanceAddress, func(f *rdsfake.Fake) { f.Put(instance(func(i *rdsfake.Instance) { i.Region = "us-east-1" })) }, providers.FoundAbsent, "", false, "in eu-central-1"},
		"another Meridian's":     {instanceType, instanceAddress, func(f *rdsfake.Fake) { f.Put(instance(tagged(theirs))) }, providers.FoundForeign, "", false, "is marked as other/"},
		"nobody's":               {instanceType, instanceAddress, func(f *rdsfake.Fake) { f.Put(instance(tagged(nil))) }, providers.FoundForeign, "", false, "no mark"},
		"no parameter group":     {parameterGroupType, parameterGroupAddress, func(*rdsfake.Fake) {}, providers.FoundAbsent, "", false, "no parameter group " + name + "-postgres16"},
		"our parameter group":    {parameterGroupType, parameterGroupAddress, family(mine), providers.FoundPresent, name + "-postgres16", true, "with our mark"},
		"their parameter group":  {parameterGroupType, parameterGroupAddress, family(theirs), providers.FoundForeign, "", false, "is marked as other/"},
		"no security group":      {securityGroupType, securityGroupAddress, func(*rdsfake.Fake) {}, providers.FoundAbsent, "", false, "no security group"},
		"our security group":     {securityGroupType, securityGroupAddress, func(f *rdsfake.Fake) { f.PutGroup(group) }, providers.FoundPresent, "sg-1", true, "sg-1"},
		"their security group":   {securityGroupType, securityGroupAddress, func(f *rdsfake.Fake) { g := group; g.Tags = nil; f.PutGroup(g) }, providers.FoundForeign, "", false, "no mark"},
		"the one of another VPC": {securityGroupType, securityGroupAddress, func(f *rdsfake.Fake) { g := group; g.VPC = "vpc-9"; f.PutGroup(g) }, providers.FoundAbsent, "", false, "no security group"},
		"our rule":               {ingressRuleType, `module.database.aws_vpc_security_group_ingress_rule.this["10.0.0.0/16"]`, func(f *rdsfake.Fake) { f.PutGroup(group) }, providers.FoundPresent, "sgr-1", true, "10.0.0.0/16"},
		"no rule":                {ingressRuleType, `module.database.aws_vpc_security_group_ingress_rule.this["10.9.0.0/16"]`, func(f *rdsfake.Fake) { f.PutGroup(group) }, providers.FoundAbsent, "", false, "no rule of sg-1"},
		"no group for a rule":    {ingressRuleType, `module.database.aws_vpc_security_group_ingress_rule.this["10.9.0.0/16"]`, func(*rdsfake.Fake) {}, providers.FoundAbsent, "", false, "no security group"},
		"a type of nobody":       {"aws_kms_key", "module.database.aws_kms_key.this", func(*rdsfake.Fake) {}, providers.FoundUnknown, "", false, "nobody knows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			c.world(fake)
			got, err := p.Locate(t.Context(), providers.LocateInput{ModuleInput: region(inVPC), Address: c.address, Type: c.typ})
			if err != nil || got.State != c.state || got.ImportID != c.id || got.Healthy != c.healthy || !strings.Contains(got.Evidence, c.says) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	t.Run("what was imported under another name", func(t *testing.T) {
		t.Parallel()
		fake, p := newFake(t)
		fake.Put(instance(func(i *rdsfake.Instance) { i.ID = "legacy" }))
		got, err := p.Locate(t.Context(), providers.LocateInput{ModuleInput: region(func(in *providers.ModuleInput) {
			in.Placement.Values = map[string]string{valueIdentifier: "legacy"}
		}), Address: instanceAddress, Type: instanceType})
		if err != nil || got.ImportID != "legacy" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("throttled", func(t *testing.T) {
		t.Parallel()
		fake, p := newFake(t)
		fake.Fail("DescribeDBInstances", rdsfake.Fault{Status: 500, Code: "InternalFailure", Times: callAttempts})
		_, err := p.Locate(t.Context(), providers.LocateInput{ModuleInput: region(), Address: instanceAddress, Type: instanceType})
		if err == nil || errors.Is(err, providers.ErrPermanent) {
			t.Errorf("the look must be repeated, and it says %v", err)
		}
	})
}

func status(s string) func(*rdsfake.Instance) { return func(i *rdsfake.Instance) { i.Status = s } }

func tagged(tags map[string]string) func(*rdsfake.Instance) {
	return func(i *rdsfake.Instance) { i.Tags = tags }
}

func family(tags map[string]string) func(*rdsfake.Fake) {
	return func(f *rdsfake.Fake) {
		f.PutParameterGroup(rdsfake.ParameterGroup{Name: name + "-postgres16", Region: here, Tags: tags})
	}
}
