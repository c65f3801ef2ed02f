package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/orchestrator"
	"meridian/providers/aws"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

const (
	awsInstance = ": module.database.aws_db_instance.this"
	awsGroup    = ": module.database.aws_db_parameter_group.this[0]"
	awsRule     = `: module.database.aws_vpc_security_group_ingress_rule.this["10.0.0.0/16"]`
)

// awsDrift lets somebody change, stop and delete a database in AWS: each is told, apart from what a newer spec would change, and what can be put
// back without destroying anything is.
func awsDrift(t *testing.T) {
	w := newAWS(t)
	m, ctx := w.m, t.Context()
	spec := strings.Replace(w.spec(w.region("here", frankfurt, "primary"), "{}"), "protect: false", "protect: true", 1)
	m.done(spec)
	m.wantDrift(m.checkDrift("orders"))
	m.everyDrift("orders", "here", w.Env(), driftTable{wanted: map[string]string{
		"aws_vpc_security_group_ingress_rule.tags_all": "made of tags",
	}, unseen: map[string]string{
		"aws_db_instance.iops":               "null: what gp3 has by itself",
		"aws_db_instance.storage_throughput": "null: what gp3 has by itself",
		"aws_db_instance.ca_cert_identifier": "null: AWS's own",
		"aws_db_instance.allocated_storage":  "the plan lets it grow up to storage.maxGib; the refresh tells",
	}, growths: m.growths("orders", "here")})
	i, cloud, net := w.instances(frankfurt)[0], w.rds(frankfurt), w.ec2(frankfurt)

	t.Log("somebody changes what the spec says, and more, and RDS lets the storage grow")
	_, err := cloud.ModifyDBInstance(ctx, &rds.ModifyDBInstanceInput{
		DBInstanceIdentifier: i.DBInstanceIdentifier, DeletionProtection: sdk.Bool(false), BackupRetentionPeriod: sdk.Int32(3), AllocatedStorage: sdk.Int32(30),
		ApplyImmediately: sdk.Bool(true),
	})
	w.must(err)
	_, err = cloud.AddTagsToResource(ctx, &rds.AddTagsToResourceInput{ResourceName: i.DBInstanceArn, Tags: []rdstypes.Tag{{Key: sdk.String("team"), Value: sdk.String("nobody")}}})
	w.must(err)
	_, err = cloud.ModifyDBParameterGroup(ctx, &rds.ModifyDBParameterGroupInput{
		DBParameterGroupName: i.DBParameterGroups[0].DBParameterGroupName,
		Parameters:           []rdstypes.Parameter{{ParameterName: sdk.String("rds.force_ssl"), ParameterValue: sdk.String("0"), ApplyMethod: rdstypes.ApplyMethodImmediate}},
	})
	w.must(err)
	_, err = net.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: i.VpcSecurityGroups[0].VpcSecurityGroupId, IpPermissions: []ec2types.IpPermission{{
		IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(5432), ToPort: sdk.Int32(5432), IpRanges: []ec2types.IpRange{{CidrIp: sdk.String("10.0.0.0/16")}},
	}}})
	w.must(err)

	t.Log("and a newer spec, which nobody has approved yet, wants something else")
	newer := strings.Replace(spec, "        network:", "        backup: {window: '05:00-06:00'}\n        network:", 1)
	res, err := m.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: newer}}, Actor: "ada"})
	w.must(err)
	waits := m.wait(res.Runs[0].ID)
	if waits.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the newer spec's run is %s: %s", waits.Phase, waits.Message)
	}
	v := m.checkDrift("orders")
	moved := []string{
		"changed here" + awsInstance + ".backup_retention_period",
		"changed here" + awsInstance + ".deletion_protection",
		"changed here" + awsInstance + ".tags.team",
		"changed here" + awsGroup + ".parameter[0].value",
		"gone here" + awsRule,
	}
	m.wantDrift(v, moved...)
	values := map[string][2]string{}
	for _, d := range v.Drift {
		values[d.Path] = [2]string{d.Want, d.Found}
	}
	if want := (map[string][2]string{
		"backup_retention_period": {"7", "3"}, "deletion_protection": {"true", "false"}, "tags.team": {"", `"nobody"`},
		"parameter[0].value": {`"1"`, `"0"`}, "": {},
	}); !maps.Equal(values, want) {
		t.Errorf("wanted and found are %v, want %v", values, want)
	}
	var unapplied []string
	for _, u := range v.Unapplied {
		unapplied = append(unapplied, string(u.Kind)+" "+u.Key)
	}
	if want := []string{"changed here" + awsInstance + ".backup_window"}; !slices.Equal(unapplied, want) {
		t.Errorf("unapplied is %q, want %q", unapplied, want)
	}
	_, err = m.Cancel(ctx, waits.ID, "ada")
	w.must(err)
	m.wait(waits.ID)

	t.Log("it is put back, and nothing else")
	m.mended("orders")
	now := w.instances(frankfurt)[0]
	if *now.AllocatedStorage != 30 || *now.BackupRetentionPeriod != 7 || !*now.DeletionProtection || *now.DbiResourceId != *i.DbiResourceId || *now.PreferredBackupWindow != *i.PreferredBackupWindow ||
		slices.ContainsFunc(now.TagList, func(tag rdstypes.Tag) bool { return *tag.Key == "team" }) {
		t.Errorf("after the remedy it is %+v", now)
	}
	rules, err := net.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: []ec2types.Filter{{Name: sdk.String("group-id"), Values: []string{*i.VpcSecurityGroups[0].VpcSecurityGroupId}}}})
	if err != nil || !slices.ContainsFunc(rules.SecurityGroupRules, func(r ec2types.SecurityGroupRule) bool { return sdk.ToString(r.CidrIpv4) == "10.0.0.0/16" }) {
		t.Errorf("the rules are %+v, %v", rules, err)
	}

	for range 10 { // an untouched stack stays clean
		m.wantDrift(m.checkDrift("orders"))
	}

	t.Log("storage that grew is never asked to shrink, also where it may not grow any more")
	res, err = m.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: strings.Replace(spec, "storage: {", "storage: {gib: 20, maxGib: 20, ", 1)}}, Yes: true, Actor: "ada"})
	w.must(err)
	if run := m.wait(res.Runs[0].ID); run.Phase != stacks.PhaseFailed || len(run.Diagnostics) != 1 || run.Diagnostics[0].Next != "write at least 30 as spec.regions[0].settings.storage.gib" {
		t.Errorf("a run that would shrink the storage is %s: %s %+v", run.Phase, run.Message, run.Diagnostics)
	}

	t.Log("somebody stops it: terraform cannot start it, and the remedy says who has to")
	_, err = cloud.StopDBInstance(ctx, &rds.StopDBInstanceInput{DBInstanceIdentifier: i.DBInstanceIdentifier})
	w.must(err)
	w.stop("orders", "here")
	v = m.checkDrift("orders")
	m.wantDrift(v, "unreachable here: endpoint")
	if !strings.Contains(v.Drift[0].Message, "it is stopped") {
		t.Errorf("it says %q", v.Drift[0].Message)
	}
	if run := m.remedy("orders", true); run.Phase != stacks.PhaseFailed || !strings.Contains(run.Message+fmt.Sprintf("%+v", run.Regions), "start it, then apply again") {
		t.Errorf("the remedy of a stopped database is %s: %s %+v", run.Phase, run.Message, run.Regions)
	}
	_, err = cloud.StartDBInstance(ctx, &rds.StartDBInstanceInput{DBInstanceIdentifier: i.DBInstanceIdentifier})
	w.must(err)
	w.restart("orders", "here")
	m.wantDrift(m.checkDrift("orders"))

	t.Log("somebody deletes it: only an explicit yes makes it anew")
	_, err = cloud.ModifyDBInstance(ctx, &rds.ModifyDBInstanceInput{DBInstanceIdentifier: i.DBInstanceIdentifier, DeletionProtection: sdk.Bool(false)})
	w.must(err)
	_, err = cloud.DeleteDBInstance(ctx, &rds.DeleteDBInstanceInput{DBInstanceIdentifier: i.DBInstanceIdentifier, SkipFinalSnapshot: sdk.Bool(true)})
	w.must(err)
	w.stop("orders", "here")
	m.wantDrift(m.checkDrift("orders"), "unreachable here: endpoint", "gone here"+awsInstance)
	run := m.remedy("orders", true)
	if run.Phase != stacks.PhaseAwaiting || !strings.Contains(run.NeedsApproval, "its data is gone") {
		t.Fatalf("the remedy of a deleted database is %s: %s; it needs %q", run.Phase, run.Message, run.NeedsApproval)
	}
	if is := w.instances(frankfurt); len(is) > 0 {
		t.Errorf("without a yes there is %+v", is)
	}

	t.Log("what is left of it is destroyed")
	res, err = m.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: strings.Replace(spec, "protect: true", "protect: false", 1)}}, Actor: "ada"})
	w.must(err)
	m.wait(res.Runs[0].ID)
	m.destroy("orders")
	w.nothingInAWS(frankfurt)
}

