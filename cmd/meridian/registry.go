package main

import (
	"context"
	"fmt"
	"strconv"

	"meridian/providers"
	"meridian/providers/engines/postgres"
	"meridian/providers/local"
	"meridian/providers/local/server"
	"meridian/stacks"
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
	return providers.NewRegistry([]providers.Provider{places}, []providers.Engine{postgres.New(postgres.WithPgDump(pgDump))}), nil
}

// pgDump finds the pg_dump of a major version among the PostgreSQLs of this machine.
func pgDump(major int) (string, error) {
	found, err := server.Find(context.Background())
	if err != nil {
		return "", err
	}
	for _, b := range found {
		if stacks.Major(b.Version) == strconv.Itoa(major) {
			return b.Path("pg_dump"), nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL %d is installed on this machine, whose pg_dump copies the schema: install it: %w", major, providers.ErrPermanent)
}
