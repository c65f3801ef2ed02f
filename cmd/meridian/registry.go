package main

import (
	"path/filepath"

	"meridian/providers"
	"meridian/providers/engines/postgres"
	"meridian/providers/local"
	"meridian/stacks/terraform"
)

// newRegistry is the one place where providers and engines are registered.
func newRegistry(data, installation string, plugins []terraform.Plugin) (*providers.Registry, error) {
	p, err := plugin(plugins, terraform.LocalDBSource)
	if err != nil {
		return nil, err
	}
	places := local.New(local.Config{
		PluginSource: p.Source, PluginVersion: p.Version, Root: filepath.Join(data, "local"), Installation: installation,
	})
	return providers.NewRegistry([]providers.Provider{places}, []providers.Engine{postgres.New()}), nil
}
