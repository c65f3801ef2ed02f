package aws

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"golang.org/x/time/rate"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
	"meridian/providers/conformance"
	"meridian/stacks"
)

// TestConformance is the suite for a region of each engine, and for one that is an Aurora cluster, beside another one that a logical link fills or a
// physical one.
func TestConformance(t *testing.T) {
	t.Parallel()
	postgres := map[string]string{"max_connections": "50", "Work_Mem": "8MB", "pg_stat_statements.max": "1000"}
	badPostgres := map[string]string{"port": "5433", "Listen_Addresses": "*", "rds.logical_replication": "0", "rds.force_ssl": "0", "wal_level": "replica"}
	mysql := map[string]string{"max_connections": "50", "Wait_Timeout": "600", "gtid-mode": "ON"}
	badMySQL := map[string]string{"port": "3307", "Require_Secure_Transport": "0", "read_only": "1", "log-bin": "x", "server_id": "7"}
	for name, c := range map[string]struct {
		engine     stacks.Engine
		cluster    bool
		mode       stacks.LinkMode
		bad        map[string]string
		port       int
		familyName string
	}{
		"postgres": {stacks.Engine{Name: EnginePostgres, Version: "16", Parameters: postgres}, false, stacks.LinkLogical, badPostgres, 5432, "postgres16"},
		"aurora":   {stacks.Engine{Name: EnginePostgres, Version: "16", Parameters: postgres}, true, stacks.LinkLogical, badPostgres, 5432, "aurora-postgresql16"},
		"mysql":    {stacks.Engine{Name: EngineMySQL, Version: "8.4", Parameters: mysql}, false, stacks.LinkPhysical, badMySQL, 3306, "mysql8-4"},
		"mariadb":  {stacks.Engine{Name: EngineMariaDB, Version: "11.4", Parameters: mysql}, false, stacks.LinkPhysical, badMySQL, 3306, "mariadb11-4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, p := newFake(t)
			in := region(inVPC)
			if c.cluster {
				in.Region.Settings["aurora"] = map[string]any{}
			}
			db := in.Database
			db.APIVersion, db.Kind, db.Metadata.Namespace, db.Spec.Engine = stacks.APIVersion, stacks.KindDatabase, "default", c.engine
			there := in.Region
			there.Name, there.Location, there.Role, there.Settings = "there", "us-east-1", stacks.RoleReplica, maps.Clone(in.Region.Settings)
			there.Settings["storage"] = map[string]any{"kmsKey": "arn:aws:kms:us-east-1:" + rdsfake.Account + ":key/1"}
			db.Spec.Regions = []stacks.Region{in.Region, there}
			db.Spec.Replication.Mode = c.mode
			conformance.Run(t, conformance.Suite{
				Provider: p, Database: db,
				Outputs: func(stacks.Placement) map[string]any {
					return map[string]any{"host": "db.example", "port": c.port, "admin_user": "meridian", "arn": "arn:aws:rds:" + here + ":" + rdsfake.Account + ":db:x", "server_version": "1.2"}
				},
				BadParameters: c.bad,
				World:         func(t *testing.T) conformance.World { return worldOf(t, c.engine, c.cluster, c.familyName) },
			})
		})
	}
}

// worldOf is a fake of RDS in which a region's stack is made: its instance or cluster, its parameter groups and its security group.
func worldOf(t *testing.T, engine stacks.Engine, cluster bool, family string) conformance.World {
	t.Helper()
	fake, p := newFake(t)
	unlimited(p)
	statuses := instanceStatuses
	if cluster {
		statuses = clusterStatuses
	}
	w := conformance.World{Provider: p, Ready: "available", Statuses: map[string]providers.ReadyState{}, Settle: fake.Settle}
	for word, m := range statuses {
		w.Statuses[word] = m.state
	}
	w.Make = func(in providers.ModuleInput, status string) {
		id, at, tags := identifier(in.Stack), in.Region.Location, map[string]string{TagOwner: p.owner(in.Stack)}
		one := rdsfake.Instance{ID: id, Region: at, Class: "db.m7g.large", Engine: engine.Name, Version: engine.Version, Status: status, Backups: 7, Tags: tags}
		if cluster {
			fake.PutCluster(rdsfake.Cluster{ID: id, Region: at, Status: status, Tags: tags})
			fake.PutClusterGroup(rdsfake.ClusterGroup{Name: id + "-" + family, Region: at, Tags: tags})
			for n := range 2 {
				one.ID, one.Cluster, one.Engine, one.Status = fmt.Sprintf("%s-%d", id, n+1), id, auroraEngine, "available"
				fake.Put(one)
			}
		} else {
			fake.Put(one)
			fake.PutParameterGroup(rdsfake.ParameterGroup{Name: id + "-" + family, Region: at, Tags: tags})
		}
		if len(fake.Groups()) == 0 {
			fake.PutGroup(rdsfake.Group{ID: "sg-1", Name: id, VPC: vpc, Region: at, Tags: tags})
		}
	}
	w.Troubles = map[string]func(){}
	for name, fault := range map[string]rdsfake.Fault{
		"throttling":          {Status: 400, Code: "Throttling", Message: "Rate exceeded"},
		"an internal error":   {Status: 500, Code: "InternalFailure", Message: "An internal error has occurred"},
		"a skewed clock":      {Status: 400, Code: "RequestExpired", Message: "Request has expired"},
		"a lost answer":       {AfterCommit: true},
		"throttling for long": {Status: 400, Code: "Throttling", Message: "Rate exceeded", Times: callAttempts},
	} {
		w.Troubles[name] = func() {
			if cluster {
				fake.Fail("DescribeDBClusters", fault)
			} else {
				fake.Fail("DescribeDBInstances", fault)
			}
		}
	}
	w.Reject = func() func() {
		fake.Refuse("AKIAGOOD", "ExpiredToken")
		return func() { fake.Refuse("AKIAGOOD", "") }
	}
	return w
}

// unlimited lets a provider ask as fast as it can: how it waits has tests of its own.
func unlimited(p *Provider) {
	p.sessions.limits[rdsfake.Account] = &limit{
		bucket:  rate.NewLimiter(rate.Inf, 1),
		retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = callAttempts, 10*time.Millisecond }),
	}
}
