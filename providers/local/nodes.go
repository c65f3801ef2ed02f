package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strconv"

	"meridian/providers"
	"meridian/providers/local/cassandra"
	"meridian/stacks"
)

// nodes is the engine cassandra on this machine: each region is a node, the data centre of a cluster that has the database's name.
type nodes struct{ *Provider }

const (
	nodeModule  = "local-cassandra"
	nodeType    = "localdb_cassandra"
	nodeAddress = "module.database.localdb_cassandra.this"
	// cqlPort and storagePort are Cassandra's own, for clients and among its nodes.
	cqlPort, storagePort = 9042, 7000
	// clusterSecret is one for all regions: they are one cluster, with one administrator.
	clusterSecret = "cluster/admin"
)

// nodeOverhead is what Java takes beside a node's heap, in MiB: 307 of a heap of 256 were seen, 410 as it fills.
const nodeOverhead = 160

// memory is a node's heap and what Java takes beside it.
func (nodes) memory() int { return cassandra.DefaultHeap + nodeOverhead }

func (nodes) ports() []int { return []int{cqlPort, storagePort} }

func (nodes) versions(context.Context) ([]string, error) {
	found, err := cassandra.Find()
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(found))
	for _, in := range found {
		out = append(out, in.Version)
	}
	return out, nil
}

func (nodes) validate(_ context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	if _, err := cassandra.Find(); err != nil {
		return []stacks.Diagnostic{refuse("provider.unready", regionField(db, region.Name)+".provider", "run .ci/cassandra.sh, or name a directory with Cassandra's jars in "+cassandra.EnvHome, err.Error())}
	}
	var ds []stacks.Diagnostic
	for _, name := range slices.Sorted(maps.Keys(db.Spec.Engine.Parameters)) {
		field := "spec.engine.parameters." + name
		switch {
		case slices.Contains(cassandra.Managed, name):
			ds = append(ds, refuse("parameter.managed", field, "leave it out", fmt.Sprintf("parameter %q is decided by Meridian", name)))
		case !slices.Contains(cassandra.Tunable, name):
			ds = append(ds, refuse("parameter.unknown", field, didYouMean(name, cassandra.Tunable), fmt.Sprintf("parameter %q of cassandra.yaml cannot be set", name)))
		case !cassandra.ValidValue(db.Spec.Engine.Parameters[name]):
			ds = append(ds, refuse("parameter.invalid", field, "write a number, a size like 16MiB, a duration like 500ms, or a word", fmt.Sprintf("the value of parameter %q cannot be used", name)))
		}
	}
	return ds
}

func (nodes) secretNames(providers.ModuleInput) []string { return []string{clusterSecret} }

// moduleCall makes a region of the module local-cassandra. A region that joins another finds the cluster by that one's place.
func (p nodes) moduleCall(in providers.ModuleInput) (stacks.ModuleCall, error) {
	home, err := homeOf(in)
	if err != nil {
		return stacks.ModuleCall{}, err
	}
	seed := in.Placement
	if source, joins := in.Database.JoinsRegion(in.Region.Name); joins {
		if seed = in.Source; seed.Address == "" {
			return stacks.ModuleCall{}, fmt.Errorf("region %s joins %s, which has no place: %w", in.Region.Name, source, providers.ErrPermanent)
		}
	}
	return stacks.ModuleCall{
		Module: nodeModule,
		Inputs: map[string]any{
			"owner": p.owner(in.Stack), "cluster": in.Stack.Namespace + "." + in.Stack.Name + "." + in.Stack.Incarnation, "datacenter": in.Region.Name,
			"address": in.Placement.Address, "port": int64(in.Placement.Port), "storage_port": int64(storageOf(in.Placement)),
			"seeds":    []any{net.JoinHostPort(seed.Address, strconv.Itoa(storageOf(seed)))},
			"data_dir": home, "engine_version": in.Database.Spec.Engine.Version, "settings": texts(in.Database.Spec.Engine.Parameters),
		},
		Secrets:     map[string]string{"admin_password": clusterSecret},
		Outputs:     []string{"host", "port", "admin_user", "datacenter", "server_version"},
		Providers:   p.plugin(),
		DataBearing: []string{nodeType},
	}, nil
}

// storageOf is the port among nodes of a place: both ports are shifted by as much.
func storageOf(p stacks.Placement) int { return storagePort + p.Port - cqlPort }

