package local

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

// engine is what the provider does differently for each engine. Everything else is the same for all.
type engine interface {
	// versions lists the exact versions that are installed here, newest first.
	versions(ctx context.Context) ([]string, error)
	// validate checks that the engine is here, and its parameters.
	validate(ctx context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic
	// memory is what a server takes at its start, in MiB, beyond what any process does.
	memory() int
	// ports are those that a place needs; the first is the clients'.
	ports() []int
	secretNames(in providers.ModuleInput) []string
	moduleCall(in providers.ModuleInput) (stacks.ModuleCall, error)
	endpoint(in providers.EndpointInput) (stacks.Endpoint, error)
	controlPlane(ctx context.Context, in providers.ModuleInput) (providers.ReadyStatus, error)
}

// postgres is the engine postgres on this machine.
type postgres struct{ *Provider }

// postgresPort is PostgreSQL's own.
const postgresPort = 5432

// memory is nothing: a server begins with about 25 MiB, which the room of a launch covers.
func (postgres) memory() int { return 0 }

func (postgres) ports() []int { return []int{postgresPort} }

// engines is the one table of them.
func (p *Provider) engines() map[string]engine {
	return map[string]engine{"postgres": postgres{p}, "cassandra": nodes{p}}
}

func (p *Provider) engineNames() []string { return slices.Sorted(maps.Keys(p.engines())) }

func (p *Provider) engine(name string) (engine, error) {
	if e, ok := p.engines()[name]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("engine %q: provider local runs %s: %w", name, strings.Join(p.engineNames(), " and "), providers.ErrPermanent)
}

// homeOf is the directory of a region that has its place.
func homeOf(in providers.ModuleInput) (string, error) {
	home := in.Placement.Values[valueDataDir]
	if home == "" || in.Placement.Address == "" || in.Placement.Port == 0 {
		return "", fmt.Errorf("region %s has no place: %w", in.Region.Name, providers.ErrPermanent)
	}
	return home, nil
}

// plugin is our Terraform plugin, which needs no configuration.
func (p *Provider) plugin() []stacks.ProviderConfig {
	return []stacks.ProviderConfig{{
		ProviderRequirement: stacks.ProviderRequirement{LocalName: "localdb", Source: p.cfg.PluginSource, Version: p.cfg.PluginVersion},
	}}
}

// endpointOf reads where a region answers from the outputs of its module, which are called alike for all engines. There is no TLS: the address is a
// loopback one.
func endpointOf(in providers.EndpointInput, secret, database string) (stacks.Endpoint, error) {
	host, ok1 := in.Outputs["host"].(string)
	user, ok2 := in.Outputs["admin_user"].(string)
	port, ok3 := providers.WholeNumber(in.Outputs["port"])
	if !ok1 || !ok2 || !ok3 || host == "" {
		return stacks.Endpoint{}, fmt.Errorf("region %s: its state has no endpoint; apply again: %w", in.Region.Name, providers.ErrPermanent)
	}
	return stacks.Endpoint{Host: host, Port: port, User: user, Secret: secret, Database: database, TLSMode: "disable"}, nil
}

// EngineVersions lists the exact versions that are installed here, newest first.
func (p *Provider) EngineVersions(ctx context.Context, name string) ([]string, error) {
	e, err := p.engine(name)
	if err != nil {
		return nil, err
	}
	return e.versions(ctx)
}

// SecretNames names the administrator's password.
func (p *Provider) SecretNames(in providers.ModuleInput) []string {
	e, err := p.engine(in.Database.Spec.Engine.Name)
	if err != nil {
		return nil
	}
	return e.secretNames(in)
}

// ModuleCall makes a region of its engine's module.
func (p *Provider) ModuleCall(in providers.ModuleInput) (stacks.ModuleCall, error) {
	e, err := p.engine(in.Database.Spec.Engine.Name)
	if err != nil {
		return stacks.ModuleCall{}, fmt.Errorf("region %s: %w", in.Region.Name, err)
	}
	return e.moduleCall(in)
}

// Endpoint reads where the region answers from its module's outputs.
func (p *Provider) Endpoint(in providers.EndpointInput) (stacks.Endpoint, error) {
	e, err := p.engine(in.Database.Spec.Engine.Name)
	if err != nil {
		return stacks.Endpoint{}, fmt.Errorf("region %s: %w", in.Region.Name, err)
	}
	return e.endpoint(in)
}

// ControlPlane says what the process table and the server's own files say. It asks no query.
func (p *Provider) ControlPlane(ctx context.Context, in providers.ModuleInput) (providers.ReadyStatus, error) {
	e, err := p.engine(in.Database.Spec.Engine.Name)
	if err != nil {
		return providers.ReadyStatus{}, err
	}
	return e.controlPlane(ctx, in)
}
