package aws

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
)

// TestInventory lists ours, and nobody else's, of every place, over pages, and each once.
func TestInventory(t *testing.T) {
	t.Parallel()
	fake, p := newFake(t)
	fake.SetPageSize(2)
	mine := map[string]string{TagOwner: installation + "/default/orders/k3m9x2pq/here"}
	var want []string
	for n := range 5 {
		i := instance(func(i *rdsfake.Instance) { i.ID = fmt.Sprintf("ours-%d", n) })
		fake.Put(i)
		want = append(want, i.ARN())
	}
	far := instance(func(i *rdsfake.Instance) { i.ID, i.Region = "far", "us-east-1" })
	fake.Put(far)
	fake.Put(instance(func(i *rdsfake.Instance) { i.ID = "nobody's"; i.Tags = nil }))
	fake.Put(instance(func(i *rdsfake.Instance) {
		i.ID = "theirs"
		i.Tags = map[string]string{TagOwner: "inst2/default/orders/k3m9x2pq/here"}
	}))
	fake.Put(instance(func(i *rdsfake.Instance) { i.ID, i.Region = "unseen", "eu-west-1" }))
	fake.PutParameterGroup(rdsfake.ParameterGroup{Name: "ours-postgres16", Region: here, Tags: mine})
	fake.PutParameterGroup(rdsfake.ParameterGroup{Name: "default.postgres16", Region: here})
	fake.PutParameterGroup(rdsfake.ParameterGroup{Name: "theirs", Region: here})
	fake.PutGroup(rdsfake.Group{ID: "sg-1", Name: "ours", VPC: vpc, Region: here, Tags: mine})
	fake.PutGroup(rdsfake.Group{ID: "sg-2", Name: "theirs", VPC: vpc, Region: here})
	want = append(want, far.ARN(), "arn:aws:rds:eu-central-1:"+rdsfake.Account+":pg:ours-postgres16", "arn:aws:ec2:eu-central-1:"+rdsfake.Account+":security-group/sg-1")
	places := []providers.ModuleInput{
		region(), region(), region(func(in *providers.ModuleInput) { in.Region.Location = "us-east-1" }),
		region(withRole("arn:aws:iam::123456789012:role/meridian", "1h")), // sees the same again
	}
	got, err := p.Inventory(t.Context(), places)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range got {
		ids = append(ids, o.ID)
		if o.Stack != region().Stack || o.Address == "" || o.ImportID == "" || o.Detail == "" || o.DataBearing != (o.Type == instanceType) {
			t.Errorf("%+v", o)
		}
	}
	slices.Sort(ids)
	slices.Sort(want)
	if !slices.Equal(ids, want) {
		t.Errorf("found %q\nwant %q", ids, want)
	}
	fake.Refuse("AKIAGOOD", "ExpiredToken")
	if _, err := p.Inventory(t.Context(), places); err == nil {
		t.Error("an account that cannot be asked is as if it were empty")
	}
}

// TestRemoveObject removes exactly what was listed and is still ours.
func TestRemoveObject(t *testing.T) {
	t.Parallel()
	mine := map[string]string{TagOwner: installation + "/default/orders/k3m9x2pq/here"}
	object := func(typ, id, importID string) providers.Object {
		return providers.Object{Provider: Name, ID: id, Stack: region().Stack, Type: typ, ImportID: importID}
	}
	database := object(instanceType, instance().ARN(), name)
	for name, c := range map[string]struct {
		world func(*rdsfake.Fake)
		o     providers.Object
		err   error
		says  string
		check func(*testing.T, *rdsfake.Fake)
	}{
		"a database": {func(f *rdsfake.Fake) { f.Put(instance()) }, database, nil, "", isDeleting},
		"its answer is lost": {func(f *rdsfake.Fake) {
			f.Put(instance())
			f.Fail("DeleteDBInstance", rdsfake.Fault{AfterCommit: true, Times: 1})
		}, database, nil, "", isDeleting},
		"gone":                              {func(*rdsfake.Fake) {}, database, nil, "", nil},
		"half removed":                      {func(f *rdsfake.Fake) { f.Put(instance(status("deleting"))) }, database, nil, "", isDeleting},
		"in no state to take a snapshot of": {func(f *rdsfake.Fake) { f.Put(instance(status("incompatible-restore"))) }, database, nil, "", isDeleting},
		"protected": {func(f *rdsfake.Fake) { f.Put(instance(func(i *rdsfake.Instance) { i.DeletionProtection = true })) }, database,
			providers.ErrPermanent, "lift that in AWS", isThere},
		"somebody else's by now": {func(f *rdsfake.Fake) { f.Put(instance(tagged(nil))) }, database, providers.ErrForeign, "not marked", isThere},
		"of an account that no spec names": {func(f *rdsfake.Fake) { f.Put(instance()) }, object(instanceType, "arn:aws:rds:eu-central-1:210987654321:db:x", name),
			providers.ErrPermanent, "no spec says", isThere},
		"no ARN": {func(f *rdsfake.Fake) { f.Put(instance()) }, object(instanceType, name, name), providers.ErrForeign, "no ARN", isThere},
		"a parameter group": {family(mine), object(parameterGroupType, "arn:aws:rds:eu-central-1:"+rdsfake.Account+":pg:"+name+"-postgres16", name+"-postgres16"), nil, "",
			func(t *testing.T, f *rdsfake.Fake) {
				if f.ParameterGroup(here, name+"-postgres16") {
					t.Error("it is there still")
				}
			}},
		"a parameter group in use": {func(f *rdsfake.Fake) { f.Put(instance()); family(mine)(f) },
			object(parameterGroupType, "arn:aws:rds:eu-central-1:"+rdsfake.Account+":pg:"+name+"-postgres16", name+"-postgres16"), errAny, "still members", nil},
		"a security group": {func(f *rdsfake.Fake) {
			f.PutGroup(rdsfake.Group{ID: "sg-1", Name: name, VPC: vpc, Region: here, Tags: mine})
		},
			object(securityGroupType, "arn:aws:ec2:eu-central-1:"+rdsfake.Account+":security-group/sg-1", "sg-1"), nil, "",
			func(t *testing.T, f *rdsfake.Fake) {
				if len(f.Groups()) > 0 {
					t.Error("it is there still")
				}
			}},
		"a rule": {func(*rdsfake.Fake) {}, object(ingressRuleType, instance().ARN(), "sgr-1"), providers.ErrPermanent, "not removed from here", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			c.world(fake)
			err := p.RemoveObject(t.Context(), c.o, []providers.ModuleInput{region()})
			switch {
			case c.err == nil && err != nil:
				t.Error(err)
			case errors.Is(c.err, errAny) && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v", err)
			case c.err != nil && !errors.Is(c.err, errAny) && (!errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v", err)
			}
			if c.check != nil {
				c.check(t, fake)
			}
		})
	}
}

var errAny = errors.New("any")

func isDeleting(t *testing.T, f *rdsfake.Fake) {
	t.Helper()
	if i, ok := f.Instance(here, name); !ok || i.Status != "deleting" {
		t.Errorf("it is %+v", i)
	}
}

func isThere(t *testing.T, f *rdsfake.Fake) {
	t.Helper()
	if i, ok := f.Instance(here, name); !ok || i.Status == "deleting" {
		t.Errorf("it is %+v", i)
	}
}
