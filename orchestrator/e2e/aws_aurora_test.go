package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/orchestrator"
	"meridian/providers/aws/mototest"
	"meridian/stacks"
)

// auroraTable are the attributes of an Aurora cluster and what is beside it whose drift no plan tells, and those that only AWS sets.
var auroraTable = driftTable{
	unseen: map[string]string{
		"aws_rds_cluster.serverlessv2_scaling_configuration": "none: its instances have a class",
		"aws_rds_cluster.storage_type":                       "null: what Aurora has by itself",
		"aws_rds_cluster_instance.ca_cert_identifier":        "null: AWS's own",
	},
	wanted: map[string]string{"aws_vpc_security_group_ingress_rule.tags_all": "made of tags"},
}

// awsAuroraKilled kills terraform and its provider while AWS makes a cluster, and again while it makes its instance: both are taken over as they
// are, and nobody was asked.
func awsAuroraKilled(t *testing.T) {
	w := newAWS(t)
	m := w.m
	spec := w.spec(w.auroraRegion("here", frankfurt, "primary"), "{}")
	run := m.submit(spec)
	made := func(what string, ids func() []string) []string {
		t.Helper()
		var found []string
		w.site.eventually("AWS makes the "+what, func() error {
			if found = ids(); len(found) != 1 {
				return fmt.Errorf("%d of them", len(found))
			}
			return nil
		})
		if w.killTerraforms() == 0 {
			t.Fatal("no terraform was found to kill while AWS made the " + what)
		}
		return found
	}
	clusters := func() (out []string) {
		for _, c := range w.clusters(frankfurt) {
			out = append(out, *c.DBClusterIdentifier+" "+*c.DbClusterResourceId)
		}
		return out
	}
	instances := func() (out []string) {
		for _, i := range w.instances(frankfurt) {
			out = append(out, *i.DBInstanceIdentifier+" "+*i.DbiResourceId)
		}
		return out
	}
	cluster := made("cluster", clusters)
	instance := made("instance", instances)
	v := w.site.wantDone(m, run.ID)
	if now := clusters(); !slices.Equal(now, cluster) {
		t.Errorf("clusters %q, want %q", now, cluster)
	}
	if now := instances(); !slices.Equal(now, instance) {
		t.Errorf("instances %q, want %q", now, instance)
	}
	if got := m.query("orders", "here", "select 1"); got != "1" {
		t.Errorf("select 1 says %s", got)
	}
	w.wantUntouched(spec, 1)
	t.Logf("the run's log:\n%s", m.runLog(v.ID))
}

// awsAuroraImport takes a cluster and an instance that somebody else has made under control, under names of their own: what that changes is shown, and
// is tags and what only Terraform knows. Where the spec says otherwise it is refused, with both values.
func awsAuroraImport(t *testing.T) {
	w := newAWS(t)
	m, ctx := w.m, t.Context()
	legacy, _ := w.site.legacy("orders", "shop/terraform", 75)
	w.legacyCluster(legacy.EngineVersion)
	w.imported = map[string]stacks.Endpoint{"legacy": {Host: legacy.Address, Port: legacy.Port}}
	spec := fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: orders}
spec:
  engine: {name: postgres, version: "%s.8"}
  regions:
    - name: here
      provider: aws
      location: %s
      role: primary
      settings:
        account: %q
        aurora: {instances: 1}
        network: {subnetGroup: %s, securityGroups: [%s]}
        storage: {kmsKey: %q}
        backup: {retention: 5, window: '01:00-02:00'}
        maintenance: {window: 'mon:03:00-mon:04:00'}
        performanceInsights: false
        parameterGroup: shop
        tags: {team: shop}
