package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/providers"
	"meridian/stacks"
)

var (
	_ providers.Inventory = (*Provider)(nil)
	_ providers.Remover   = (*Provider)(nil)
)

// Where the stack of an RDS instance and of its security group have them.
const (
	instanceAddress       = "module.database.aws_db_instance.this"
	parameterGroupAddress = "module.database.aws_db_parameter_group.this[0]"
	securityGroupAddress  = "module.database.aws_security_group.this[0]"
)

// Inventory lists what carries this installation's tag in every account and region that a place names, each looked at once.
func (p *Provider) Inventory(ctx context.Context, places []providers.ModuleInput) ([]providers.Object, error) {
	var out []providers.Object
	var seen []access
	for _, place := range places {
		a, err := accessOf(place)
		if err != nil {
			return nil, err
		}
		if slices.Contains(seen, a) {
			continue
		}
		seen = append(seen, a)
		s, err := p.sessions.of(ctx, a)
		if err != nil {
			return nil, err
		}
		found, err := p.list(ctx, s)
		if err != nil {
			return nil, p.explain(a, "what is there", err)
		}
		for _, o := range found {
			if !slices.ContainsFunc(out, func(x providers.Object) bool { return x.ID == o.ID }) { // two roles may see the same
				out = append(out, numbered(o, places))
			}
		}
	}
	return out, nil
}

func (p *Provider) list(ctx context.Context, s *session) (out []providers.Object, err error) {
	for pages := rds.NewDescribeDBInstancesPaginator(s.rds, nil); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range page.DBInstances {
			if o, ours := p.instanceObject(i); ours {
				out = append(out, o)
			}
		}
	}
	for pages := rds.NewDescribeDBParameterGroupsPaginator(s.rds, nil); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.DBParameterGroups {
			if strings.HasPrefix(sdk.ToString(g.DBParameterGroupName), "default.") {
				continue // AWS's own: it has no tags, and asking costs a call for each
			}
			tags, err := s.rds.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: g.DBParameterGroupArn})
			if isCode(err, "DBParameterGroupNotFound", "DBParameterGroupNotFoundFault") {
				continue
			}
			if err != nil {
				return nil, err
			}
			if id, ours := p.stackOf(tagOf(tags.TagList, TagOwner)); ours {
				out = append(out, providers.Object{
					Provider: Name, ID: sdk.ToString(g.DBParameterGroupArn), Stack: id, Type: parameterGroupType, Address: parameterGroupAddress,
					ImportID: sdk.ToString(g.DBParameterGroupName), Detail: "parameter group " + sdk.ToString(g.DBParameterGroupName) + " in " + s.location,
				})
			}
		}
	}
	clusters, err := p.listClusters(ctx, s)
	if err != nil {
		return nil, err
	}
	out = append(out, clusters...)
	ours := &ec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{filter("tag:"+TagOwner, p.cfg.Installation+"/*")}}
	for pages := ec2.NewDescribeSecurityGroupsPaginator(s.ec2, ours); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.SecurityGroups {
			if id, ours := p.stackOf(ec2TagOf(g.Tags, TagOwner)); ours {
				out = append(out, providers.Object{
					Provider: Name, ID: groupARN(s.access, sdk.ToString(g.GroupId)), Stack: id, Type: securityGroupType, Address: securityGroupAddress,
					ImportID: sdk.ToString(g.GroupId), Detail: "security group " + sdk.ToString(g.GroupName) + " in " + s.location,
				})
			}
		}
	}
	return out, nil
}

func (p *Provider) instanceObject(i types.DBInstance) (providers.Object, bool) {
	id, ours := p.stackOf(tagOf(i.TagList, TagOwner))
	o := providers.Object{
		Provider: Name, ID: sdk.ToString(i.DBInstanceArn), Stack: id, Type: instanceType, Address: instanceAddress, ImportID: sdk.ToString(i.DBInstanceIdentifier),
		Detail: fmt.Sprintf("%s %s, %s, %s", sdk.ToString(i.Engine), sdk.ToString(i.EngineVersion), sdk.ToString(i.DBInstanceClass), isWords(i)), DataBearing: true,
	}
	if i.DBClusterIdentifier != nil {
		o = asMember(o, i)
	}
	return o, ours
}

// stackOf reads the stack from an owner mark of this installation.
func (p *Provider) stackOf(owner string) (stacks.StackID, bool) {
	rest, ok := strings.CutPrefix(owner, p.cfg.Installation+"/")
	if !ok {
		return stacks.StackID{}, false
	}
	id, err := stacks.ParseStackID(rest)
	return id, err == nil
}

func groupARN(a access, id string) string {
	return fmt.Sprintf("arn:%s:ec2:%s:%s:security-group/%s", partition(a.location), a.location, a.account, id)
}

