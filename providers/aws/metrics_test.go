package aws

import (
	"errors"
	"testing"
	"time"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
	"meridian/stacks"
)

// TestReplicationLag reads what CloudWatch measured of a replica and of a cluster of a global database.
func TestReplicationLag(t *testing.T) {
	t.Parallel()
	second := func(change func(*providers.ModuleInput)) providers.ModuleInput {
		in := region(change)
		in.Region, _ = in.Database.Region("there")
		in.Stack.Region = "there"
		return in
	}
	replica := second(func(in *providers.ModuleInput) { in.Database = chain() })
	of := func(name string) map[string]string { return map[string]string{"DBInstanceIdentifier": name} }
	const there = "default-orders-k3m9x2pq-there"
	cluster := map[string]string{"DBClusterIdentifier": there, "SourceRegion": here}
	metric := func(name string, dimensions map[string]string, value float64, age time.Duration) rdsfake.Metric {
		return rdsfake.Metric{Region: "us-east-1", Name: name, Dimensions: dimensions, Value: value, Age: age}
	}
	for name, c := range map[string]struct {
		in       providers.ModuleInput
		metrics  []rdsfake.Metric
		lag      time.Duration
		measured bool
	}{
		"a replica":         {replica, []rdsfake.Metric{metric("ReplicaLag", of(there), 2.5, time.Minute)}, 2500 * time.Millisecond, true},
		"the newest counts": {replica, []rdsfake.Metric{metric("ReplicaLag", of(there), 1, time.Minute), metric("ReplicaLag", of(there), 9, 5*time.Minute)}, time.Second, true},
		"of long ago":       {replica, []rdsfake.Metric{metric("ReplicaLag", of(there), 1, time.Hour)}, 0, false},
		"of another":        {replica, []rdsfake.Metric{metric("ReplicaLag", of("other"), 1, time.Minute)}, 0, false},
		"it stands still":   {replica, []rdsfake.Metric{metric("ReplicaLag", of(there), -1, time.Minute)}, 0, false},
		"nothing":           {replica, nil, 0, false},
		"a global database": {second(global), []rdsfake.Metric{metric("AuroraGlobalDBReplicationLag", cluster, 310, time.Minute)}, 310 * time.Millisecond, true},
		"a primary":         {region(global), []rdsfake.Metric{metric("AuroraGlobalDBReplicationLag", cluster, 310, time.Minute)}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			for _, m := range c.metrics {
				fake.PutMetric(m)
			}
			lag, measured, err := p.ReplicationLag(t.Context(), c.in)
			if err != nil || measured != c.measured || measured && lag.Round(time.Millisecond) != c.lag {
				t.Errorf("%s, %t, %v", lag, measured, err)
			}
		})
	}
	for code, permanent := range map[string]bool{"AccessDenied": true, "InternalFailure": false} {
		fake, p := newFake(t)
		fake.Fail("ListMetrics", rdsfake.Fault{Status: 400, Code: code})
		if _, _, err := p.ReplicationLag(t.Context(), replica); err == nil || errors.Is(err, providers.ErrPermanent) != permanent {
			t.Errorf("%s: %v", code, err)
		}
	}
	if _, follows := replica.Database.PhysicalSource("there"); !follows || replica.Region.Role != stacks.RoleReplica {
		t.Fatal("the replica is none")
	}
}
