package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
)

// awsTwice loses the state of a region, so that everything is created a second time under the same names: AWS refuses each, and the next
// apply finds each by what modules/README.md says, takes it over and changes nothing of it.
func awsTwice(t *testing.T) {
	w := newAWS(t)
	m := w.m
	spec := w.spec(w.region("here", frankfurt, "primary"), "{}")
	m.done(spec)
	before := w.census(frankfurt)
	m.createdTwice(m, "aws-rds", "orders", "here", spec)
	if after := w.census(frankfurt); !slices.Equal(before, after) {
		t.Errorf("AWS had\n%q\nand has\n%q", before, after)
	}
	if again := m.done(spec); again.HasChanges {
		t.Errorf("the next apply changes %+v", again.Changes)
	}
}

// census lists what there is in a region of AWS, by name and by the ID that AWS gave.
func (w *awsWorld) census(location string) (out []string) {
	w.site.t.Helper()
	ctx := context.Background()
	for _, i := range w.instances(location) {
		out = append(out, *i.DBInstanceIdentifier+" "+*i.DbiResourceId)
	}
	for _, c := range w.clusters(location) {
		out = append(out, *c.DBClusterIdentifier+" "+*c.DbClusterResourceId)
	}
	for _, g := range w.globals() {
		out = append(out, fmt.Sprintf("%s of %d", *g.GlobalClusterArn, len(g.GlobalClusterMembers)))
	}
	clustered, err := w.rds(location).DescribeDBClusterParameterGroups(ctx, &rds.DescribeDBClusterParameterGroupsInput{})
	w.must(err)
	for _, g := range clustered.DBClusterParameterGroups {
		out = append(out, *g.DBClusterParameterGroupArn)
	}
	groups, err := w.rds(location).DescribeDBParameterGroups(ctx, &rds.DescribeDBParameterGroupsInput{})
	w.must(err)
	for _, g := range groups.DBParameterGroups {
		out = append(out, *g.DBParameterGroupArn)
	}
	rules, err := w.ec2(location).DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{})
	w.must(err)
	for _, r := range rules.SecurityGroupRules {
		if !*r.IsEgress {
			out = append(out, *r.GroupId+" "+*r.SecurityGroupRuleId)
		}
	}
	security, err := w.ec2(location).DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	w.must(err)
	for _, g := range security.SecurityGroups {
		out = append(out, *g.GroupId+" "+*g.GroupName)
	}
	slices.Sort(out)
	return out
}