func texts(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for name, value := range m {
		out[name] = value
	}
	return out
}

func (nodes) endpoint(in providers.EndpointInput) (stacks.Endpoint, error) {
	return endpointOf(in, clusterSecret, "system")
}

func (p nodes) controlPlane(ctx context.Context, in providers.ModuleInput) (providers.ReadyStatus, error) {
	home := in.Placement.Values[valueDataDir]
	sight, err := cassandra.Look(ctx, home, p.owner(in.Stack))
	if err != nil {
		return providers.ReadyStatus{}, err
	}
	status := providers.ReadyStatus{Raw: string(sight.State), State: providers.StatePending}
	switch sight.State {
	case cassandra.StateRunning:
		status.State, status.Message = providers.StateReady, fmt.Sprintf("process %d answers", sight.PID)
	case cassandra.StateStarting:
		status.Message = fmt.Sprintf("process %d is starting", sight.PID)
	case cassandra.StateStopped: // nobody starts it but an apply
		status.State, status.Message = providers.StateFailed, "the node is stopped; apply again to start it"
	case cassandra.StateAbsent:
		status.State, status.Message = providers.StateFailed, "there is no node in "+home
	case cassandra.StateForeign:
		status.State, status.Message = providers.StateFailed, sight.Message
	}
	return status, nil
}

// Rebuild has a region's node fetch the rows of a keyspace from another data centre, or, where it had them once, those that it lacks.
func (p *Provider) Rebuild(ctx context.Context, in providers.ModuleInput, fill providers.Fill) error {
	home, owner := in.Placement.Values[valueDataDir], p.owner(in.Stack)
	if fill.Again {
		return cassandra.Repair(ctx, home, owner, fill.Database)
	}
	return cassandra.Rebuild(ctx, home, owner, fill.Database, fill.From)
}

// locateNode looks at the home's lock, mark and process. A home without data is nothing to import: a create takes it up.
func (p *Provider) locateNode(ctx context.Context, in providers.LocateInput) (providers.Located, error) {
	home := in.Placement.Values[valueDataDir]
	if home == "" {
		return unknown("region %s has no place, so nobody knows where to look", in.Region.Name), nil
	}
	sight, err := cassandra.Look(ctx, home, p.owner(in.Stack))
	if err != nil {
		return providers.Located{}, err
	}
	found := providers.Located{State: providers.FoundPresent, ImportID: home}
	switch {
	case sight.State == cassandra.StateForeign && sight.Spec.Home == "":
		found = providers.Located{State: providers.FoundForeign, Evidence: sight.Message}
	case sight.Busy:
		found = providers.Located{State: providers.FoundSettling, Evidence: "a process still works in " + home}
	case sight.State == cassandra.StateAbsent:
		found = providers.Located{State: providers.FoundAbsent, Evidence: "there is no node in " + home}
	case sight.State == cassandra.StateStarting:
		found = providers.Located{State: providers.FoundSettling, Evidence: fmt.Sprintf("the node in %s (process %d) is starting", home, sight.PID)}
	case sight.State == cassandra.StateRunning:
		found.Healthy, found.Evidence = true, fmt.Sprintf("our node in %s runs (process %d)", home, sight.PID)
	default:
		found.Evidence = "our node in " + home + " is stopped"
	}
	return found, nil
}

// nodeObject says what of ours a directory holds; false where it is no node, or not this installation's.
func (p *Provider) nodeObject(ctx context.Context, home string) (providers.Object, bool, error) {
	spec, err := cassandra.MarkedSpec(home)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, providers.ErrForeign) {
		return providers.Object{}, false, nil
	}
	if err != nil {
		return providers.Object{}, false, fmt.Errorf("mark of %s: %w", home, err)
	}
	id, mine := p.stackOf(spec.Owner)
	if !mine {
		return providers.Object{}, false, nil
	}
	o := providers.Object{Provider: Name, ID: home, Stack: id, Type: nodeType, Address: nodeAddress, ImportID: home, DataBearing: true}
	sight, err := cassandra.Look(ctx, home, spec.Owner)
	if err != nil {
		o.Detail = "a node that cannot be looked at: " + err.Error()
	} else {
		o.Detail = fmt.Sprintf("Cassandra %s at %s, %s", spec.EngineVersion, spec.HostPort(), sight.State)
	}
	return o, true, nil
}
