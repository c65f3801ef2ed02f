package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/stacks"
)

// awsReplica makes a database in two regions of AWS, the second a physical replica of the first.
func awsReplica(t *testing.T) {
	w := newAWS(t)
	w.tellReplica(w.spec(w.region("here", frankfurt, "primary")+w.region("there", virginia, "replica"), "{mode: physical}"), frankfurt, virginia)
}

// tellReplica tells the story of a database whose region there follows the region here: both are planned at once, and the replica is made
// when its source answers. A row arrives; nothing changes in checks of an untouched stack; no secret is in a state or plan; a tag that somebody
// sets is told and taken back; a destruction leaves only the final snapshot.
func (w *awsWorld) tellReplica(spec, primary, replica string) {
	t, m := w.site.t, w.m
	t.Helper()
	w.wantReplica(m.done(spec))
	incarnation := m.incarnation("orders")
	for location, region := range map[string]string{primary: "here", replica: "there"} {
		is := w.ours(location, incarnation)
		if len(is) != 1 || *is[0].DBInstanceIdentifier != "default-orders-"+incarnation+"-"+region || !*is[0].StorageEncrypted {
			t.Fatalf("instances in %s: %+v", location, is)
		}
	}
	if source := w.ours(replica, incarnation)[0].ReadReplicaSourceDBInstanceIdentifier; source == nil || !strings.Contains(*source, "default-orders-"+incarnation+"-here") {
		t.Errorf("the replica's source is %v", source)
	}

	w.wantUntouched(spec, 3) // the ten checks of an untouched stack are in the story of drift
	w.noSecret(incarnation)

	_, err := w.rds(primary).AddTagsToResource(t.Context(), &rds.AddTagsToResourceInput{
		ResourceName: w.ours(primary, incarnation)[0].DBInstanceArn, Tags: []rdstypes.Tag{{Key: sdk.String("team"), Value: sdk.String("nobody")}},
	})
	w.must(err)
	m.wantDrift(m.checkDrift("orders"), "changed here"+awsInstance+".tags.team")
	m.mended("orders")

	m.destroy("orders")
	for _, location := range []string{primary, replica} {
		if is := w.ours(location, incarnation); len(is) > 0 {
			t.Errorf("instances left in %s: %+v", location, is)
		}
		groups, err := w.rds(location).DescribeDBParameterGroups(t.Context(), &rds.DescribeDBParameterGroupsInput{})
		w.must(err)
		for _, g := range groups.DBParameterGroups {
			if strings.HasPrefix(*g.DBParameterGroupName, "default-orders-"+incarnation) {
				t.Errorf("a parameter group is left in %s: %+v", location, g)
			}
		}
	}
	last, err := w.rds(primary).DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{SnapshotType: sdk.String("manual")})
	w.must(err)
	if !slices.ContainsFunc(last.DBSnapshots, func(s rdstypes.DBSnapshot) bool {
		return *s.DBSnapshotIdentifier == "default-orders-"+incarnation+"-here-final"
	}) {
		t.Errorf("snapshots = %+v, want the final one", last.DBSnapshots)
	}
}

// ours are the instances of a region that Meridian made for database orders: an account may have others.
func (w *awsWorld) ours(location, incarnation string) []rdstypes.DBInstance {
	w.site.t.Helper()
	return slices.DeleteFunc(w.instances(location), func(i rdstypes.DBInstance) bool {
		return !strings.HasPrefix(*i.DBInstanceIdentifier, "default-orders-"+incarnation)
	})
}

// noSecret looks for each password in each state, and in every file of the site but the servers' own and the keyring's.
func (w *awsWorld) noSecret(incarnation string) {
	t, ctx := w.site.t, context.Background()
	t.Helper()
	var secrets []secret
	for _, name := range []string{"region/here/admin", "user/orders_app"} {
		value, err := w.m.catalog.Secret(ctx, incarnation, name)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret{name: name, text: value})
	}
	hay := newHaystack(secrets...)
	for _, region := range []string{"here", "there"} {
		state, err := w.m.journal.LatestState(ctx, stacks.StackID{Namespace: "default", Name: "orders", Incarnation: incarnation, Region: region})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(state.Payload), "default-orders-"+incarnation+"-"+region) {
			t.Errorf("the state of %s knows no instance", region)
		}
		if found := hay.find(state.Payload); len(found) > 0 {
			t.Errorf("the state of %s tells %v", region, found)
		}
	}
	files := 0
	err := filepath.WalkDir(w.site.data, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "rds" || d.Name() == "templates") {
			return filepath.SkipDir
		}
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // it went while this looked
		}
		if text, err := os.ReadFile(path); err == nil {
			files++
			if found := hay.find(text); len(found) > 0 {
				t.Errorf("%s tells %v", path, found)
			}
		}
		return nil
	})
	if err != nil || files < 3 {
		t.Errorf("%d files were looked at: %v", files, err)
	}
}

// awsKilledInTheMiddle kills terraform and its provider while AWS makes the database: the next plan takes over what was made. There
// is one instance, the same, and nobody was asked.
func awsKilledInTheMiddle(t *testing.T) {
	w := newAWS(t)
	m := w.m
	run := m.submit(w.spec(w.region("here", frankfurt, "primary"), "{}"))
	var made string
	w.site.eventually("AWS makes the instance", func() error {
		is := w.instances(frankfurt)
		if len(is) != 1 {
			return fmt.Errorf("%d instances", len(is))
		}
		made = *is[0].DbiResourceId
		return nil
	})
	killed := w.killTerraforms()
	if killed == 0 {
		t.Fatal("no terraform was found to kill")
	}
	v := w.site.wantDone(m, run.ID)
	if is := w.instances(frankfurt); len(is) != 1 || *is[0].DbiResourceId != made {
		t.Errorf("instances = %+v, want the one with ID %s", is, made)
	}
	if got := m.query("orders", "here", "select 1"); got != "1" {
		t.Errorf("select 1 says %s", got)
	}
	if again := m.done(w.spec(w.region("here", frankfurt, "primary"), "{}")); again.HasChanges {
		t.Errorf("after the recovery there are changes: %+v", again.Changes)
	}
	t.Logf("killed %d processes; the run's log:\n%s", killed, m.runLog(v.ID))

	w.must(w.sweep(t.Context())) // as make test-aws leaves an account
	groups, err := w.rds(frankfurt).DescribeDBParameterGroups(t.Context(), &rds.DescribeDBParameterGroupsInput{})
	w.must(err)
	snapshots, err := w.rds(frankfurt).DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{})
	w.must(err)
	if is := w.instances(frankfurt); len(is)+len(groups.DBParameterGroups)+len(snapshots.DBSnapshots) > 0 {
		t.Errorf("left behind: %+v %+v %+v", is, groups.DBParameterGroups, snapshots.DBSnapshots)
	}
}

// rds is a client of RDS in a region.
func (w *awsWorld) rds(location string) *rds.Client {
	w.site.t.Helper()
	cfg, err := config.LoadDefaultConfig(context.Background(), append(w.SDK(), config.WithRegion(location))...)
	if err != nil {
		w.site.t.Fatal(err)
	}
	return rds.NewFromConfig(cfg)
}

// instances lists what AWS has in a region.
func (w *awsWorld) instances(location string) []rdstypes.DBInstance {
	w.site.t.Helper()
	out, err := w.rds(location).DescribeDBInstances(context.Background(), &rds.DescribeDBInstancesInput{})
	if err != nil {
		w.site.t.Fatal(err)
	}
	return out.DBInstances
}
