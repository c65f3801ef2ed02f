package providers

import (
	"context"
	"errors"

	"meridian/stacks"
)

var _ stacks.Capabilities = (*Registry)(nil)

// EngineVersions lists the exact versions of an engine that a provider can run here, newest first; none where the provider does not say.
func (r *Registry) EngineVersions(ctx context.Context, provider, engine string) ([]string, error) {
	p, err := r.Provider(provider)
	if err != nil {
		return nil, err
	}
	c, err := As[EngineVersions](p)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.EngineVersions(ctx, engine)
}

// ValidateRegion asks the region's provider; one that checks nothing, or that is not there, has nothing to say.
func (r *Registry) ValidateRegion(ctx context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	p, err := r.Provider(region.Provider)
	if err != nil {
		return nil
	}
	c, err := As[Validator](p)
	if err != nil {
		return nil
	}
	return c.ValidateRegion(ctx, db, region)
}
