package rdsfake

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// refusal is an answer that AWS documents.
type refusal struct {
	status        int
	code, message string
}

func no(code, format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

func notFound(code, format string, args ...any) *refusal {
	return &refusal{status: http.StatusNotFound, code: code, message: fmt.Sprintf(format, args...)}
}

// work does what a call asks for.
func (f *Fake) work(c call) (string, *refusal) {
	actions := map[string]func(call) (string, *refusal){
		"GetCallerIdentity": f.whoAmI, "AssumeRole": f.assumeRole,
		"DescribeDBInstances": f.describe, "DescribeDBClusters": f.describeClusters, "DescribeEvents": f.events,
		"CreateDBInstance": f.create, "CreateDBInstanceReadReplica": f.createReplica, "DeleteDBInstance": f.remove,
		"CreateDBCluster": f.createCluster, "DeleteDBCluster": f.removeCluster, "DescribeDBClusterParameterGroups": f.describeClusterGroups,
		"DeleteDBClusterParameterGroup": f.removeClusterGroup, "CreateGlobalCluster": f.createGlobal, "DescribeGlobalClusters": f.describeGlobals,
		"ListMetrics": f.listMetrics, "GetMetricStatistics": f.statistics,
		"RemoveFromGlobalCluster": f.leaveGlobal, "DeleteGlobalCluster": f.removeGlobal,
		"DescribeSecurityGroups": f.describeGroups, "DescribeSecurityGroupRules": f.describeRules, "DeleteSecurityGroup": f.removeGroup,
		"DescribeDBParameterGroups": f.describeFamilies, "DeleteDBParameterGroup": f.removeFamily, "ListTagsForResource": f.tags,
	}
	do, known := actions[c.action]
	if !known {
		return "", no("InvalidAction", "Could not find operation %s", c.action)
	}
	return do(c)
}

func (f *Fake) whoAmI(c call) (string, *refusal) {
	return result(c, text("Account", f.account), text("Arn", "arn:aws:iam::"+f.account+":user/"+c.key), text("UserId", c.key)), nil
}

// assumeRole refuses a session that is longer than the role allows, as STS does.
func (f *Fake) assumeRole(c call) (string, *refusal) {
	role := c.form.Get("RoleArn")
	if strings.Contains(role, "forbidden") {
		return "", &refusal{http.StatusForbidden, "AccessDenied", "not authorized to perform: sts:AssumeRole on resource: " + role}
	}
	if seconds, _ := strconv.Atoi(c.form.Get("DurationSeconds")); time.Duration(seconds)*time.Second > f.maxLength {
		return "", no("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	key := "ASIA" + role[strings.LastIndex(role, "/")+1:]
	return result(c, el("Credentials", text("AccessKeyId", key), text("SecretAccessKey", "assumed"), text("SessionToken", "token"),
		text("Expiration", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))), nil
}

func (f *Fake) describe(c call) (string, *refusal) {
	id, cluster := c.form.Get("DBInstanceIdentifier"), c.form.Get("Filters.Filter.1.Values.Value.1")
	var found []string
	for _, arn := range sortedARNs(f.instances) {
		i := f.instances[arn]
		if i.Region == c.region && (id == "" || id == i.ID || id == arn) && (cluster == "" || cluster == i.Cluster) {
			found = append(found, i.xml())
		}
	}
	if id != "" && len(found) == 0 {
		return "", notFound("DBInstanceNotFound", "DBInstance %s not found.", id)
	}
	page, marker := f.page(c, found)
	return result(c, text("Marker", marker), el("DBInstances", page...)), nil
}

// page cuts a list as RDS does: the marker of the next page is where it begins.
func (f *Fake) page(c call, all []string) (page []string, marker string) {
	from, _ := strconv.Atoi(c.form.Get("Marker"))
	if all = all[min(from, len(all)):]; len(all) <= f.pageSize {
		return all, ""
	}
	return all[:f.pageSize], strconv.Itoa(from + f.pageSize)
}

// xml is how RDS describes an instance.
func (i Instance) xml() string {
	parts := []string{
		text("DBInstanceIdentifier", i.ID), text("DBInstanceArn", i.ARN()), text("DbiResourceId", "db-"+strings.ToUpper(i.ID)), text("DBInstanceStatus", i.Status),
		text("DBInstanceClass", i.Class), text("Engine", i.Engine), text("EngineVersion", i.Version), text("PercentProgress", i.Percent),
		text("MasterUsername", "shop"), text("DeletionProtection", strconv.FormatBool(i.DeletionProtection)), text("ReadReplicaSourceDBInstanceIdentifier", i.Source),
		text("DBClusterIdentifier", i.Cluster), text("PromotionTier", strconv.Itoa(i.Tier)),
		el("Endpoint", text("Address", i.ID+"."+i.Region+".rds.invalid"), text("Port", "5432")),
		tagList("TagList", "Tag", "Key", "Value", i.Tags),
	}
	if i.Managed {
		parts = append(parts, el("MasterUserSecret", text("SecretArn", "arn:aws:secretsmanager:"+i.Region+":"+Account+":secret:rds!db-1"), text("SecretStatus", "active")))
	}
	if i.PendingClass != "" {
		parts = append(parts, el("PendingModifiedValues", text("DBInstanceClass", i.PendingClass), text("MasterUserPassword", "****")))
	}
	if i.Replication != "" {
		parts = append(parts, el("StatusInfos", el("DBInstanceStatusInfo", text("StatusType", "read replication"), text("Status", i.Replication),
			text("Normal", strconv.FormatBool(i.Replication == "replicating")), text("Message", "the source sends nothing"))))
	}
	return el("DBInstance", parts...)
}

func (f *Fake) events(c call) (string, *refusal) {
	id, typ := c.form.Get("SourceIdentifier"), c.form.Get("SourceType")
	messages := f.instances[Instance{ID: id, Region: c.region}.ARN()].Events
	if typ == "db-cluster" {
		messages = f.clusters[Cluster{ID: id, Region: c.region}.ARN()].Events
	}
	var out []string
	for n, message := range messages {
		at := time.Now().Add(time.Duration(n-len(messages)) * time.Minute).UTC().Format(time.RFC3339)
		out = append(out, el("Event", text("SourceIdentifier", id), text("SourceType", typ), text("Date", at), text("Message", message)))
	}
	return result(c, el("Events", out...)), nil
}

// create refuses names that RDS refuses, a name that is taken, and a password that is too long for the engine.
// Source: Amazon RDS API Reference, CreateDBInstance, MasterUserPassword.
func (f *Fake) create(c call) (string, *refusal) {
	id := c.form.Get("DBInstanceIdentifier")
	if id == "" || strings.Contains(id, "--") || strings.HasSuffix(id, "-") || len(id) > 63 {
		return "", no("InvalidParameterValue", "The parameter DBInstanceIdentifier is not a valid identifier.")
	}
	backups, _ := strconv.Atoi(c.form.Get("BackupRetentionPeriod"))
	i := Instance{
		ID: id, Region: c.region, Class: c.form.Get("DBInstanceClass"), Engine: c.form.Get("Engine"), Version: c.form.Get("EngineVersion"), Status: "creating",
		Managed: c.form.Get("ManageMasterUserPassword") == "true", Backups: backups, Tags: tagsOf(c.form),
		DeletionProtection: c.form.Get("DeletionProtection") == "true",
	}
	if _, taken := f.instances[i.ARN()]; taken {
		return "", no("DBInstanceAlreadyExists", "DB instance already exists")
	}
	if i.Managed && c.form.Get("MasterUserPassword") != "" {
		return "", no("InvalidParameterCombination", "MasterUserPassword cannot be given where the password is managed.")
	}
	if most := map[string]int{"mysql": 41, "mariadb": 41}[i.Engine]; most > 0 && len(c.form.Get("MasterUserPassword")) > most {
		return "", no("InvalidParameterValue", "The parameter MasterUserPassword is not a valid password because it is longer than %d characters.", most)
	}
	f.instances[i.ARN()] = i
	return result(c, i.xml()), nil
}

// createReplica refuses a source whose master password RDS manages, one without backups, and a key of a replica in its source's region.
// Source: Amazon RDS User Guide, "Password management with Amazon RDS and AWS Secrets Manager", limitations; "Working with read replicas"; API
// Reference, CreateDBInstanceReadReplica, KmsKeyId.
func (f *Fake) createReplica(c call) (string, *refusal) {
	arn := c.form.Get("SourceDBInstanceIdentifier")
	source, ok := f.instances[arn]
	if !ok {
		return "", notFound("DBInstanceNotFound", "DBInstance %s not found.", last(arn))
	}
	switch {
	case source.Managed:
		return "", no("InvalidParameterCombination", "A read replica cannot be created of a source that manages its master user password in AWS Secrets Manager.")
	case source.Backups == 0:
		return "", no("InvalidDBInstanceState", "Automated backups are not enabled for this database instance.")
	case source.Status != "available":
		return "", no("InvalidDBInstanceState", "DB instance %s is not available.", source.ID)
	case source.Region == c.region && c.form.Get("KmsKeyId") != "":
		return "", no("InvalidParameterCombination", "KmsKeyId cannot be specified for a read replica in the region of its source.")
	}
	i := Instance{ID: c.form.Get("DBInstanceIdentifier"), Region: c.region, Class: source.Class, Engine: source.Engine, Version: source.Version, Status: "creating",
		Source: arn, Replication: "replicating", Tags: tagsOf(c.form)}
	if _, taken := f.instances[i.ARN()]; taken {
		return "", no("DBInstanceAlreadyExists", "DB instance already exists")
	}
	f.instances[i.ARN()] = i
	return result(c, i.xml()), nil
}

// remove refuses what is protected, and a final snapshot whose name is taken.
func (f *Fake) remove(c call) (string, *refusal) {
	id := c.form.Get("DBInstanceIdentifier")
	i, ok := f.instances[Instance{ID: id, Region: c.region}.ARN()]
	snapshot := c.form.Get("FinalDBSnapshotIdentifier")
	switch {
	case !ok:
		return "", notFound("DBInstanceNotFound", "DBInstance %s not found.", id)
	case i.DeletionProtection:
		return "", no("InvalidParameterCombination", "Cannot delete protected DB Instance, please disable deletion protection and try again.")
	case i.Status == "deleting":
		return "", no("InvalidDBInstanceState", "Instance %s is already being deleted.", id)
	case snapshot == "" && c.form.Get("SkipFinalSnapshot") != "true":
		return "", no("InvalidParameterCombination", "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
	case f.snapshots[c.region+"/"+snapshot]:
		return "", no("DBSnapshotAlreadyExists", "Cannot create the snapshot because a snapshot with the identifier %s already exists.", snapshot)
	}
	if snapshot != "" {
		f.snapshots[c.region+"/"+snapshot] = true
	}
	i.Status = "deleting"
	f.instances[i.ARN()] = i
	return result(c, i.xml()), nil
}
