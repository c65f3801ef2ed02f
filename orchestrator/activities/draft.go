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
func Draft(ctx context.Context, c *catalog.Catalog, provider providers.Provider, in providers.ModuleInput) (stacks.Stack, error) {
	var err error
	in.Placement, err = c.Placement(ctx, in.Stack)
	if errors.Is(err, catalog.ErrNotFound) {
		in.Placement, err = draftPlacement(ctx, c, provider, in.Stack)
	}
	if err != nil {
		return stacks.Stack{}, fmt.Errorf("placing %s: %w", in.Stack, err)
	}
	return renderStack(provider, in)
}

func draftPlacement(ctx context.Context, c *catalog.Catalog, provider providers.Provider, id stacks.StackID) (stacks.Placement, error) {
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
	return placer.Place(ctx, providers.PlaceInput{Stack: id, Taken: taken})
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
	stack.Memory = launchMemory(provider)
	return stack, nil
}

// launchMemory is what one launch of terraform uses with a provider, in MiB; 0 where it does not say.
func launchMemory(provider providers.Provider) int {
	heavy, err := providers.As[providers.LaunchMemory](provider)
	if err != nil {
		return 0
	}
	return heavy.LaunchMemory()
}
