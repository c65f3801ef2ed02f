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
	revision int64 // the one that region and spec are of
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

// load reads a region of a run.
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
	if w.spec, w.region, w.revision, err = a.define(ctx, run, spec, in.Region); err != nil {
		return work{}, err
	}
	if w.provider, err = a.Registry.Provider(w.region.Provider); err != nil {
		return work{}, err
	}
	return w, nil
}

// define finds what a region of a run is. One that the run removes is not in its spec: the newest revision before it that has the region
// tells, else one after it.
func (a *Activities) define(ctx context.Context, run catalog.Run, spec stacks.Database, name string) (stacks.Database, stacks.Region, int64, error) {
	for n, step := run.Revision, int64(-1); ; n += step {
		if n == 0 {
			n, step = run.Revision+1, 1
		}
		if n != run.Revision {
			rev, err := a.Catalog.Revision(ctx, run.Incarnation, n)
			switch {
			case err == nil:
				spec = rev.Effective
			case !errors.Is(err, catalog.ErrNotFound):
				return spec, stacks.Region{}, 0, fmt.Errorf("revision %d: %w", n, err)
			case step > 0:
				return spec, stacks.Region{}, 0, fmt.Errorf("region %s in no revision of %s/%s: %w", name, run.Namespace, run.Name, catalog.ErrNotFound)
			default:
				continue
			}
		}
		if region, ok := spec.Region(name); ok {
			return spec, region, n, nil
		}
	}
}

// location is where a region's terraform works. A region that no revision knows goes where the run's first one does: somebody serves
// that queue, and the region's step says what is wrong.
func (a *Activities) location(ctx context.Context, run catalog.Run, spec stacks.Database, name string) (string, error) {
	_, region, _, err := a.define(ctx, run, spec, name)
	if errors.Is(err, catalog.ErrNotFound) {
		return spec.Spec.Regions[0].Location, nil
	}
	return region.Location, err
}

// Locations lists where a run's terraform works, so that those queues are served; its regions may be more than its spec has.
func (a *Activities) Locations(ctx context.Context, id string) ([]string, error) {
	run, spec, err := a.runSpec(ctx, id)
	if err != nil {
		return nil, err
	}
	regions := run.Regions
	if len(regions) == 0 {
		if regions, err = a.regionsOf(ctx, run, spec); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, r := range regions {
		location, err := a.location(ctx, run, spec, r.Region)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, location) {
			out = append(out, location)
		}
	}
	return out, nil
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
	if source, ok := w.spec.JoinsRegion(w.region.Name); ok {
		in.Source, err = a.Catalog.Placement(ctx, stackID(w.run, source))
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return in, fmt.Errorf("placement of %s: %w", source, err)
		}
	}
	return in, a.foreign(ctx, w, &in)
}

// place gives a region of the database its place, once. A provider that places nothing gives none, but what was imported has one.
func (a *Activities) place(ctx context.Context, w work, name string) (stacks.Placement, error) {
	region, ok := w.spec.Region(name)
	if !ok {
		return stacks.Placement{}, fmt.Errorf("region %s: %w", name, catalog.ErrNotFound)
	}
	provider, err := a.Registry.Provider(region.Provider)
	if err != nil {
		return stacks.Placement{}, err
	}
	id := stackID(w.run, name)
	placer, err := providers.As[providers.Placer](provider)
	if errors.Is(err, errors.ErrUnsupported) {
		p, err := a.Catalog.Placement(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) {
			return stacks.Placement{}, nil
		}
		return p, err
	}
	if err != nil {
		return stacks.Placement{}, err
	}
	p, err := a.Catalog.EnsurePlacement(ctx, id, func(taken []string) (stacks.Placement, error) {
		return placer.Place(ctx, providers.PlaceInput{Stack: id, Engine: w.spec.Spec.Engine.Name, Taken: taken})
	})
	if err != nil {
		return stacks.Placement{}, fmt.Errorf("placing %s: %w", id, err)
	}
	return p, nil
}

// render makes the region's stack, and first what it is made of: placement and secrets, each once.
func (a *Activities) render(ctx context.Context, w work) (stacks.Stack, error) {
	in := providers.ModuleInput{Stack: w.stack, Database: w.spec, Region: w.region}
	var err error
	if err := errors.Join(a.foreign(ctx, w, &in), a.values(ctx, w, &in)); err != nil {
		return stacks.Stack{}, err
	}
	if in.Placement, err = a.place(ctx, w, w.region.Name); err != nil {
		return stacks.Stack{}, err
	}
	if source, ok := w.spec.JoinsRegion(w.region.Name); ok {
		if in.Source, err = a.place(ctx, w, source); err != nil {
			return stacks.Stack{}, err
		}
	}
	if names, err := providers.As[providers.SecretNames](w.provider); err == nil {
		for _, name := range names.SecretNames(in) {
			if err := a.Catalog.EnsureSecret(ctx, w.stack.Incarnation, name); err != nil {
				return stacks.Stack{}, fmt.Errorf("secret %s: %w", name, err)
			}
		}
	}
	return renderStack(w.provider, in)
}

// late reports whether a run is not in the phase that a step belongs to: the workflow that asks knows less than the rows, for Temporal's
// file was put back from a copy, or its attempt was given up long ago. There is nothing to do for it, and it must not move anything back.
func (a *Activities) late(ctx context.Context, run string, phase stacks.Phase) (bool, error) {
	r, err := a.Catalog.Run(ctx, run)
	if err != nil {
		return false, fmt.Errorf("run %s: %w", run, err)
	}
	return r.Phase != phase, nil
}

// setRegion moves a region's row, unless an attempt that was faster has brought it to an end.
func (a *Activities) setRegion(ctx context.Context, w work, phase stacks.RegionPhase, message string) error {
	return a.Catalog.UpdateRegion(ctx, w.run.ID, w.row.Region, func(r catalog.RunRegion) catalog.RunRegion {
		switch r.Phase {
		case stacks.RegionReady, stacks.RegionRemoved, stacks.RegionFailed, stacks.RegionCancelled:
		default:
			r.Phase, r.Message = phase, message
		}
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
