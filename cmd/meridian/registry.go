package main

import (
	"fmt"

	"meridian/providers"
	"meridian/providers/engines/postgres"
	"meridian/providers/local"
	"meridian/providers/local/server"
	"meridian/stacks/terraform"
)

// newRegistry is the one place where providers and engines are registered.
func newRegistry(data, installation string, plugins []terraform.Plugin) (*providers.Registry, error) {
	p, err := plugin(plugins, terraform.LocalDBSource)
	if err != nil {
		return nil, err
	}
	root, err := local.ServersRoot(data)
	if err != nil {
		return nil, fmt.Errorf("where PostgreSQL servers may live: %w", err)
	}
	places := local.New(local.Config{PluginSource: p.Source, PluginVersion: p.Version, Root: root, Installation: installation})
	return providers.NewRegistry([]providers.Provider{places}, []providers.Engine{postgres.New(postgres.WithPgDump(server.PgDump))}), nil
}
