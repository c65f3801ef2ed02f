package main

import (
	"fmt"
	"os"
	"strconv"

	"meridian/providers"
	"meridian/providers/aws"
	"meridian/providers/engines/cassandra"
	"meridian/providers/engines/mysql"
	"meridian/providers/engines/none"
	"meridian/providers/engines/postgres"
	"meridian/providers/local"
	"meridian/providers/local/server"
	"meridian/providers/module"
	"meridian/stacks/terraform"
)

// newRegistry is the one place where providers and engines are registered.
func newRegistry(data, installation string, plugins []terraform.Plugin, limits *module.Limits) (*providers.Registry, error) {
	p, err := plugin(plugins, terraform.LocalDBSource)
	if err != nil {
		return nil, err
	}
	root, err := local.ServersRoot(data)
	if err != nil {
		return nil, fmt.Errorf("where PostgreSQL servers may live: %w", err)
	}
	directories, _ := strconv.Atoi(os.Getenv(local.EnvDirectories)) // none where it is not set
	places := local.New(local.Config{
		PluginSource: p.Source, PluginVersion: p.Version, Root: root, Installation: installation, Directories: directories,
	})
	modules := module.New()
	if limits != nil {
		modules = module.Restricted(*limits)
	}
	return providers.NewRegistry(
		[]providers.Provider{places, aws.New(aws.Config{Installation: installation}), modules},
		[]providers.Engine{cassandra.Engine{}, mysql.MariaDB(), mysql.MySQL(), none.Engine{}, postgres.New(postgres.WithPgDump(server.PgDump))},
	), nil
}
