package rdsfake

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Cluster is an Aurora cluster as RDS describes it.
type Cluster struct {
	ID, Region, Status, Percent string
	Tags                        map[string]string
	// Managed says that RDS itself keeps the master password in Secrets Manager.
	Managed            bool
	DeletionProtection bool
	Events             []string
	// Engine is "" for PostgreSQL, Mode for a provisioned one; Source is the ARN of what it is a replica of, Writer the instance that writes.
	Engine, Mode, Source, Writer string
	// Forwards says that its readers forward writes.
	Forwards bool
}

// ARN is the cluster's ARN.
func (c Cluster) ARN() string {
	return fmt.Sprintf("arn:aws:rds:%s:%s:cluster:%s", c.Region, Account, c.ID)
}

// Global is a global cluster. Members are the ARNs of its clusters; the first one writes.
type Global struct {
	ID, Status         string
	Tags               map[string]string
	Members            []string
	DeletionProtection bool
}

// ARN is the global cluster's ARN, which names no region.
func (g Global) ARN() string { return fmt.Sprintf("arn:aws:rds::%s:global-cluster:%s", Account, g.ID) }

// ClusterGroup is a DB cluster parameter group.
type ClusterGroup struct {
	Name, Region string
	Tags         map[string]string
}

// ARN is the group's ARN.
func (g ClusterGroup) ARN() string {
	return fmt.Sprintf("arn:aws:rds:%s:%s:cluster-pg:%s", g.Region, Account, g.Name)
}

// PutCluster sets an Aurora cluster as it is now.
func (f *Fake) PutCluster(c Cluster) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clusters[c.ARN()] = c
}

// Cluster is a cluster as it is now.
func (f *Fake) Cluster(region, id string) (Cluster, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.clusters[Cluster{ID: id, Region: region}.ARN()]
	return c, ok
}

// PutGlobal sets a global cluster as it is now.
func (f *Fake) PutGlobal(g Global) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.globals[g.ID] = g
}

// Global is a global cluster as it is now.
func (f *Fake) Global(id string) (Global, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, ok := f.globals[id]
	return g, ok
}

// PutClusterGroup sets a cluster parameter group.
func (f *Fake) PutClusterGroup(g ClusterGroup) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clusterGroups[g.ARN()] = g
}

// ClusterGroup reports whether a cluster parameter group is there.
func (f *Fake) ClusterGroup(region, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.clusterGroups[ClusterGroup{Name: name, Region: region}.ARN()]
	return ok
}

// xml is how RDS describes a cluster.
func (c Cluster) xml() string {
	parts := []string{
		text("DBClusterIdentifier", c.ID), text("DBClusterArn", c.ARN()), text("Status", c.Status), text("PercentProgress", c.Percent),
		text("Engine", cmp.Or(c.Engine, "aurora-postgresql")), text("EngineMode", cmp.Or(c.Mode, "provisioned")), text("EngineVersion", "16.8"),
		text("DeletionProtection", strconv.FormatBool(c.DeletionProtection)), text("MasterUsername", "shop"), text("ReplicationSourceIdentifier", c.Source),
		text("Endpoint", c.ID+"."+c.Region+".rds.invalid"), text("Port", "5432"), tagList("TagList", "Tag", "Key", "Value", c.Tags),
	}
	if c.Forwards {
		parts = append(parts, text("LocalWriteForwardingStatus", "enabled"))
	}
	if c.Writer != "" {
		parts = append(parts, el("DBClusterMembers", el("DBClusterMember", text("DBInstanceIdentifier", c.Writer), text("IsClusterWriter", "true"))))
	}
	if c.Managed {
		parts = append(parts, el("MasterUserSecret", text("SecretArn", "arn:aws:secretsmanager:"+c.Region+":"+Account+":secret:rds!cluster-1"), text("SecretStatus", "active")))
	}
	return el("DBCluster", parts...)
}

func (f *Fake) describeClusters(c call) (string, *refusal) {
	id := c.form.Get("DBClusterIdentifier")
	var found []string
	for _, arn := range slices.Sorted(maps.Keys(f.clusters)) {
		if one := f.clusters[arn]; one.Region == c.region && (id == "" || id == one.ID) {
			found = append(found, one.xml())
		}
	}
	if id != "" && len(found) == 0 {
		return "", notFound("DBClusterNotFoundFault", "DBCluster %s not found.", id)
	}
	page, marker := f.page(c, found)
	return result(c, text("Marker", marker), el("DBClusters", page...)), nil
}

