package aws

import (
	"errors"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
)

// TestImport looks at what is to be taken over, and has the region's stack say what is there.
func TestImport(t *testing.T) {
	t.Parallel()
	legacy := func(change ...func(*rdsfake.Instance)) func(*rdsfake.Fake) {
		return func(f *rdsfake.Fake) {
			f.Put(instance(append([]func(*rdsfake.Instance){func(i *rdsfake.Instance) { i.ID, i.Tags = "legacy", nil }}, change...)...))
		}
	}
	state := []providers.StateObject{{Address: "aws_vpc.x", Type: "aws_vpc"}, {Address: "aws_db_instance.shop", Type: instanceType, Attributes: map[string]string{"identifier": `"legacy"`}}}
	for name, c := range map[string]struct {
		world func(*rdsfake.Fake)
		in    providers.ImportInput
		err   error
		says  string
	}{
		"by its name":              {legacy(), providers.ImportInput{ID: "Legacy"}, nil, ""},
		"in a state":               {legacy(), providers.ImportInput{Objects: state}, nil, ""},
		"in a state of nothing":    {legacy(), providers.ImportInput{Objects: state[:1]}, providers.ErrPermanent, "has no aws_db_instance"},
		"in a state of two":        {legacy(), providers.ImportInput{Objects: append(state[1:2:2], state[1])}, providers.ErrPermanent, "more than one"},
		"absent":                   {func(*rdsfake.Fake) {}, providers.ImportInput{ID: "legacy"}, providers.ErrPermanent, "there is none in account"},
		"not ready":                {legacy(status("modifying")), providers.ImportInput{ID: "legacy"}, providers.ErrPermanent, "it is not ready: legacy is modifying"},
		"another Meridian's":       {legacy(tagged(map[string]string{TagOwner: "other/a/b/c/d"})), providers.ImportInput{ID: "legacy"}, providers.ErrForeign, "is marked as other/a/b/c/d"},
		"another engine":           {legacy(func(i *rdsfake.Instance) { i.Engine = "mysql" }), providers.ImportInput{ID: "legacy"}, providers.ErrPermanent, "its engine is mysql"},
		"a replica":                {legacy(func(i *rdsfake.Instance) { i.Source = "arn:x" }), providers.ImportInput{ID: "legacy"}, providers.ErrPermanent, "replica of arn:x"},
		"its password is AWS's":    {legacy(func(i *rdsfake.Instance) { i.Managed = true }), providers.ImportInput{ID: "legacy"}, providers.ErrPermanent, "AWS manages its master password"},
		"in another account":       {func(f *rdsfake.Fake) { legacy()(f); f.SetAccount("210987654321") }, providers.ImportInput{ID: "legacy"}, providers.ErrPermanent, "are of account 210987654321"},
		"credentials that expired": {func(f *rdsfake.Fake) { f.Refuse("AKIAGOOD", "ExpiredToken") }, providers.ImportInput{ID: "legacy"}, providers.ErrPermanent, "renew them"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			c.world(fake)
			c.in.ModuleInput = region()
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
			if (got.Managed == "aws_db_instance.shop") != (c.in.ID == "") {
				t.Errorf("it is managed as %q", got.Managed)
			}
			in := region()
			in.Placement = got.Placement
			call, err := p.ModuleCall(in)
			if err != nil {
				t.Fatal(err)
			}
			version, said := call.Inputs["admin_password_version"]
			if call.Inputs["identifier"] != "legacy" || call.Inputs["admin_user"] != "shop" || !said || version != nil || len(call.Secrets) != 0 {
				t.Errorf("inputs %+v, secrets %v", call.Inputs, call.Secrets)
			}
			if lift, err := p.LiftProtection(in); err != nil || lift.Call.Inputs["identifier"] != "legacy" {
				t.Errorf("the lift is of %v, %v", lift.Call.Inputs["identifier"], err)
			}
			take := got.Placement.Takeover
			if len(take.Objects) != 1 || take.Objects[0].ID != "legacy" || take.Objects[0].Address != instanceAddress {
				t.Errorf("%+v", take)
			}
		})
	}
}