// RemoveObject deletes one object that has our mark still. A database that AWS can still read leaves a final snapshot; one whose deletion
// is protected is refused, and one that AWS deletes already is fine.
func (p *Provider) RemoveObject(ctx context.Context, o providers.Object, places []providers.ModuleInput) error {
	s, err := p.sessionFor(ctx, o, places)
	if err != nil {
		return err
	}
	remove := map[string]func(context.Context, *session, providers.Object) error{
		instanceType: p.removeInstance, parameterGroupType: p.removeParameterGroup, securityGroupType: p.removeGroup,
		clusterType: p.removeCluster, clusterInstanceType: p.removeInstance, clusterGroupType: p.removeClusterGroup, globalType: p.removeGlobal,
	}[o.Type]
	if remove == nil {
		return fmt.Errorf("%s is a %s, which is not removed from here: %w", o.ID, o.Type, providers.ErrPermanent)
	}
	return p.explain(s.access, "removing "+o.ID, remove(ctx, s, o))
}

// sessionFor is the session of a place in the account and region that an object's ARN names; the ARN of a global cluster names no region.
func (p *Provider) sessionFor(ctx context.Context, o providers.Object, places []providers.ModuleInput) (*session, error) {
	part := strings.SplitN(o.ID, ":", 6)
	if len(part) < 6 {
		return nil, fmt.Errorf("%s is no ARN: %w", o.ID, providers.ErrForeign)
	}
	for _, place := range places {
		a, err := accessOf(place)
		if err == nil && (a.location == part[3] || part[3] == "") && a.account == part[4] {
			return p.sessions.of(ctx, a)
		}
	}
	return nil, fmt.Errorf("no spec says how account %s is reached in %s: %w", part[4], part[3], providers.ErrPermanent)
}

// unreadable are the statuses in which AWS can take no snapshot: only a deletion without one is possible.
var unreadable = []string{"failed", "incompatible-restore", "incompatible-network", "incompatible-create", "creating"}

func (p *Provider) removeInstance(ctx context.Context, s *session, o providers.Object) error {
	i, err := s.instance(ctx, o.ImportID)
	if err != nil || i == nil {
		return err
	}
	if id, ours := p.stackOf(tagOf(i.TagList, TagOwner)); !ours || id != o.Stack {
		return fmt.Errorf("%s is not marked as %s any more: %w", o.ID, o.Stack, providers.ErrForeign)
	}
	status := sdk.ToString(i.DBInstanceStatus)
	if status == "deleting" {
		return nil
	}
	if sdk.ToBool(i.DeletionProtection) {
		return fmt.Errorf("%s is protected against deletion: lift that in AWS, then remove it: %w", o.ID, providers.ErrPermanent)
	}
	in := &rds.DeleteDBInstanceInput{DBInstanceIdentifier: &o.ImportID, SkipFinalSnapshot: sdk.Bool(true)}
	if !slices.Contains(unreadable, status) && i.ReadReplicaSourceDBInstanceIdentifier == nil && i.DBClusterIdentifier == nil {
		in.SkipFinalSnapshot, in.FinalDBSnapshotIdentifier = sdk.Bool(false), sdk.String(o.ImportID+"-removed")
	}
	if _, err = s.rds.DeleteDBInstance(ctx, in); err == nil {
		return nil
	}
	if now, look := s.instance(ctx, o.ImportID); look == nil && (now == nil || sdk.ToString(now.DBInstanceStatus) == "deleting") {
		return nil // a call whose answer was lost did it
	}
	return err
}

func (p *Provider) removeParameterGroup(ctx context.Context, s *session, o providers.Object) error {
	tags, err := s.rds.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: &o.ID})
	if isCode(err, "DBParameterGroupNotFound", "DBParameterGroupNotFoundFault") {
		return nil
	}
	if err != nil {
		return err
	}
	if id, ours := p.stackOf(tagOf(tags.TagList, TagOwner)); !ours || id != o.Stack {
		return fmt.Errorf("%s is not marked as %s any more: %w", o.ID, o.Stack, providers.ErrForeign)
	}
	_, err = s.rds.DeleteDBParameterGroup(ctx, &rds.DeleteDBParameterGroupInput{DBParameterGroupName: &o.ImportID})
	if isCode(err, "DBParameterGroupNotFound", "DBParameterGroupNotFoundFault") {
		return nil
	}
	return err
}

func (p *Provider) removeGroup(ctx context.Context, s *session, o providers.Object) error {
	out, err := s.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{filter("group-id", o.ImportID)}})
	if err != nil || len(out.SecurityGroups) == 0 {
		return err
	}
	if id, ours := p.stackOf(ec2TagOf(out.SecurityGroups[0].Tags, TagOwner)); !ours || id != o.Stack {
		return fmt.Errorf("%s is not marked as %s any more: %w", o.ID, o.Stack, providers.ErrForeign)
	}
	_, err = s.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &o.ImportID})
	if isCode(err, "InvalidGroup.NotFound", "InvalidGroupId.NotFound") {
		return nil
	}
	return err
}
