package aws

import (
	"context"
	"fmt"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/providers"
)

// Where the stack of an Aurora cluster has what it is made of.
const (
	clusterAddress         = "module.database.aws_rds_cluster.this"
	clusterInstanceAddress = "module.database.aws_rds_cluster_instance.this"
	clusterGroupAddress    = "module.database.aws_rds_cluster_parameter_group.this[0]"
	globalAddress          = "module.database.aws_rds_global_cluster.this[0]"
)

// listClusters lists what only Aurora has: clusters, their parameter groups, and global clusters, which AWS shows in every region.
func (p *Provider) listClusters(ctx context.Context, s *session) (out []providers.Object, err error) {
	for pages := rds.NewDescribeDBClustersPaginator(s.rds, nil); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range page.DBClusters {
			if id, ours := p.stackOf(tagOf(c.TagList, TagOwner)); ours {
				out = append(out, providers.Object{
					Provider: Name, ID: sdk.ToString(c.DBClusterArn), Stack: id, Type: clusterType, Address: clusterAddress, ImportID: sdk.ToString(c.DBClusterIdentifier),
					Detail: fmt.Sprintf("%s %s, %s", sdk.ToString(c.Engine), sdk.ToString(c.EngineVersion), clusterWords(c)), DataBearing: true,
				})
			}
		}
	}
	for pages := rds.NewDescribeDBClusterParameterGroupsPaginator(s.rds, nil); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.DBClusterParameterGroups {
			if strings.HasPrefix(sdk.ToString(g.DBClusterParameterGroupName), "default.") {
				continue // AWS's own: it has no tags, and asking costs a call for each
			}
			tags, err := s.rds.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: g.DBClusterParameterGroupArn})
			if isCode(err, groupGone...) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if id, ours := p.stackOf(tagOf(tags.TagList, TagOwner)); ours {
				out = append(out, providers.Object{
					Provider: Name, ID: sdk.ToString(g.DBClusterParameterGroupArn), Stack: id, Type: clusterGroupType, Address: clusterGroupAddress,
					ImportID: sdk.ToString(g.DBClusterParameterGroupName), Detail: "cluster parameter group " + sdk.ToString(g.DBClusterParameterGroupName) + " in " + s.location,
				})
			}
		}
	}
	for pages := rds.NewDescribeGlobalClustersPaginator(s.rds, nil); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.GlobalClusters {
			if id, ours := p.stackOf(tagOf(g.TagList, TagOwner)); ours {
				out = append(out, providers.Object{
					Provider: Name, ID: sdk.ToString(g.GlobalClusterArn), Stack: id, Type: globalType, Address: globalAddress,
					ImportID: sdk.ToString(g.GlobalClusterIdentifier), Detail: fmt.Sprintf("global cluster of %d clusters", len(g.GlobalClusterMembers)),
				})
			}
		}
	}
	return out, nil
}

// asMember makes the object of an instance that of a cluster's instance: the data is the cluster's.
func asMember(o providers.Object, i types.DBInstance) providers.Object {
	number := strings.TrimPrefix(sdk.ToString(i.DBInstanceIdentifier), sdk.ToString(i.DBClusterIdentifier)+"-")
	o.Type, o.Address, o.DataBearing = clusterInstanceType, memberAddress(number), false
	return o
}

// numbered gives an imported cluster's instance the number that it has in its stack: no name says it.
func numbered(o providers.Object, places []providers.ModuleInput) providers.Object {
	for _, place := range places {
		if o.Type != clusterInstanceType || place.Stack != o.Stack {
			continue
		}
		for name, value := range place.Placement.Values {
			if number, is := strings.CutPrefix(name, valueMember); is && value == o.ImportID {
				o.Address = memberAddress(number)
			}
		}
	}
	return o
}

// memberAddress is where the stack of a cluster has an instance.
func memberAddress(number string) string {
	return fmt.Sprintf("%s[%q]", clusterInstanceAddress, number)
}

