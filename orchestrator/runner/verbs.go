package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// pluginBinary is the file name of our plugin; it lies beside the runner.
const pluginBinary = "terraform-provider-localdb"

// answer runs a verb that only answers.
func (o options) answer(ctx context.Context, verb string, log *slog.Logger) (any, error) {
	if verb == terraform.VerbFind {
		return find(ctx, o.site)
	}
	if verb == terraform.VerbResolve {
		return resolve(ctx, o.site, os.Stdin, log)
	}
	w, err := openWorker(ctx, o.site, log)
	if err != nil {
		return nil, err
	}
	defer w.close()
	switch verb {
	case terraform.VerbTemplate:
		return w.template(ctx, o.step)
	case terraform.VerbState:
		return w.state(ctx, o.step, os.Stdin)
	case terraform.VerbSweep:
		return w.sweep(ctx)
	}
	return w.show(ctx, o.artifact)
}

// find finds or installs terraform, lays our plugin into the site's mirror, and gives the site its ID, which workers tell others.
func find(ctx context.Context, site terraform.Site) (terraform.FindAnswer, error) {
	var a terraform.FindAnswer
	err := os.MkdirAll(site.Root, 0o700)
	if err == nil {
		_, err = ensureSiteID(site)
	}
	if err != nil {
		return a, err
	}
	if a.Terraform, err = launch.Find(ctx, site, os.Getenv(terraform.EnvTerraform)); err != nil {
		return a, err
	}
	exe, err := os.Executable()
	if err != nil {
		return a, fmt.Errorf("find the plugin: %w", err)
	}
	plugin := filepath.Join(filepath.Dir(exe), pluginBinary)
	if _, err := os.Stat(plugin); errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	laid, err := launch.LayMirror(site, plugin)
	if err != nil {
		return a, err
	}
	a.Plugins = append(a.Plugins, laid)
	return a, nil
}

// template makes the template of a step's stack ready, so that the step itself finds it.
func (w *worker) template(ctx context.Context, id string) (terraform.TemplateAnswer, error) {
	step, err := w.journal.Step(ctx, id)
	if err != nil {
		return terraform.TemplateAnswer{}, fmt.Errorf("step %s: %w", id, err)
	}
	binary, err := launch.Find(ctx, w.site, os.Getenv(terraform.EnvTerraform))
	if err != nil {
		return terraform.TemplateAnswer{}, err
	}
	t, err := launch.EnsureTemplate(ctx, launch.TemplateInput{
		Site: w.site, Binary: binary, Providers: step.Stack.Providers, Install: step.Stack.Install, Environ: os.Environ(),
	})
	return terraform.TemplateAnswer{Hash: t.Hash, Dir: t.Dir}, err
}

// show asks terraform itself what is in the plan of an artifact, in a scratch copy.
func (w *worker) show(ctx context.Context, id string) (json.RawMessage, error) {
	a, err := w.journal.Artifact(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("artifact %s: %w", id, err)
	}
	step, err := w.journal.Step(ctx, id) // an artifact has the ID of the step that made it
	if err != nil {
		return nil, fmt.Errorf("step %s: %w", id, err)
	}
	p := &prepared{step: step, artifact: &a}
	if p.binary, err = launch.Find(ctx, w.site, os.Getenv(terraform.EnvTerraform)); err != nil {
		return nil, err
	}
	p.template, err = launch.EnsureTemplate(ctx, launch.TemplateInput{
		Site: w.site, Binary: p.binary, Providers: step.Stack.Providers, Install: step.Stack.Install, Environ: os.Environ(),
	})
	if err != nil {
		return nil, err
	}
	if p.state, err = w.journal.LatestState(ctx, a.Stack); err != nil {
		return nil, err
	}
	scratch := w.site.CheckDir("show-" + uuid.NewString())
	defer w.cleanCheck(scratch)
	if err := stage(scratch, p); err != nil {
		return nil, err
	}
	return launch.ShowPlan(ctx, launch.Call{Binary: p.binary, Dir: scratch, Env: environment(scratch, nil)})
}
