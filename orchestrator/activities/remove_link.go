package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// RemoveLink removes a link before one of its regions goes, or because the spec drops it. A side that is being destroyed and does not
// answer takes what is left there with it; the other side must come clean.
func (a *Activities) RemoveLink(ctx context.Context, in LinkInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseUnlinking); late || err != nil {
		return RegionResult{}, err
	}
	j, err := a.loadLink(ctx, in)
	if errors.Is(err, catalog.ErrNotFound) {
		return RegionResult{Go: true}, nil // removed by an attempt before this one
	}
	if err != nil {
		return RegionResult{}, err
	}
	if j.run.Cancel {
		return RegionResult{}, nil // the run ends here
	}
	err = a.leaveLink(ctx, j, linkRemoving, "")
	if errors.Is(err, catalog.ErrNotFound) {
		return RegionResult{Go: true}, nil // removed by a faster attempt
	}
	if err != nil {
		return RegionResult{}, err
	}
	if j.input.From.Endpoint.Host != "" || j.input.To.Endpoint.Host != "" {
		err = a.whileWanted(ctx, in.Run, func(ctx context.Context) error { return j.linker.RemoveLink(ctx, j.input) })
	}
	switch {
	case errors.Is(err, errCancelAsked):
		return RegionResult{}, a.unlessGone(a.leaveLink(ctx, j, linkRemoving, "cancelled while it was removed; the next apply or destroy goes on from there"))
	case errors.Is(err, errDetached):
		return RegionResult{}, err
	case errors.Is(err, providers.ErrLeftBehind) && a.sidesGoing(j, err):
		a.log(ctx, in.Run, in.Link, slog.LevelWarn, "what is left of the link goes with its region: "+err.Error())
	case err != nil:
		if serr := a.unlessGone(a.leaveLink(ctx, j, linkRemoving, err.Error())); serr != nil {
			return RegionResult{}, serr
		}
		return RegionResult{}, fmt.Errorf("link %s: %w", in.Link, err)
	}
	return RegionResult{Go: true}, a.Catalog.DeleteLink(ctx, j.run.Incarnation, in.Link)
}

// unlessGone takes it for no error that a faster attempt has removed the link.
func (a *Activities) unlessGone(err error) error {
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	return err
}

// sidesGoing reports whether this run destroys each side of the link that still holds something of it.
func (a *Activities) sidesGoing(j linkJob, err error) bool {
	var left interface{ LeftIn(region string) bool }
	if !errors.As(err, &left) {
		return false
	}
	going := map[string]bool{}
	for _, r := range j.run.Regions {
		going[r.Region] = goes(r) || j.run.Kind == stacks.RunDestroy
	}
	for _, side := range []string{j.row.Spec.From, j.row.Spec.To} {
		if left.LeftIn(side) && !going[side] {
			return false
		}
	}
	return true
}
