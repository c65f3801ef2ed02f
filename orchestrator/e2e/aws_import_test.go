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

// awsImport takes an instance that somebody else has made under control: what that changes is shown, and is tags and what only Terraform knows. Then
// it destroys it, though AWS protects it: in two steps under one yes, with terraform killed in the middle of each.
func awsImport(t *testing.T) {
	w := newAWS(t)
	m, ctx, cloud := w.m, t.Context(), w.rds(frankfurt)
	legacy, _ := w.site.legacy("orders", "shop/terraform", 74)
	_, err := cloud.CreateDBParameterGroup(ctx, &rds.CreateDBParameterGroupInput{
		DBParameterGroupName: sdk.String("shop"), DBParameterGroupFamily: sdk.String("postgres" + legacy.EngineVersion), Description: sdk.String("somebody's"),
	})
	w.must(err)
	_, err = cloud.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: sdk.String("legacy"), DBInstanceClass: sdk.String("db.t4g.medium"), Engine: sdk.String("postgres"), EngineVersion: sdk.String(legacy.EngineVersion + ".8"),
		AllocatedStorage: sdk.Int32(30), MaxAllocatedStorage: sdk.Int32(60), StorageType: sdk.String("gp3"), StorageEncrypted: sdk.Bool(true), KmsKeyId: sdk.String(w.Regions[frankfurt].Key),
		MasterUsername: sdk.String("meridian"), MasterUserPassword: sdk.String(legacyPassword), Port: sdk.Int32(5432), DBSubnetGroupName: sdk.String(mototest.SubnetGroup),
		VpcSecurityGroupIds: []string{w.Regions[frankfurt].Group}, PubliclyAccessible: sdk.Bool(false), MultiAZ: sdk.Bool(true), DBParameterGroupName: sdk.String("shop"),
		BackupRetentionPeriod: sdk.Int32(5), PreferredBackupWindow: sdk.String("01:00-02:00"), PreferredMaintenanceWindow: sdk.String("mon:03:00-mon:04:00"),
		AutoMinorVersionUpgrade: sdk.Bool(false), CopyTagsToSnapshot: sdk.Bool(true), DeletionProtection: sdk.Bool(true), EnablePerformanceInsights: sdk.Bool(false),
		EnableCloudwatchLogsExports: []string{"postgresql", "upgrade"}, Tags: []rdstypes.Tag{{Key: sdk.String("team"), Value: sdk.String("shop")}},
	})
	w.must(err)
	w.imported = map[string]stacks.Endpoint{"legacy": {Host: legacy.Address, Port: legacy.Port}}
	w.site.eventually("AWS has made the instance", func() error {
		if is := w.instances(frankfurt); *is[0].DBInstanceStatus != "available" {
			return errNotYet
		}
		return nil
	})
	made := *w.instances(frankfurt)[0].DbiResourceId
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
        network: {subnetGroup: %s, securityGroups: [%s]}
        storage: {gib: 30, maxGib: 60, kmsKey: %q}
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
	if other.Phase != stacks.PhaseFailed || other.Reason != "ImportRefused" || len(other.Diagnostics) != 1 || !strings.Contains(other.Diagnostics[0].Summary, "backup_retention_period (5 becomes 9)") {
		t.Errorf("where the spec says otherwise: %s %s\n%+v", other.Phase, other.Message, other.Diagnostics)
	}
	v := take(spec)
	if v.Phase != stacks.PhaseAwaiting || !strings.Contains(v.NeedsApproval, "takes module.database.aws_db_instance.this in here under control") {
		t.Fatalf("the import is %s (%s): %s\n%+v\n%s", v.Phase, v.NeedsApproval, v.Message, v.Diagnostics, m.runLog(v.ID))
	}
	var shown []string
	for _, c := range v.Changes {
		if c.Type != "" && (c.Type != "aws_db_instance" || !c.Importing || c.Action != stacks.ActionUpdate) {
			t.Errorf("it would %s %s", c.Action, c.Address)
		}
		for _, a := range c.Attributes {
			if c.Type != "" {
				shown = append(shown, a.Path)
			}
		}
	}
	slices.Sort(shown)
	t.Logf("the import changes %q", shown)
	m.approve(v)
	m.site.wantDone(m, v.ID)
	now := w.instances(frankfurt)
	if len(now) != 1 || *now[0].DbiResourceId != made || *now[0].DBParameterGroups[0].DBParameterGroupName != "shop" || len(now[0].TagList) != 3 {
		t.Errorf("after the import there is %+v", now)
	}
	if got := m.query("orders", "here", "select 1"); got != "1" {
		t.Errorf("it answers %q", got)
	}
	if again := m.done(spec); again.HasChanges {
		t.Errorf("the next apply changes %+v", again.Changes)
	}
	m.wantDrift(m.checkDrift("orders"))

	t.Log("it is destroyed: the protection first")
	res, err := m.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec + "  deletion: {protect: false}\n"}}, Actor: "ada"})
	w.must(err)
	if v = m.wait(res.Runs[0].ID); v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the spec without protection is %s: %s", v.Phase, v.Message)
	}
	run, err := m.Destroy(ctx, stacks.DefaultNamespace, "orders", "ada")
	w.must(err)
	if v = m.wait(run.ID); v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the destruction is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	var steps []string
	for _, c := range v.Changes {
		if c.Type != "" {
			steps = append(steps, fmt.Sprintf("%s %s, then %t", c.Action, c.Address, c.Then))
		}
	}
	if want := []string{"update module.database.aws_db_instance.this, then false", "delete module.database.aws_db_instance.this, then true"}; !slices.Equal(steps, want) {
		t.Errorf("the destruction shows %q, want %q", steps, want)
	}
	m.approve(v)
	w.site.eventually("the protection is lifted", func() error {
		if *w.instances(frankfurt)[0].DeletionProtection {
			return errNotYet
		}
		return nil
	})
	lifting := w.killTerraforms()
	w.site.eventually("AWS deletes the instance", func() error {
		if len(w.instances(frankfurt)) > 0 {
			return errNotYet
		}
		return nil
	})
	deleting := w.killTerraforms()
	m.site.wantDone(m, v.ID)
	if lifting == 0 || deleting == 0 {
		t.Errorf("killed %d processes while the protection was lifted and %d while it was deleted", lifting, deleting)
	}
	last, err := cloud.DescribeDBSnapshots(ctx, &rds.DescribeDBSnapshotsInput{})
	if err != nil || len(last.DBSnapshots) != 1 || *last.DBSnapshots[0].DBSnapshotIdentifier != "legacy-final" {
		t.Errorf("snapshots = %+v, %v, want the final one", last, err)
	}
	if groups, err := cloud.DescribeDBParameterGroups(ctx, &rds.DescribeDBParameterGroupsInput{}); err != nil || len(groups.DBParameterGroups) != 1 {
		t.Errorf("parameter groups = %+v, %v, want somebody's", groups, err)
	}
}
