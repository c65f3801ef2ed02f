package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
)

// work is what rows say about one region of a run.
type work struct {
	run      catalog.Run
	row      catalog.RunRegion
	spec     stacks.Database // effective, of the run's revision
	region   stacks.Region
	stack    stacks.StackID
	provider providers.Provider
}

// runSpec reads a run and the effective spec of its revision.
func (a *Activities) runSpec(ctx context.Context, id string) (catalog.Run, stacks.Database, error) {
	run, err := a.Catalog.Run(ctx, id)
	if err != nil {
		return run, stacks.Database{}, fmt.Errorf("run %s: %w", id, err)
	}
	rev, err := a.Catalog.Revision(ctx, run.Incarnation, run.Revision)
	if err != nil {
		return run, stacks.Database{}, fmt.Errorf("revision %d of run %s: %w", run.Revision, id, err)
	}
	return run, rev.Effective, nil
}

// load reads a region of a run. A region that the run removes is no longer in its spec: the newest revision that has it tells what it is.
func (a *Activities) load(ctx context.Context, in RegionInput) (work, error) {
	run, spec, err := a.runSpec(ctx, in.Run)
	if err != nil {
		return work{}, err
	}
	w := work{run: run, spec: spec, stack: stackID(run, in.Region)}
	i := slices.IndexFunc(run.Regions, func(r catalog.RunRegion) bool { return r.Region == in.Region })
	if i < 0 {
		return work{}, fmt.Errorf("region %s of run %s: %w", in.Region, in.Run, catalog.ErrNotFound)
	}
	w.row = run.Regions[i]
	for n := run.Revision; ; n-- {
		if region, ok := w.spec.Region(in.Region); ok {
			w.region = region
			break
		}
		if n <= 1 {
			return work{}, fmt.Errorf("region %s in no revision of %s/%s: %w", in.Region, run.Namespace, run.Name, catalog.ErrNotFound)
		}
		rev, err := a.Catalog.Revision(ctx, run.Incarnation, n-1)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return work{}, fmt.Errorf("revision %d: %w", n-1, err)
		}
		w.spec = rev.Effective
	}
	if w.provider, err = a.Registry.Provider(w.region.Provider); err != nil {
		return work{}, err
	}
	return w, nil
}

func stackID(run catalog.Run, region string) stacks.StackID {
	return stacks.StackID{Namespace: run.Namespace, Name: run.Name, Incarnation: run.Incarnation, Region: region}
}

// moduleInput is what the provider's pure capabilities are asked with.
func (a *Activities) moduleInput(ctx context.Context, w work) (providers.ModuleInput, error) {
	in := providers.ModuleInput{Stack: w.stack, Database: w.spec, Region: w.region}
	placement, err := a.Catalog.Placement(ctx, w.stack)
	switch {
	case err == nil:
		in.Placement = placement
	case !errors.Is(err, catalog.ErrNotFound):
		return in, fmt.Errorf("placement of %s: %w", w.stack, err)
	}
	return in, nil
}

// render makes the region's stack, and first what it is made of: placement and secrets, each once.
func (a *Activities) render(ctx context.Context, w work) (stacks.Stack, error) {
	in := providers.ModuleInput{Stack: w.stack, Database: w.spec, Region: w.region}
	if placer, err := providers.As[providers.Placer](w.provider); err == nil {
		in.Placement, err = a.Catalog.EnsurePlacement(ctx, w.stack, func(taken []string) (stacks.Placement, error) {
			return placer.Place(ctx, providers.PlaceInput{Stack: w.stack, Taken: taken})
		})
		if err != nil {
			return stacks.Stack{}, fmt.Errorf("placing %s: %w", w.stack, err)
		}
	}
	if names, err := providers.As[providers.SecretNames](w.provider); err == nil {
		for _, name := range names.SecretNames(in) {
			if err := a.Catalog.EnsureSecret(ctx, w.stack.Incarnation, name); err != nil {
				return stacks.Stack{}, fmt.Errorf("secret %s: %w", name, err)
			}
		}
	}
	caller, err := providers.As[providers.ModuleCaller](w.provider)
	if err != nil {
		return stacks.Stack{}, err
	}
	call, err := caller.ModuleCall(in)
	if err != nil {
		return stacks.Stack{}, fmt.Errorf("module of %s: %w", w.stack, err)
	}
	stack, err := stacks.Render(w.stack, call)
	if err != nil {
		return stacks.Stack{}, fmt.Errorf("rendering %s: %w", w.stack, err)
	}
	return stack, nil
}

// setRegion moves a region's row.
func (a *Activities) setRegion(ctx context.Context, w work, phase stacks.RegionPhase, message string) error {
	return a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		r.Phase, r.Message = phase, message
		return r
	})
}

// failure is the sentence for a region whose step failed.
func failure(r journal.Result) string {
	for _, d := range r.Diagnostics {
		if d.Severity == stacks.SeverityError {
			return d.Summary
		}
	}
	switch r.Outcome {
	case journal.OutcomeInterrupted:
		return "terraform was killed before it could say how it ended; what it had recorded is kept"
	case journal.OutcomeCancelled:
		return "cancelled; what terraform had finished is kept"
	}
	return fmt.Sprintf("terraform ended with exit code %d and said nothing", r.ExitCode)
}
