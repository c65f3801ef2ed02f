// Package local is the provider whose places are loopback addresses of this machine: real PostgreSQL servers and Cassandra nodes, provisioned by our own
// Terraform plugin.
//
// It must never start, stop or change a server: terraform does, through the plugin. It only says what a region is made of, and looks. The
// one exception is RemoveObject: a server that no state knows is removed where a person named exactly that one.
package local

import (
	"context"
	"fmt"

	"meridian/providers"
	"meridian/providers/local/server"
	"meridian/stacks"
)

// Name is the provider's word in the spec.
const Name = "local"

// EnvDirectories is the number of directories beside each server, for tests that kill things in the middle of stacks of many resources.
const EnvDirectories = "MERIDIAN_LOCALDB_DIRECTORIES"

// Config is what the provider needs to know.
type Config struct {
	// PluginSource and PluginVersion are the plugin's address and exact version in the site's mirror.
	PluginSource, PluginVersion string
	// Root is the directory under which servers live, one directory each; see ServersRoot.
	Root string
	// Installation is the Meridian's ID: part of every owner mark.
	Installation string
	// Directories is how many directories each region gets beside its server. It is for tests that need stacks of many resources: see
	// EnvDirectories.
	Directories int
	// Find lists the PostgreSQLs of this machine, newest first; nil is server.Find.
	Find func(context.Context) ([]server.Binaries, error)
}

// Provider is the provider local.
type Provider struct{ cfg Config }

var (
	_ providers.Provider       = (*Provider)(nil)
	_ providers.EngineVersions = (*Provider)(nil)
	_ providers.Validator      = (*Provider)(nil)
	_ providers.Placer         = (*Provider)(nil)
	_ providers.ModuleCaller   = (*Provider)(nil)
	_ providers.SecretNames    = (*Provider)(nil)
	_ providers.EndpointReader = (*Provider)(nil)
	_ providers.ControlPlane   = (*Provider)(nil)
	_ providers.LaunchMemory   = (*Provider)(nil)
	_ providers.Locator        = (*Provider)(nil)
	_ providers.Rebuilder      = (*Provider)(nil)

	_ providers.PasswordRotator = (*Provider)(nil)
)

// New returns the provider.
func New(cfg Config) *Provider {
	if cfg.Find == nil {
		cfg.Find = server.Find
	}
	return &Provider{cfg: cfg}
}

// Name is "local".
func (*Provider) Name() string { return Name }

// versions lists the exact versions of PostgreSQL that are installed here, newest first.
func (p postgres) versions(ctx context.Context) ([]string, error) {
	found, err := p.cfg.Find(ctx)
	if err != nil {
		return nil, err
	}
	versions := make([]string, 0, len(found))
	for _, b := range found {
		versions = append(versions, b.Version)
	}
	return versions, nil
}

// launchMemory is what terraform (70 MiB) and our plugin (25 MiB) were seen to use, and some room.
const launchMemory = 128

// LaunchMemory is terraform's and the plugin's, and that of the server that is started: the engine says how much.
func (p *Provider) LaunchMemory(name string) int {
	e, err := p.engine(name)
	if err != nil {
		return launchMemory
	}
	return launchMemory + e.memory()
}

// controlPlane says what the process table and the server's own files say. It asks no query.
func (p postgres) controlPlane(ctx context.Context, in providers.ModuleInput) (providers.ReadyStatus, error) {
	home := in.Placement.Values[valueDataDir]
	sight, err := server.Look(ctx, home, p.ownerOf(in))
	if err != nil {
		return providers.ReadyStatus{}, err
	}
	status := providers.ReadyStatus{Raw: string(sight.State), State: providers.StatePending}
	switch sight.State {
	case server.StateRunning:
		status.State, status.Message = providers.StateReady, fmt.Sprintf("process %d accepts connections", sight.PID)
	case server.StateStarting:
		status.Message = fmt.Sprintf("process %d is starting", sight.PID)
	case server.StateStopped: // nobody starts it but an apply
		status.State, status.Message = providers.StateFailed, "the server is stopped; apply again to start it"
	case server.StateAbsent:
		status.State, status.Message = providers.StateFailed, "there is no server in "+home
	case server.StateForeign:
		status.State, status.Message = providers.StateFailed, sight.Message
	}
	return status, nil
}

// regionField returns the field path of a region.
func regionField(db stacks.Database, name string) string {
	for i, r := range db.Spec.Regions {
		if r.Name == name {
			return fmt.Sprintf("spec.regions[%d]", i)
		}
	}
	return "spec.regions"
}