`, legacy.EngineVersion, frankfurt, mototest.Account, mototest.SubnetGroup, w.Regions[frankfurt].Group, w.Regions[frankfurt].Key)
	take := func(text string) orchestrator.RunView {
		t.Helper()
		res, err := m.Import(ctx, orchestrator.ImportRequest{
			Documents: []orchestrator.Document{{File: "spec.yaml", Text: text}}, From: []orchestrator.ImportFrom{{Region: "here", ID: "legacy", Password: legacyPassword}}, Actor: "ada",
		})
		w.must(err)
		return m.wait(res.Runs[0].ID)
	}
	other := take(strings.Replace(spec, "retention: 5", "retention: 9", 1))
	if other.Phase != stacks.PhaseFailed || other.Reason != "ImportRefused" || len(other.Diagnostics) != 1 || !strings.Contains(other.Diagnostics[0].Summary, "would change backup_retention_period (5 becomes 9) of") {
		t.Errorf("where the spec says otherwise: %s %s\n%+v", other.Phase, other.Message, other.Diagnostics)
	}
	before := w.census(frankfurt)
	v := take(spec)
	if v.Phase != stacks.PhaseAwaiting || !strings.Contains(v.NeedsApproval, "takes module.database.aws_rds_cluster.this in here under control") {
		t.Fatalf("the import is %s (%s): %s\n%+v\n%s", v.Phase, v.NeedsApproval, v.Message, v.Diagnostics, m.runLog(v.ID))
	}
	var shown []string
	for _, c := range v.Changes {
		if c.Type != "" && (!c.Importing || c.Action != stacks.ActionUpdate) {
			t.Errorf("it would %s %s", c.Action, c.Address)
		}
		for _, a := range c.Attributes {
			if c.Type != "" {
				shown = append(shown, strings.TrimPrefix(c.Type, "aws_rds_")+"."+a.Path)
			}
		}
	}
	slices.Sort(shown)
	t.Logf("the import changes %q", shown)
	m.approve(v)
	m.site.wantDone(m, v.ID)
	if after := w.census(frankfurt); !slices.Equal(before, after) {
		t.Errorf("AWS had\n%q\nand has\n%q", before, after)
	}
	if now := w.instances(frankfurt)[0]; *now.PromotionTier != 1 || len(now.TagList) != 3 {
		t.Errorf("after the import there is %+v", now)
	}
	if got := m.query("orders", "here", "select 1"); got != "1" {
		t.Errorf("it answers %q", got)
	}
	if again := m.done(spec); again.HasChanges {
		t.Errorf("the next apply changes %+v", again.Changes)
	}
	m.wantDrift(m.checkDrift("orders"))
}

// legacyCluster makes the cluster of somebody else: "legacy", with the instance "shop-a", which takes over second though it is alone.
func (w *awsWorld) legacyCluster(major string) {
	t := w.site.t
	t.Helper()
	ctx, cloud := t.Context(), w.rds(frankfurt)
	team := []rdstypes.Tag{{Key: sdk.String("team"), Value: sdk.String("shop")}}
	_, err := cloud.CreateDBClusterParameterGroup(ctx, &rds.CreateDBClusterParameterGroupInput{
		DBClusterParameterGroupName: sdk.String("shop"), DBParameterGroupFamily: sdk.String("aurora-postgresql" + major), Description: sdk.String("somebody's"),
	})
	w.must(err)
	_, err = cloud.CreateDBCluster(ctx, &rds.CreateDBClusterInput{
		DBClusterIdentifier: sdk.String("legacy"), Engine: sdk.String("aurora-postgresql"), EngineVersion: sdk.String(major + ".8"),
		StorageEncrypted: sdk.Bool(true), KmsKeyId: sdk.String(w.Regions[frankfurt].Key), MasterUsername: sdk.String("meridian"), MasterUserPassword: sdk.String(legacyPassword),
		Port: sdk.Int32(5432), DBSubnetGroupName: sdk.String(mototest.SubnetGroup), VpcSecurityGroupIds: []string{w.Regions[frankfurt].Group},
		DBClusterParameterGroupName: sdk.String("shop"), BackupRetentionPeriod: sdk.Int32(5), PreferredBackupWindow: sdk.String("01:00-02:00"),
		PreferredMaintenanceWindow: sdk.String("mon:03:00-mon:04:00"), CopyTagsToSnapshot: sdk.Bool(true), DeletionProtection: sdk.Bool(true),
		EnableCloudwatchLogsExports: []string{"postgresql"}, Tags: team,
	})
	w.must(err)
	_, err = cloud.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: sdk.String("shop-a"), DBClusterIdentifier: sdk.String("legacy"), Engine: sdk.String("aurora-postgresql"), DBInstanceClass: sdk.String("db.r7g.large"),
		PubliclyAccessible: sdk.Bool(false), AutoMinorVersionUpgrade: sdk.Bool(false), CopyTagsToSnapshot: sdk.Bool(true), EnablePerformanceInsights: sdk.Bool(false),
		PreferredMaintenanceWindow: sdk.String("mon:03:00-mon:04:00"), PromotionTier: sdk.Int32(1), DBSubnetGroupName: sdk.String(mototest.SubnetGroup), Tags: team,
	})
	w.must(err)
	w.site.eventually("AWS has made the cluster", func() error {
		if is, cs := w.instances(frankfurt), w.clusters(frankfurt); *is[0].DBInstanceStatus != "available" || *cs[0].Status != "available" {
			return errNotYet
		}
		return nil
	})
}
