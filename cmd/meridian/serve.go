package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"meridian/orchestrator"
	"meridian/orchestrator/activities"
	"meridian/orchestrator/web"
	"meridian/persistence/temporal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

func init() { openBackend = openReal }

// openReal opens everything that a server is made of, from the bottom: store, keyring, catalog and journal; terraform, plugins and
// providers; Temporal; workers and reconciler.
func openReal(ctx context.Context, o serveOptions, logger *slog.Logger) (_ *backend, err error) {
	var closers []func()
	closeAll := func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	p, err := openParts(ctx, o.Data, o.Store, o.Terraform)
	closers = append(closers, func() { p.close(logger) })
	if err != nil {
		return nil, err
	}
	var (
		found  terraform.FindAnswer
		engine *temporal.Server
	)
	starting, startCtx := errgroup.WithContext(ctx)
	starting.Go(func() (err error) {
		found, err = find(startCtx, p.installed, o.Data, p.env)
		return err
	})
	starting.Go(func() (err error) {
		engine, err = temporal.Start(ctx, temporal.Options{
			Dir: o.Data, Settings: o.Temporal, Sealer: p.keys, UI: o.UI, PublicPath: web.UIPath, Logger: logger,
		})
		return noTemporal(ctx, err)
	})
	err = starting.Wait()
	if engine != nil {
		closers = append(closers, engine.Stop)
	}
	if err != nil {
		return nil, err
	}
	p.retention = o.Retention
	if err := p.register(ctx, found, o.Modules); err != nil {
		return nil, err
	}
	if err := p.notePayloads(ctx, o.Temporal); err != nil {
		return nil, err
	}
	client, err := orchestrator.NewClient(ctx, orchestrator.Options{
		Catalog: p.catalog, Journal: p.journal, Registry: p.registry, Timing: p.timing, Logger: logger,
		Resolver:     activities.Resolver{Site: terraform.Site{Root: p.data}, Runner: p.runner.Path, Env: p.env},
		Payloads:     orchestrator.Payloads{Sealed: o.Temporal.Encrypted(), Data: temporal.SealedData},
		WorkflowPath: func(id string) string { return web.WorkflowPath(engine.Namespace(), id, "") },
	})
	if err != nil {
		return nil, err
	}
	sdk, err := engine.Client()
	if err != nil {
		return nil, fmt.Errorf("client of Temporal: %w", err)
	}
	closers = append(closers, sdk.Close)
	if o.NoWorker {
		client.StartWithoutWorkers(sdk, p.activities(logger))
	} else if err := client.Start(sdk, p.activities(logger)); err != nil {
		return nil, err
	}
	closers = append(closers, client.Stop)
	b := &backend{Service: client, Failed: engine.Failed(), Err: engine.Err, Close: closeAll}
	if o.UI {
		pages := web.New(web.Options{
			UIAddress: engine.UIAddress(), UIKey: engine.Key(), Authorized: o.Authorized,
			BaseURL: func() string { return o.URL }, Logger: logger,
		})
		b.Web, b.LoginURL = pages, pages.IssueLogin
	}
	return b, nil
}

// noTemporal says what it means that Temporal does not start: nothing moves, and nothing is lost.
func noTemporal(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &exitError{
		Code: exitFailed, What: "Temporal could not be started, and without it no run moves: " + err.Error(),
		Next: "mend that and start the server again: runs go on from the catalog, also where " + temporal.FileName + " was moved away",
	}
}

// loadTiming is the default timing, or what MERIDIAN_TIMING changes of it.
func loadTiming() (stacks.Timing, error) {
	t := stacks.DefaultTiming()
	if text := os.Getenv(terraform.EnvTiming); text != "" {
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return t, fmt.Errorf("%s: %w", terraform.EnvTiming, err)
		}
	}
	return t, nil
}

// besideUs is a program that was built and installed together with this one.
func besideUs(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where this program is: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", fmt.Errorf("where this program is: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", &exitError{Code: exitFailed, What: fmt.Sprintf("%s is not beside %s", name, self), Next: "install both together; make build puts them into bin/"}
	}
	return path, nil
}

// find asks the runner for terraform and our plugins, which it lays out where they are missing.
func find(ctx context.Context, runner, data string, env []string) (terraform.FindAnswer, error) {
	var out terraform.FindAnswer
	cmd := exec.CommandContext(ctx, runner, terraform.VerbFind, "--data", data)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		what := strings.TrimSpace(stderr.String())
		if what == "" {
			what = err.Error()
		}
		return out, &exitError{Code: exitFailed, What: "terraform: " + what, Next: "meridian doctor looks at what is missing"}
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return out, fmt.Errorf("answer of %s: %w", runner, err)
	}
	return out, nil
}

// plugin is the version of one of our Terraform plugins.
func plugin(plugins []terraform.Plugin, source string) (terraform.Plugin, error) {
	for _, p := range plugins {
		if p.Source == source {
			return p, nil
		}
	}
	return terraform.Plugin{}, &exitError{Code: exitFailed, What: "plugin " + source + " was not laid out", Next: "install terraform-provider-localdb beside meridian-runner; make build puts both into bin/"}
}
