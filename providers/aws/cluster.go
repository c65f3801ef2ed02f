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

// cluster looks at an Aurora cluster by its name; nil where there is none.
func (s *session) cluster(ctx context.Context, name string) (*types.DBCluster, error) {
	out, err := s.rds.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: &name})
	if isCode(err, "DBClusterNotFound", "DBClusterNotFoundFault") {
		return nil, nil
	}
	if err != nil || len(out.DBClusters) == 0 {
		return nil, err
	}
	return &out.DBClusters[0], nil
}

// instancesOf looks at the instances of a cluster.
func (s *session) instancesOf(ctx context.Context, cluster string) (out []types.DBInstance, err error) {
	in := &rds.DescribeDBInstancesInput{Filters: []types.Filter{{Name: sdk.String("db-cluster-id"), Values: []string{cluster}}}}
	for pages := rds.NewDescribeDBInstancesPaginator(s.rds, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, page.DBInstances...)
	}
	return out, nil
}

// global looks at a global cluster by its name; nil where there is none.
func (s *session) global(ctx context.Context, name string) (*types.GlobalCluster, error) {
	out, err := s.rds.DescribeGlobalClusters(ctx, &rds.DescribeGlobalClustersInput{GlobalClusterIdentifier: &name})
	if isCode(err, "GlobalClusterNotFound", "GlobalClusterNotFoundFault") {
		return nil, nil
	}
	if err != nil || len(out.GlobalClusters) == 0 {
		return nil, err
	}
	return &out.GlobalClusters[0], nil
}

// auroraStatus looks at a region's cluster and its instances: the region is ready once all of them are, and as many as the spec says.
func (p *Provider) auroraStatus(ctx context.Context, s *session, in providers.ModuleInput) (providers.ReadyStatus, error) {
	name := instanceName(in)
	found, err := s.cluster(ctx, name)
	if err != nil {
		return providers.ReadyStatus{}, p.explain(s.access, "the status of cluster "+name, err)
	}
	if found == nil {
		return providers.ReadyStatus{State: providers.StatePending, Message: fmt.Sprintf("AWS shows no cluster %s in %s yet", name, s.location)}, nil
	}
	instances, err := s.instancesOf(ctx, name)
	if err != nil {
		return providers.ReadyStatus{}, p.explain(s.access, "the instances of cluster "+name, err)
	}
	settings, _ := readSettings(in.Region, "settings") // accessOf has read them
	st := statusOfCluster(*found, instances, int(settings.Aurora.Instances))
	if st.State != providers.StateReady {
		if said := p.newestEvent(ctx, s, types.SourceTypeDbCluster, name); said != "" {
			st.Message += "; " + said
		}
	}
	return st, nil
}

// statusOfCluster says what the status of a cluster and those of its instances mean together. It is pure.
func statusOfCluster(c types.DBCluster, instances []types.DBInstance, want int) providers.ReadyStatus {
	status := sdk.ToString(c.Status)
	m := means(clusterStatuses, status)
	st := providers.ReadyStatus{State: m.state, Raw: status, Percent: percent(c.PercentProgress)}
	parts := []string{clusterWords(c)}
	if m.why != "" {
		parts = append(parts, m.why)
	}
	st.Message = strings.Join(parts, ": ")
	answering := 0
	for _, i := range instances {
		one := statusOf(i)
		if one.State == providers.StateReady {
			answering++
			continue
		}
		st.Message += "; " + one.Message
		if one.State == providers.StateFailed || st.State == providers.StateReady {
			st.State = one.State
		}
	}
	if answering < want && st.State == providers.StateReady {
		st.State = providers.StatePending
		st.Message += fmt.Sprintf("; %d of its %d instances are there", answering, want)
	}
	return st
}

// clusterWords says a cluster's status, and how far AWS is with it.
func clusterWords(c types.DBCluster) string {
	said := sdk.ToString(c.DBClusterIdentifier) + " is " + sdk.ToString(c.Status)
	if n := percent(c.PercentProgress); n > 0 {
		said += fmt.Sprintf(" (%d %%)", n)
	}
	return said
}

// auroraProgress is what AWS says of a region's cluster and its instances while terraform works on them.
func (p *Provider) auroraProgress(ctx context.Context, s *session, in providers.ModuleInput) (string, error) {
	name := instanceName(in)
	found, err := s.cluster(ctx, name)
	if err != nil || found == nil {
		return "", p.explain(s.access, "the status of cluster "+name, err)
	}
	said := clusterWords(*found)
	instances, err := s.instancesOf(ctx, name)
	if err != nil {
		return "", p.explain(s.access, "the instances of cluster "+name, err)
	}
	for _, i := range instances {
		said += ", " + isWords(i)
	}
	if event := p.newestEvent(ctx, s, types.SourceTypeDbCluster, name); event != "" {
		said += "; " + event
	}
	return said, nil
}
