package main

import (
	"context"
	"fmt"
	"os"

	"meridian/providers"
	"meridian/stacks/terraform"
)

func init() { offlineRegistry = openOffline }

// openOffline registers providers and engines without a server. exact asks for the versions of our Terraform plugins, which only
// rendering needs: meridian-runner lays them out in a directory that is thrown away.
func openOffline(ctx context.Context, exact bool) (*providers.Registry, error) {
	plugins := []terraform.Plugin{{Source: terraform.LocalDBSource, Version: "0.0.0"}}
	data, err := os.MkdirTemp("", "meridian-offline-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(data)
	if exact {
		runner, err := besideUs("meridian-runner")
		if err != nil {
			return nil, err
		}
		found, err := find(ctx, runner, data, nil)
		if err != nil {
			return nil, err
		}
		plugins = found.Plugins
	}
	return newRegistry(data, "offline", plugins)
}
