package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// The phases of a link's row.
const (
	linkCopying  = "copying"
	linkVerified = "verified"
	linkRemoving = "removing"
	linkFailed   = "failed"
)

// linkJob is what rows say about one link of a run.
type linkJob struct {
	run    catalog.Run
	spec   stacks.Database
	row    catalog.Link
	known  bool // the row was there before
	linker providers.Linker
	input  providers.LinkInput
}

// loadLink reads a link of a run: from the spec, else (it goes away) from its row. A side that has no endpoint any more stays empty.
func (a *Activities) loadLink(ctx context.Context, in LinkInput) (linkJob, error) {
	run, spec, err := a.runSpec(ctx, in.Run)
	if err != nil {
		return linkJob{}, err
	}
	j := linkJob{run: run, spec: spec}
	rows, err := a.Catalog.Links(ctx, run.Incarnation)
	if err != nil {
		return j, fmt.Errorf("links of %s: %w", run.Incarnation, err)
	}
	if i := slices.IndexFunc(rows, func(l catalog.Link) bool { return l.Name == in.Link }); i >= 0 {
		j.row, j.known = rows[i], true
	}
	link := j.row.Spec
	if i := slices.IndexFunc(spec.Spec.Replication.Links, func(l stacks.Link) bool { return l.Name() == in.Link && !l.Drop }); i >= 0 {
		link = spec.Spec.Replication.Links[i]
	} else if !j.known {
		return j, fmt.Errorf("link %s of run %s: %w", in.Link, in.Run, catalog.ErrNotFound)
	}
	j.row.Incarnation, j.row.Name, j.row.Spec, j.row.RunNumber = run.Incarnation, in.Link, link, run.Number
	engine, err := a.Registry.Engine(spec.Spec.Engine.Name)
	if err != nil {
		return j, err
	}
	if j.linker, err = providers.As[providers.Linker](engine); err != nil {
		return j, err
	}
	if err := a.Catalog.EnsureSecret(ctx, run.Incarnation, linkSecret(in.Link)); err != nil {
		return j, fmt.Errorf("secret of link %s: %w", in.Link, err)
	}
	password, err := a.Catalog.Secret(ctx, run.Incarnation, linkSecret(in.Link))
	if err != nil {
		return j, fmt.Errorf("secret of link %s: %w", in.Link, err)
	}
	j.input, err = a.linkInput(ctx, run, spec, link, password)
	return j, err
}

// linkInput is how an engine reaches both sides of a link.
func (a *Activities) linkInput(ctx context.Context, run catalog.Run, spec stacks.Database, link stacks.Link, password string) (providers.LinkInput, error) {
	objects, err := a.objects(ctx, run, spec)
	if err != nil {
		return providers.LinkInput{}, err
	}
	in := providers.LinkInput{
		Stack: stackID(run, link.To), RunNumber: run.Number, Link: link, Password: password, Objects: objects,
		MaxLag: timeDuration(spec.Spec.Replication.MaxLag),
	}
	for _, side := range []struct {
		region  string
		target  *providers.Target
		rebuild *providers.Rebuild
	}{{link.From, &in.From, &in.RebuildSource}, {link.To, &in.To, &in.Rebuild}} {
		*side.target, err = a.target(ctx, stackID(run, side.region), spec)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return in, err
		}
		side.target.Region = side.region
		if *side.rebuild, err = a.rebuildOf(ctx, run, spec, side.region); err != nil {
			return in, err
		}
	}
	in.To.Follows = link.Mode == stacks.LinkPhysical
	return in, nil
}

// setLink moves a link's row, or makes it; a larger run that wrote it last wins, and this step is refused.
func (a *Activities) setLink(ctx context.Context, j linkJob, phase, message string) error {
	j.row.Phase, j.row.Message = phase, message
	return superseded(j, a.Catalog.PutLink(ctx, j.row))
}

// leaveLink moves the row of a link that goes away, and never makes one; catalog.ErrNotFound where another attempt has removed it.
func (a *Activities) leaveLink(ctx context.Context, j linkJob, phase, message string) error {
	j.row.Phase, j.row.Message = phase, message
	return superseded(j, a.Catalog.UpdateLink(ctx, j.row))
}

func superseded(j linkJob, err error) error {
	if errors.Is(err, catalog.ErrMoved) {
		return fmt.Errorf("link %s: %w", j.row.Name, providers.ErrSuperseded)
	}
	return err
}

func timeDuration(d stacks.Duration) time.Duration { return time.Duration(d) }
