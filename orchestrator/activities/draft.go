package activities

import (
	"context"
	"errors"
	"fmt"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// Draft renders the stack of a region and stores nothing: a region without a placement gets the one that it would have now. Secrets are only
// named in a stack, so it needs none.
func Draft(ctx context.Context, c *catalog.Catalog, registry *providers.Registry, in providers.ModuleInput) (stacks.Stack, error) {
	provider, err := registry.Provider(in.Region.Provider)
	if err != nil {
		return stacks.Stack{}, err
	}
	if in.Placement, err = draftPlacement(ctx, c, registry, in, in.Region.Name); err != nil {
		return stacks.Stack{}, fmt.Errorf("placing %s: %w", in.Stack, err)
	}
	if source, ok := in.Database.JoinsRegion(in.Region.Name); ok {
		if in.Source, err = draftPlacement(ctx, c, registry, in, source); err != nil {
			return stacks.Stack{}, fmt.Errorf("placing %s: %w", source, err)
		}
	}
	return renderStack(provider, in)
}

// draftPlacement is the place of a region of the database: its own, or the one that it would have now.
func draftPlacement(ctx context.Context, c *catalog.Catalog, registry *providers.Registry, in providers.ModuleInput, name string) (stacks.Placement, error) {
	id := in.Stack
	id.Region = name
	p, err := c.Placement(ctx, id)
	if !errors.Is(err, catalog.ErrNotFound) {
		return p, err
	}
	region, ok := in.Database.Region(name)
	if !ok { // a draft of a region that its spec has no more
		region = in.Region
	}
	provider, err := registry.Provider(region.Provider)
	if err != nil {
		return stacks.Placement{}, err
	}
	placer, err := providers.As[providers.Placer](provider)
	if errors.Is(err, errors.ErrUnsupported) {
		return stacks.Placement{}, nil
	}
	if err != nil {
		return stacks.Placement{}, err
	}
	taken, err := c.Addresses(ctx)
	if err != nil {
		return stacks.Placement{}, err
	}
	return placer.Place(ctx, providers.PlaceInput{Stack: id, Engine: in.Database.Spec.Engine.Name, Taken: taken})
}

// renderStack makes the stack of a region that has its place.
func renderStack(provider providers.Provider, in providers.ModuleInput) (stacks.Stack, error) {
	caller, err := providers.As[providers.ModuleCaller](provider)
	if err != nil {
		return stacks.Stack{}, err
	}
	call, err := caller.ModuleCall(in)
	if err != nil {
		return stacks.Stack{}, fmt.Errorf("module of %s: %w", in.Stack, err)
	}
	stack, err := stacks.Render(in.Stack, call)
	if err != nil {
		return stacks.Stack{}, fmt.Errorf("rendering %s: %w", in.Stack, err)
	}
	stack.Memory = launchMemory(provider, in.Database.Spec.Engine.Name)
	return stack, nil
}

// launchMemory is what one launch of terraform uses with a provider for an engine, in MiB; 0 where it does not say.
func launchMemory(provider providers.Provider, engine string) int {
	heavy, err := providers.As[providers.LaunchMemory](provider)
	if err != nil {
		return 0
	}
	return heavy.LaunchMemory(engine)
}
