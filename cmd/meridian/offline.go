package main

import (
	"context"
	"fmt"
	"os"

	"meridian/providers"
	"meridian/stacks/terraform"
)

// openOffline registers providers and engines without a server. data is the data directory that paths are made of; nothing is
// written there. exact asks for the versions of our Terraform plugins, which only
// rendering needs: meridian-runner lays them out in a directory that is thrown away.
func openOffline(ctx context.Context, data string, exact bool) (*providers.Registry, error) {
	if !exact {
		return newRegistry(data, "offline", []terraform.Plugin{{Source: terraform.LocalDBSource, Version: "0.0.0"}}, nil)
	}
	runner, err := besideUs("meridian-runner")
	if err != nil {
		return nil, err
	}
	site, err := os.MkdirTemp("", "meridian-offline-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(site)
	found, err := find(ctx, runner, site, nil)
	if err != nil {
		return nil, err
	}
	return newRegistry(data, "offline", found.Plugins, nil)
}
