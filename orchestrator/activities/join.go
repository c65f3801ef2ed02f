package activities

import (
	"context"
	"errors"
	"fmt"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// join takes a region whose database is made from another's into that one's cluster, where the engine makes one of them. It returns what is
// still waited for.
func (a *Activities) join(ctx context.Context, w work, engine providers.Engine, module providers.ModuleInput, to providers.Target) (waiting string, err error) {
	source, made := w.spec.JoinsRegion(w.region.Name)
	joiner, err := providers.As[providers.Joiner](engine)
	if !made || errors.Is(err, errors.ErrUnsupported) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	from, err := a.target(ctx, stackID(w.run, source), w.spec)
	if err != nil {
		return "", err
	}
	err = joiner.JoinRegion(ctx, providers.JoinInput{
		Stack: w.stack, RunNumber: w.run.Number, From: from, To: to, Rebuild: rebuild(w.provider, module),
	})
	switch {
	case err == nil:
		return "", nil
	case permanent(err):
		return "", fmt.Errorf("joining %s with %s: %w", w.region.Name, source, err)
	}
	return "it joins " + source + ": " + err.Error(), nil
}

// rebuild is how a provider fills a region's new part of a database; nil where it does that by itself.
func rebuild(provider providers.Provider, module providers.ModuleInput) providers.Rebuild {
	rebuilder, err := providers.As[providers.Rebuilder](provider)
	if err != nil {
		return nil
	}
	return func(ctx context.Context, fill providers.Fill) error { return rebuilder.Rebuild(ctx, module, fill) }
}

// rebuildOf is rebuild for a region of a spec; nil where it is none of its regions any more.
func (a *Activities) rebuildOf(ctx context.Context, run catalog.Run, spec stacks.Database, name string) (providers.Rebuild, error) {
	region, ok := spec.Region(name)
	if !ok {
		return nil, nil
	}
	provider, err := a.Registry.Provider(region.Provider)
	if err != nil {
		return nil, err
	}
	if _, err := providers.As[providers.Rebuilder](provider); err != nil {
		return nil, nil //nolint:nilerr // it fills its regions by itself
	}
	module, err := a.moduleInput(ctx, work{run: run, spec: spec, region: region, stack: stackID(run, name), provider: provider})
	if err != nil {
		return nil, err
	}
	return rebuild(provider, module), nil
}
