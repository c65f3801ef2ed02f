package aws

import (
	"cmp"
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/rds"

	"meridian/providers"
)

// The types of what the module of an Aurora cluster makes, beside what that of an instance makes too.
const (
	clusterType         = "aws_rds_cluster"
	clusterInstanceType = "aws_rds_cluster_instance"
	clusterGroupType    = "aws_rds_cluster_parameter_group"
	globalType          = "aws_rds_global_cluster"
)

func (p *Provider) locateCluster(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	name := instanceName(in.ModuleInput)
	found, err := s.cluster(ctx, name)
	if err != nil {
		return providers.Located{}, err
	}
	if found == nil {
		return absent("there is no cluster %s in %s", name, s.location), nil
	}
	if owner := tagOf(found.TagList, TagOwner); owner != p.owner(in.Stack) {
		return foreign("cluster %s in %s", name, s.location, owner), nil
	}
	st := statusOfCluster(*found, nil, 0)
	if st.State == providers.StatePending || st.Raw == "deleting" {
		return providers.Located{State: providers.FoundSettling, Evidence: clusterWords(*found)}, nil
	}
	return providers.Located{State: providers.FoundPresent, ImportID: name, Healthy: st.State == providers.StateReady, Evidence: st.Message}, nil
}

// locateClusterInstance finds an instance by its cluster's name and its number, which its address ends with.
func (p *Provider) locateClusterInstance(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	number, ok := keyOf(in.Address)
	if !ok {
		return providers.Located{State: providers.FoundUnknown, Evidence: in.Address + " names no instance"}, nil
	}
	return p.locateDatabase(ctx, s, in, memberName(in.ModuleInput, number))
}

// memberName is the name of a cluster's instance by its number: what it was imported under, or what its stack gives it.
func memberName(in providers.ModuleInput, number string) string {
	return cmp.Or(in.Placement.Values[valueMember+number], instanceName(in)+"-"+number)
}

func (p *Provider) locateClusterGroup(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	name := clusterGroupName(in.ModuleInput)
	out, err := s.rds.DescribeDBClusterParameterGroups(ctx, &rds.DescribeDBClusterParameterGroupsInput{DBClusterParameterGroupName: &name})
	if isCode(err, groupGone...) || err == nil && len(out.DBClusterParameterGroups) == 0 {
		return absent("there is no cluster parameter group %s in %s", name, s.location), nil
	}
	if err != nil {
		return providers.Located{}, err
	}
	tags, err := s.rds.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: out.DBClusterParameterGroups[0].DBClusterParameterGroupArn})
	if err != nil {
		return providers.Located{}, err
	}
	if owner := tagOf(tags.TagList, TagOwner); owner != p.owner(in.Stack) {
		return foreign("cluster parameter group %s in %s", name, s.location, owner), nil
	}
	return present(name, "cluster parameter group %s is there with our mark", name), nil
}

// groupGone are AWS's words for a parameter group that is not there, of an instance or a cluster.
var groupGone = []string{"DBParameterGroupNotFound", "DBParameterGroupNotFoundFault", "DBClusterParameterGroupNotFound", "DBClusterParameterGroupNotFoundFault"}

// clusterGroupName is the name that the module gives: it carries the family.
func clusterGroupName(in providers.ModuleInput) string {
	major, _, _ := strings.Cut(in.Database.Spec.Engine.Version, ".")
	return instanceName(in) + "-" + auroraEngine + major
}

func (p *Provider) locateGlobal(ctx context.Context, s *session, in providers.LocateInput) (providers.Located, error) {
	name := globalIdentifier(in.Stack)
	found, err := s.global(ctx, name)
	if err != nil {
		return providers.Located{}, err
	}
	if found == nil {
		return absent("there is no global cluster %s in account %s", name, s.account), nil
	}
	if owner := tagOf(found.TagList, TagOwner); owner != p.owner(in.Stack) {
		return foreign("global cluster %s of account %s", name, s.account, owner), nil
	}
	st := means(clusterStatuses, *found.Status)
	said := "global cluster " + name + " is " + *found.Status
	if st.state == providers.StatePending || *found.Status == "deleting" {
		return providers.Located{State: providers.FoundSettling, Evidence: said}, nil
	}
	return providers.Located{State: providers.FoundPresent, ImportID: name, Healthy: st.state == providers.StateReady, Evidence: said}, nil
}

// keyOf is the key of a resource's address: one that for_each made.
func keyOf(address string) (string, bool) {
	_, key, ok := strings.Cut(address, `["`)
	key, closed := strings.CutSuffix(key, `"]`)
	return key, ok && closed
}