// removeCluster deletes a cluster that is empty of instances. It takes it out of its global cluster first; the one that writes leaves a final
// snapshot, and goes last.
func (p *Provider) removeCluster(ctx context.Context, s *session, o providers.Object) error {
	c, err := s.cluster(ctx, o.ImportID)
	if err != nil || c == nil {
		return err
	}
	instances, err := s.instancesOf(ctx, o.ImportID)
	if err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%s "+format+": %w", append(append([]any{o.ID}, args...), providers.ErrPermanent)...)
	}
	if id, ours := p.stackOf(tagOf(c.TagList, TagOwner)); !ours || id != o.Stack {
		return fmt.Errorf("%s is not marked as %s any more: %w", o.ID, o.Stack, providers.ErrForeign)
	}
	switch {
	case sdk.ToString(c.Status) == "deleting":
		return nil
	case sdk.ToBool(c.DeletionProtection):
		return refuse("is protected against deletion: lift that in AWS, then remove it")
	case len(instances) > 0:
		return refuse("has %d instances still, like %s: remove them first", len(instances), sdk.ToString(instances[0].DBInstanceIdentifier))
	}
	member, writer, others, err := s.memberOf(ctx, sdk.ToString(c.DBClusterArn))
	if err != nil {
		return err
	}
	if writer && others > 0 {
		return refuse("is the one that writes in the global cluster %s, which has %d others: remove those first", member, others)
	}
	if member != "" {
		if _, err := s.rds.RemoveFromGlobalCluster(ctx, &rds.RemoveFromGlobalClusterInput{GlobalClusterIdentifier: &member, DbClusterIdentifier: c.DBClusterArn}); err != nil {
			return err
		}
	}
	in := &rds.DeleteDBClusterInput{DBClusterIdentifier: &o.ImportID, SkipFinalSnapshot: sdk.Bool(true)}
	if status := sdk.ToString(c.Status); status == "available" && (member == "" || writer) {
		in.SkipFinalSnapshot, in.FinalDBSnapshotIdentifier = sdk.Bool(false), sdk.String(o.ImportID+"-removed")
	}
	if _, err = s.rds.DeleteDBCluster(ctx, in); err == nil {
		return nil
	}
	if now, look := s.cluster(ctx, o.ImportID); look == nil && (now == nil || sdk.ToString(now.Status) == "deleting") {
		return nil // a call whose answer was lost did it
	}
	return err
}

// memberOf says which global cluster a cluster is a member of, if it is one, whether it writes there, and how many others there are.
func (s *session) memberOf(ctx context.Context, arn string) (name string, writer bool, others int, err error) {
	in := &rds.DescribeGlobalClustersInput{Filters: []types.Filter{{Name: sdk.String("db-cluster-id"), Values: []string{arn}}}}
	out, err := s.rds.DescribeGlobalClusters(ctx, in)
	if err != nil {
		return "", false, 0, err
	}
	for _, g := range out.GlobalClusters {
		for _, m := range g.GlobalClusterMembers {
			if sdk.ToString(m.DBClusterArn) == arn {
				return sdk.ToString(g.GlobalClusterIdentifier), sdk.ToBool(m.IsWriter), len(g.GlobalClusterMembers) - 1, nil
			}
		}
	}
	return "", false, 0, nil
}

func (p *Provider) removeClusterGroup(ctx context.Context, s *session, o providers.Object) error {
	tags, err := s.rds.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: &o.ID})
	if isCode(err, groupGone...) {
		return nil
	}
	if err != nil {
		return err
	}
	if id, ours := p.stackOf(tagOf(tags.TagList, TagOwner)); !ours || id != o.Stack {
		return fmt.Errorf("%s is not marked as %s any more: %w", o.ID, o.Stack, providers.ErrForeign)
	}
	_, err = s.rds.DeleteDBClusterParameterGroup(ctx, &rds.DeleteDBClusterParameterGroupInput{DBClusterParameterGroupName: &o.ImportID})
	if isCode(err, groupGone...) {
		return nil
	}
	return err
}

// removeGlobal deletes a global cluster that has no members any more.
func (p *Provider) removeGlobal(ctx context.Context, s *session, o providers.Object) error {
	g, err := s.global(ctx, o.ImportID)
	if err != nil || g == nil {
		return err
	}
	if id, ours := p.stackOf(tagOf(g.TagList, TagOwner)); !ours || id != o.Stack {
		return fmt.Errorf("%s is not marked as %s any more: %w", o.ID, o.Stack, providers.ErrForeign)
	}
	switch n := len(g.GlobalClusterMembers); {
	case sdk.ToString(g.Status) == "deleting":
		return nil
	case sdk.ToBool(g.DeletionProtection):
		return fmt.Errorf("%s is protected against deletion: lift that in AWS, then remove it: %w", o.ID, providers.ErrPermanent)
	case n > 0:
		return fmt.Errorf("%s has %d clusters still: remove them first: %w", o.ID, n, providers.ErrPermanent)
	}
	_, err = s.rds.DeleteGlobalCluster(ctx, &rds.DeleteGlobalClusterInput{GlobalClusterIdentifier: &o.ImportID})
	return err
}
