package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/providers/aws/mototest"
	"meridian/stacks"
)

// awsGlobal makes one Aurora Global Database of two regions of AWS: both are planned at once, the second cluster joins when the first is
// ready, and a row arrives. An untouched database stays clean, no secret is in a state or plan, each of its attributes that moves is drift, and a
// destruction takes the second cluster out first and leaves only the final snapshot.
func awsGlobal(t *testing.T) {
	w := newAWS(t)
	m := w.m
	spec := w.globalSpec()
	w.wantReplica(m.done(spec))
	db, err := m.Database(t.Context(), stacks.DefaultNamespace, "orders")
	if err != nil {
		t.Fatal(err)
	}
	w.wantGlobal(db.Incarnation)
	w.wantUntouched(spec, 3)
	w.noSecret(db.Incarnation)
	m.everyDrift("orders", "here", w.Env(), auroraTable)
	before := w.census(frankfurt)
	m.createdTwice(m, "aws-aurora-postgres", "orders", "here", spec)
	if after := w.census(frankfurt); !slices.Equal(before, after) {
		t.Errorf("before its state was lost AWS had\n%q\nand has\n%q", before, after)
	}
	w.wantGlobal(db.Incarnation)
	w.wantUntouched(spec, 1)

	m.destroy("orders")
	for _, location := range []string{frankfurt, virginia} {
		if cs, is := w.clusters(location), w.instances(location); len(cs)+len(is) > 0 {
			t.Errorf("left in %s: %+v, %+v", location, cs, is)
		}
		groups, err := w.rds(location).DescribeDBClusterParameterGroups(t.Context(), &rds.DescribeDBClusterParameterGroupsInput{})
		if err != nil || len(groups.DBClusterParameterGroups) > 0 {
			t.Errorf("parameter groups left in %s: %+v, %v", location, groups, err)
		}
	}
	if g := w.globals(); len(g) > 0 {
		t.Errorf("global clusters left: %+v", g)
	}
	last, err := w.rds(frankfurt).DescribeDBClusterSnapshots(t.Context(), &rds.DescribeDBClusterSnapshotsInput{})
	if err != nil {
		t.Fatal(err)
	}
	manual := slices.DeleteFunc(last.DBClusterSnapshots, func(s rdstypes.DBClusterSnapshot) bool { return *s.SnapshotType == "automated" })
	if len(manual) != 1 || *manual[0].DBClusterSnapshotIdentifier != "default-orders-"+db.Incarnation+"-here-final" {
		t.Errorf("snapshots = %+v, want the final one", manual)
	}
}

// wantGlobal holds what AWS has of the database: one global cluster whose first cluster writes, one instance in each region, all encrypted and ours.
func (w *awsWorld) wantGlobal(incarnation string) {
	t := w.site.t
	t.Helper()
	name := "default-orders-" + incarnation
	gs := w.globals()
	if len(gs) != 1 || *gs[0].GlobalClusterIdentifier != name || len(gs[0].GlobalClusterMembers) != 2 || !*gs[0].StorageEncrypted {
		t.Fatalf("global clusters: %+v", gs)
	}
	if !slices.ContainsFunc(gs[0].TagList, func(tag rdstypes.Tag) bool { return *tag.Key == "meridian:owner" }) {
		t.Errorf("the global cluster has no mark: %+v", gs[0].TagList)
	}
	for _, member := range gs[0].GlobalClusterMembers {
		if writes := strings.HasSuffix(*member.DBClusterArn, "-here"); *member.IsWriter != writes {
			t.Errorf("%s writes: %t", *member.DBClusterArn, *member.IsWriter)
		}
	}
	for location, region := range map[string]string{frankfurt: "here", virginia: "there"} {
		cs, is := w.clusters(location), w.instances(location)
		if len(cs) != 1 || *cs[0].DBClusterIdentifier != name+"-"+region || !*cs[0].StorageEncrypted {
			t.Errorf("clusters in %s: %+v", location, cs)
		}
		if len(is) != 1 || *is[0].DBInstanceIdentifier != name+"-"+region+"-1" {
			t.Errorf("instances in %s: %+v", location, is)
		}
	}
}

// auroraRegion is a region of a spec that is an Aurora cluster with one instance.
func (w *awsWorld) auroraRegion(name, location, role string) string {
	return fmt.Sprintf(`    - name: %s
      provider: aws
      location: %s
      role: %s
      settings:
        account: %q
        aurora: {instances: 1}
        network: {subnetGroup: %s, vpc: %s, allow: [10.0.0.0/16]}
        storage: {kmsKey: %q}
`, name, location, role, mototest.Account, mototest.SubnetGroup, w.Regions[location].VPC, w.Regions[location].Key)
}

// globalSpec is the spec of database orders, one of two regions.
func (w *awsWorld) globalSpec() string {
	w.site.t.Helper()
	regions := w.auroraRegion("here", frankfurt, "primary") + w.auroraRegion("there", virginia, "replica")
	return strings.Replace(w.spec(regions, "{maxLag: 1m}"), "  regions:\n", "  topology: global\n  regions:\n", 1)
}

// clusters lists the Aurora clusters that AWS has in a region.
func (w *awsWorld) clusters(location string) []rdstypes.DBCluster {
	w.site.t.Helper()
	out, err := w.rds(location).DescribeDBClusters(context.Background(), &rds.DescribeDBClustersInput{})
	if err != nil {
		w.site.t.Fatal(err)
	}
	return out.DBClusters
}

// globals lists the global clusters of the account.
func (w *awsWorld) globals() []rdstypes.GlobalCluster {
	w.site.t.Helper()
	out, err := w.rds(virginia).DescribeGlobalClusters(context.Background(), &rds.DescribeGlobalClustersInput{})
	if err != nil {
		w.site.t.Fatal(err)
	}
	return out.GlobalClusters
}
