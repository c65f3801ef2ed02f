package aws

import (
	"context"
	"fmt"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/providers"
)

var _ providers.Locator = (*Provider)(nil)

// The types of what the module makes beside the database.
const (
	instanceType       = "aws_db_instance"
	parameterGroupType = "aws_db_parameter_group"
	securityGroupType  = "aws_security_group"
	ingressRuleType    = "aws_vpc_security_group_ingress_rule"
)

// Locate finds what a stack makes again: by its fixed name, and by our tag that is given in each create call.
func (p *Provider) Locate(ctx context.Context, in providers.LocateInput) (providers.Located, error) {
	a, err := accessOf(in.ModuleInput)
	if err != nil {
		return providers.Located{}, err
	}
	s, err := p.sessions.of(ctx, a)
	if err != nil {
		return providers.Located{}, err
	}
	look := map[string]func(context.Context, *session, providers.LocateInput) (providers.Located, error){
		instanceType: p.locateInstance, parameterGroupType: p.locateParameterGroup, securityGroupType: p.locateGroup, ingressRuleType: p.locateRule,
		clusterType: p.locateCluster, clusterInstanceType: p.locateClusterInstance, clusterGroupType: p.locateClusterGroup, globalType: p.locateGlobal,
	}[in.Type]
	if look == nil {
		return providers.Located{State: providers.FoundUnknown, Evidence: "nobody knows how to find a " + in.Type + " again"}, nil
	}
	found, err := look(ctx, s, in)
	return found, p.explain(a, "looking for "+in.Address, err)
}

func (p *Provider) locateInstance(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	return p.locateDatabase(ctx, s, in, instanceName(in.ModuleInput))
}

// locateDatabase takes a database that AWS still works on for one that is not settled yet: what it becomes is seen at the next look.
func (p *Provider) locateDatabase(ctx context.Context, s *session, in providers.LocateInput, name string) (providers.Located, error) {
	found, err := s.instance(ctx, name)
	if err != nil {
		return providers.Located{}, err
	}
	if found == nil {
		return absent("there is no database %s in %s", name, s.location), nil
	}
	if owner := tagOf(found.TagList, TagOwner); owner != p.owner(in.Stack) {
		return foreign("database %s in %s", name, s.location, owner), nil
	}
	st := statusOf(*found)
	out := providers.Located{State: providers.FoundPresent, ImportID: name, Healthy: st.State == providers.StateReady, Evidence: st.Message}
	if st.State == providers.StatePending || st.Raw == "deleting" {
		out = providers.Located{State: providers.FoundSettling, Evidence: isWords(*found)}
	}
	return out, nil
}

func (p *Provider) locateParameterGroup(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	name := parameterGroupName(in.ModuleInput)
	out, err := s.rds.DescribeDBParameterGroups(ctx, &rds.DescribeDBParameterGroupsInput{DBParameterGroupName: &name})
	if isCode(err, groupGone...) || err == nil && len(out.DBParameterGroups) == 0 {
		return absent("there is no parameter group %s in %s", name, s.location), nil
	}
	if err != nil {
		return providers.Located{}, err
	}
	tags, err := s.rds.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: out.DBParameterGroups[0].DBParameterGroupArn})
	if err != nil {
		return providers.Located{}, err
	}
	if owner := tagOf(tags.TagList, TagOwner); owner != p.owner(in.Stack) {
		return foreign("parameter group %s in %s", name, s.location, owner), nil
	}
	return present(name, "parameter group %s is there with our mark", name), nil
}

// parameterGroupName is the name that the module gives: it carries the family.
func parameterGroupName(in providers.ModuleInput) string {
	return instanceName(in) + "-" + strings.ReplaceAll(familyOf(in.Database), ".", "-")
}

func (p *Provider) locateGroup(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	g, name, err := s.group(ctx, in.ModuleInput)
	switch {
	case err != nil:
		return providers.Located{}, err
	case g == nil:
		return absent("there is no security group %s in %s", name, s.location), nil
	}
	if owner := ec2TagOf(g.Tags, TagOwner); owner != p.owner(in.Stack) {
		return foreign("security group %s in %s", name, s.location, owner), nil
	}
	return present(sdk.ToString(g.GroupId), "security group %s (%s) is there with our mark", name, sdk.ToString(g.GroupId)), nil
}

// group finds the security group of a region by its name and VPC, which together are unique; nil where there is none.
func (s *session) group(ctx context.Context, in providers.ModuleInput) (g *ec2types.SecurityGroup, name string, err error) {
	settings, _ := readSettings(in.Region, "settings")
	name = instanceName(in)
	out, err := s.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []ec2types.Filter{filter("group-name", name), filter("vpc-id", settings.Network.VPC)},
	})
	if err != nil || len(out.SecurityGroups) == 0 {
		return nil, name, err
	}
	return &out.SecurityGroups[0], name, nil
}

// locateRule finds an ingress rule by its group and address range, which together are unique: AWS refuses a second one.
func (p *Provider) locateRule(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	cidr, ok := keyOf(in.Address)
	if !ok {
		return providers.Located{State: providers.FoundUnknown, Evidence: in.Address + " names no address range"}, nil
	}
	group, err := p.locateGroup(ctx, s, in)
	if err != nil || group.State != providers.FoundPresent {
		return group, err
	}
	out, err := s.ec2.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: []ec2types.Filter{filter("group-id", group.ImportID)}})
	if err != nil {
		return providers.Located{}, err
	}
	for _, r := range out.SecurityGroupRules {
		if sdk.ToString(r.CidrIpv4) == cidr && !sdk.ToBool(r.IsEgress) {
			return present(sdk.ToString(r.SecurityGroupRuleId), "rule %s lets %s into our %s", sdk.ToString(r.SecurityGroupRuleId), cidr, group.ImportID), nil
		}
	}
	return absent("no rule of %s lets %s in", group.ImportID, cidr), nil
}

func filter(name, value string) ec2types.Filter {
	return ec2types.Filter{Name: &name, Values: []string{value}}
}

func tagOf(tags []types.Tag, key string) string {
	for _, t := range tags {
		if sdk.ToString(t.Key) == key {
			return sdk.ToString(t.Value)
		}
	}
	return ""
}

func ec2TagOf(tags []ec2types.Tag, key string) string {
	for _, t := range tags {
		if sdk.ToString(t.Key) == key {
			return sdk.ToString(t.Value)
		}
	}
	return ""
}

func absent(format string, args ...any) providers.Located {
	return providers.Located{State: providers.FoundAbsent, Evidence: fmt.Sprintf(format, args...)}
}

func present(id, format string, args ...any) providers.Located {
	return providers.Located{State: providers.FoundPresent, ImportID: id, Healthy: true, Evidence: fmt.Sprintf(format, args...)}
}

// foreign says whose mark is on what has our name.
func foreign(format, name, location, owner string) providers.Located {
	whose := "has no mark of a Meridian"
	if owner != "" {
		whose = "is marked as " + owner
	}
	return providers.Located{State: providers.FoundForeign, Evidence: fmt.Sprintf(format, name, location) + " " + whose}
}