// removeCluster refuses what AWS refuses: a protected cluster, one with instances, and a member of a global cluster.
func (f *Fake) removeCluster(c call) (string, *refusal) {
	arn := Cluster{ID: c.form.Get("DBClusterIdentifier"), Region: c.region}.ARN()
	one, ok := f.clusters[arn]
	snapshot := c.form.Get("FinalDBSnapshotIdentifier")
	switch {
	case !ok:
		return "", notFound("DBClusterNotFoundFault", "DBCluster %s not found.", c.form.Get("DBClusterIdentifier"))
	case one.DeletionProtection:
		return "", no("InvalidParameterCombination", "Cannot delete protected Cluster, please disable deletion protection and try again.")
	case one.Status == "deleting":
		return "", no("InvalidDBClusterStateFault", "Cluster %s is already being deleted.", one.ID)
	case snapshot == "" && c.form.Get("SkipFinalSnapshot") != "true":
		return "", no("InvalidParameterCombination", "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
	}
	for _, i := range f.instances {
		if i.Region == one.Region && i.Cluster == one.ID {
			return "", no("InvalidDBClusterStateFault", "Cluster cannot be deleted, it still contains DB instances in non-deleting state.")
		}
	}
	for _, g := range f.globals {
		if slices.Contains(g.Members, arn) {
			return "", no("InvalidDBClusterStateFault", "This cluster is a part of a global cluster, please remove it from globalcluster first")
		}
	}
	if snapshot != "" {
		f.snapshots[c.region+"/"+snapshot] = true
	}
	one.Status = "deleting"
	f.clusters[arn] = one
	return result(c, one.xml()), nil
}

// xml is how RDS describes a global cluster.
func (g Global) xml() string {
	var members []string
	for n, arn := range g.Members {
		members = append(members, el("GlobalClusterMember", text("DBClusterArn", arn), text("IsWriter", strconv.FormatBool(n == 0))))
	}
	return text("GlobalClusterIdentifier", g.ID) + text("GlobalClusterArn", g.ARN()) + text("Status", g.Status) + text("Engine", "aurora-postgresql") +
		text("DeletionProtection", strconv.FormatBool(g.DeletionProtection)) + el("GlobalClusterMembers", members...) + tagList("TagList", "Tag", "Key", "Value", g.Tags)
}

// describeGlobals answers the same in every region.
func (f *Fake) describeGlobals(c call) (string, *refusal) {
	id, member := c.form.Get("GlobalClusterIdentifier"), c.form.Get("Filters.Filter.1.Values.Value.1")
	var found []string
	for _, key := range slices.Sorted(maps.Keys(f.globals)) {
		if g := f.globals[key]; (id == "" || id == g.ID) && (member == "" || slices.Contains(g.Members, member)) {
			found = append(found, el("GlobalClusterMember", g.xml()))
		}
	}
	if id != "" && len(found) == 0 {
		return "", notFound("GlobalClusterNotFoundFault", "Global cluster %s not found.", id)
	}
	return result(c, el("GlobalClusters", found...)), nil
}

// createGlobal refuses a cluster whose master password RDS manages. Source: Amazon Aurora User Guide, "Password management with Amazon Aurora
// and AWS Secrets Manager", limitations.
func (f *Fake) createGlobal(c call) (string, *refusal) {
	source := c.form.Get("SourceDBClusterIdentifier")
	if f.clusters[source].Managed {
		return "", no("InvalidParameterCombination", "An Aurora Global Database cannot manage its master user password in AWS Secrets Manager.")
	}
	g := Global{ID: c.form.Get("GlobalClusterIdentifier"), Status: "creating", Tags: tagsOf(c.form)}
	if source != "" {
		g.Members = []string{source}
	}
	if _, taken := f.globals[g.ID]; taken {
		return "", no("GlobalClusterAlreadyExistsFault", "Global cluster already exists")
	}
	f.globals[g.ID] = g
	return result(c, el("GlobalCluster", g.xml())), nil
}

// createCluster refuses what AWS refuses of a member of a global cluster: a password of its own beside the first, or one that RDS manages, and an
// encrypted member in another region without a key of there. Source: the same page, and "Creating an Amazon Aurora Global Database".
func (f *Fake) createCluster(c call) (string, *refusal) {
	one := Cluster{ID: c.form.Get("DBClusterIdentifier"), Region: c.region, Status: "creating", Tags: tagsOf(c.form),
		Managed: c.form.Get("ManageMasterUserPassword") == "true", DeletionProtection: c.form.Get("DeletionProtection") == "true"}
	if _, taken := f.clusters[one.ARN()]; taken {
		return "", no("DBClusterAlreadyExistsFault", "DB Cluster already exists")
	}
	if id := c.form.Get("GlobalClusterIdentifier"); id != "" {
		g, ok := f.globals[id]
		secondary := len(g.Members) > 0
		switch {
		case !ok:
			return "", notFound("GlobalClusterNotFoundFault", "Global cluster %s not found.", id)
		case one.Managed:
			return "", no("InvalidParameterCombination", "An Aurora Global Database cannot manage its master user password in AWS Secrets Manager.")
		case secondary && (c.form.Get("MasterUsername") != "" || c.form.Get("MasterUserPassword") != ""):
			return "", no("InvalidParameterCombination", "Cannot specify user name or password for a secondary cluster in a global cluster.")
		case secondary && c.form.Get("StorageEncrypted") == "true" && c.form.Get("KmsKeyId") == "":
			return "", no("InvalidParameterCombination", "KmsKeyId should be explicitly specified for an encrypted secondary cluster.")
		case slices.ContainsFunc(g.Members, func(m string) bool { return strings.Split(m, ":")[3] == one.Region }):
			return "", no("InvalidParameterValue", "The global cluster has a cluster in %s already.", one.Region)
		}
		g.Members = append(slices.Clone(g.Members), one.ARN())
		f.globals[id] = g
	} else if !one.Managed && c.form.Get("MasterUserPassword") == "" {
		return "", no("InvalidParameterValue", "The parameter MasterUserPassword must be provided.")
	}
	f.clusters[one.ARN()] = one
	return result(c, one.xml()), nil
}

// leaveGlobal takes a member out; the one that writes goes last.
func (f *Fake) leaveGlobal(c call) (string, *refusal) {
	g, ok := f.globals[c.form.Get("GlobalClusterIdentifier")]
	at := slices.Index(g.Members, c.form.Get("DbClusterIdentifier"))
	switch {
	case !ok:
		return "", notFound("GlobalClusterNotFoundFault", "Global cluster %s not found.", c.form.Get("GlobalClusterIdentifier"))
	case at < 0:
		return "", notFound("DBClusterNotFoundFault", "%s is no member.", c.form.Get("DbClusterIdentifier"))
	case at == 0 && len(g.Members) > 1:
		return "", no("InvalidGlobalClusterStateFault", "The primary cluster cannot be removed while there are secondary clusters.")
	}
	g.Members = slices.Delete(slices.Clone(g.Members), at, at+1)
	f.globals[g.ID] = g
	return result(c, el("GlobalCluster", g.xml())), nil
}

func (f *Fake) removeGlobal(c call) (string, *refusal) {
	g, ok := f.globals[c.form.Get("GlobalClusterIdentifier")]
	switch {
	case !ok:
		return "", notFound("GlobalClusterNotFoundFault", "Global cluster %s not found.", c.form.Get("GlobalClusterIdentifier"))
	case len(g.Members) > 0:
		return "", no("InvalidGlobalClusterStateFault", "Global Cluster %s is not empty", g.ARN())
	}
	delete(f.globals, g.ID)
	return result(c, el("GlobalCluster", g.xml())), nil
}

func (f *Fake) describeClusterGroups(c call) (string, *refusal) {
	name := c.form.Get("DBClusterParameterGroupName")
	var found []string
	for _, arn := range slices.Sorted(maps.Keys(f.clusterGroups)) {
		if g := f.clusterGroups[arn]; g.Region == c.region && (name == "" || name == g.Name) {
			found = append(found, el("DBClusterParameterGroup", text("DBClusterParameterGroupName", g.Name), text("DBClusterParameterGroupArn", arn)))
		}
	}
	if name != "" && len(found) == 0 {
		return "", notFound("DBParameterGroupNotFound", "DBClusterParameterGroup not found: %s", name)
	}
	page, marker := f.page(c, found)
	return result(c, text("Marker", marker), el("DBClusterParameterGroups", page...)), nil
}

func (f *Fake) removeClusterGroup(c call) (string, *refusal) {
	arn := ClusterGroup{Name: c.form.Get("DBClusterParameterGroupName"), Region: c.region}.ARN()
	g, ok := f.clusterGroups[arn]
	if !ok {
		return "", notFound("DBParameterGroupNotFound", "DBClusterParameterGroup not found: %s", c.form.Get("DBClusterParameterGroupName"))
	}
	for _, one := range f.clusters {
		if one.Region == g.Region && strings.HasPrefix(g.Name, one.ID+"-") {
			return "", no("InvalidDBParameterGroupState", "One or more database clusters are still members of this parameter group %s", g.Name)
		}
	}
	delete(f.clusterGroups, arn)
	return result(c), nil
}
