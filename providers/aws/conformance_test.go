package aws

import (
	"testing"

	"meridian/providers/aws/rdsfake"
	"meridian/providers/conformance"
	"meridian/stacks"
)

// TestConformanceOfAurora is the suite for a region that is a cluster, beside another one that a logical link fills.
func TestConformanceOfAurora(t *testing.T) {
	t.Parallel()
	_, p := newFake(t)
	in := region(withAurora)
	db := in.Database
	db.APIVersion, db.Kind, db.Metadata.Namespace = stacks.APIVersion, stacks.KindDatabase, "default"
	there := in.Region
	there.Name, there.Location, there.Role = "there", "us-east-1", stacks.RoleReplica
	db.Spec.Regions = []stacks.Region{in.Region, there}
	db.Spec.Replication.Mode = stacks.LinkLogical
	db.Spec.Engine.Parameters = map[string]string{"max_connections": "50", "Work_Mem": "8MB", "pg_stat_statements.max": "1000"}
	conformance.Run(t, conformance.Suite{
		Provider: p, Database: db,
		Outputs: func(stacks.Placement) map[string]any {
			return map[string]any{
				"host": "db.example", "reader_host": "ro.db.example", "port": 5432, "admin_user": "meridian", "arn": "arn:aws:rds:" + here + ":" + rdsfake.Account + ":cluster:x",
				"server_version": "16.8", "instances": []any{"x-1", "x-2"},
			}
		},
		BadParameters: map[string]string{"port": "5433", "Listen_Addresses": "*", "rds.logical_replication": "0", "rds.force_ssl": "0", "wal_level": "replica"},
	})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	_, p := newFake(t)
	in := region()
	db := in.Database
	db.APIVersion, db.Kind, db.Metadata.Namespace = stacks.APIVersion, stacks.KindDatabase, "default"
	there := in.Region
	there.Name, there.Location, there.Role = "there", "us-east-1", stacks.RoleReplica
	db.Spec.Regions = []stacks.Region{in.Region, there}
	db.Spec.Engine.Parameters = map[string]string{"max_connections": "50", "Work_Mem": "8MB", "pg_stat_statements.max": "1000"}
	conformance.Run(t, conformance.Suite{
		Provider: p, Database: db,
		Outputs: func(stacks.Placement) map[string]any {
			return map[string]any{"host": "db.example", "port": 5432, "admin_user": "meridian", "arn": "arn:aws:rds:" + here + ":" + rdsfake.Account + ":db:x", "server_version": "16.8"}
		},
		BadParameters: map[string]string{"port": "5433", "Listen_Addresses": "*", "rds.logical_replication": "0", "rds.force_ssl": "0", "wal_level": "replica"},
	})
}
