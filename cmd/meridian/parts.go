package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"meridian/orchestrator/activities"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/temporal"
	"meridian/providers"
	"meridian/providers/module"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// parts are what a server and a worker are both made of: rows, the runner, and what the runner found.
type parts struct {
	data    string
	timing  stacks.Timing
	store   *store.Store
	keys    *keyring.Keyring
	catalog *catalog.Catalog
	journal *journal.Journal

	// installed is the runner that lies beside this program, runner the copy of it that is executed.
	installed string
	runner    *activities.Program
	// env is added to the runner's environment: settings that it must share.
	env []string
	// scope is what a runner is started with where systemd gives it a scope of its own.
	scope []string

	retention    activities.Retention
	installation string
	registry     *providers.Registry
}

// openParts opens store, keyring, catalog and journal, and finds the runner. Parts that it returns with an error have to be closed too.
func openParts(ctx context.Context, data, where, terraformPath string) (p *parts, err error) {
	p = &parts{data: data}
	if p.timing, err = loadTiming(); err != nil {
		return p, err
	}
	if p.store, err = store.Open(ctx, where); err != nil {
		return p, err
	}
	sealed, err := p.store.Sealed(ctx)
	if err != nil {
		return p, fmt.Errorf("sealed rows: %w", err)
	}
	keys, err := keyring.Open(keyring.Source{Dir: data, Env: terraform.EnvKeyring}, !sealed)
	if err != nil {
		return p, err
	}
	p.keys = keys
	p.catalog, p.journal = catalog.New(p.store, keys), journal.New(p.store, keys)
	if p.installed, err = besideUs("meridian-runner"); err != nil {
		return p, err
	}
	if p.runner, err = activities.LayProgram(terraform.Site{Root: data}, p.installed); err != nil {
		return p, err
	}
	p.scope = activities.FindScope(ctx, os.Getenv)
	if terraformPath != "" {
		p.env = append(p.env, terraform.EnvTerraform+"="+terraformPath)
	}
	if where != data {
		p.env = append(p.env, store.Env+"="+where)
	}
	return p, nil
}

// register makes the registry of what the runner found; limits may be nil.
func (p *parts) register(ctx context.Context, found terraform.FindAnswer, limits *module.Limits) (err error) {
	if p.installation, err = p.catalog.Installation(ctx); err != nil {
		return fmt.Errorf("installation: %w", err)
	}
	p.registry, err = newRegistry(p.data, p.installation, found.Plugins, limits)
	return err
}

// notePayloads records that what Temporal is given is sealed with the ring, where it is.
func (p *parts) notePayloads(ctx context.Context, t temporal.Settings) error {
	if !t.Encrypted() {
		return nil
	}
	return p.catalog.NotePayloads(ctx)
}

// activities are the activities on these parts.
func (p *parts) activities(logger *slog.Logger) *activities.Activities {
	return activities.New(activities.Options{
		Catalog: p.catalog, Journal: p.journal, Registry: p.registry, Site: terraform.Site{Root: p.data},
		Runner: p.runner.Path, RunnerEnv: p.env, Timing: p.timing, Logger: logger, Scope: p.scope, Retention: p.retention,
	})
}

// close closes the store.
func (p *parts) close(logger *slog.Logger) {
	if p.runner != nil {
		p.runner.Close()
	}
	if p.store == nil {
		return
	}
	if err := p.store.Close(); err != nil {
		logger.Warn("closing the store", "error", err)
	}
}