// growths are what provider aws says that grows by itself in a region of a database.
func (m *meridian) growths(name, region string) []stacks.Growth {
	t := m.site.t
	t.Helper()
	rev, err := m.catalog.Revision(context.Background(), m.incarnation(name), 0)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := rev.Effective.Region(region)
	return aws.New(aws.Config{}).GrowsByItself(rev.Effective, r)
}

// stop stops the real database of a region.
func (w *awsWorld) stop(name, region string) {
	w.site.t.Helper()
	spec := w.realOf(name, region)
	w.must(pgserver.Stop(context.Background(), spec.Home, spec.Owner))
}

// restart starts the real database of a region again.
func (w *awsWorld) restart(name, region string) {
	w.site.t.Helper()
	password, err := w.m.catalog.Secret(context.Background(), w.m.incarnation(name), "region/"+region+"/admin")
	w.must(err)
	_, err = pgserver.Ensure(context.Background(), w.realOf(name, region), pgserver.Password(password))
	w.must(err)
}

func (w *awsWorld) realOf(name, region string) pgserver.Spec {
	w.site.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	spec, ok := w.real[stacks.StackID{Namespace: stacks.DefaultNamespace, Name: name, Incarnation: w.m.incarnation(name), Region: region}.String()]
	if !ok {
		w.must(errors.New(region + " has no real database"))
	}
	return spec
}

// nothingInAWS wants no instance and no parameter group in a region, and no security group but the account's own.
func (w *awsWorld) nothingInAWS(location string) {
	t := w.site.t
	t.Helper()
	if is := w.instances(location); len(is) > 0 {
		t.Errorf("instances left in %s: %+v", location, is)
	}
	groups, err := w.rds(location).DescribeDBParameterGroups(context.Background(), &rds.DescribeDBParameterGroupsInput{})
	if err != nil || len(groups.DBParameterGroups) > 0 {
		t.Errorf("parameter groups left in %s: %+v, %v", location, groups, err)
	}
	security, err := w.ec2(location).DescribeSecurityGroups(context.Background(), &ec2.DescribeSecurityGroupsInput{})
	if err != nil || len(security.SecurityGroups) != 1 {
		t.Errorf("security groups left in %s: %+v, %v", location, security, err)
	}
}
