package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// LinkModes are the engine's own, and between two regions of one provider also physical where that one makes replicas. A data centre joins only
// where both providers fill what comes to span it: else its rows would be missing, and nobody would be told.
func (r *Registry) LinkModes(engine, from, to string) []stacks.LinkMode {
	var modes []stacks.LinkMode
	if e, err := r.Engine(engine); err == nil {
		if c, err := As[LinkModes](e); err == nil {
			modes = slices.Clone(c.LinkModes())
		}
	}
	if !r.fills(from) || !r.fills(to) {
		modes = slices.DeleteFunc(modes, func(m stacks.LinkMode) bool { return m == stacks.LinkDatacenter })
	}
	if p, err := r.Provider(from); err == nil && from == to {
		if c, err := As[ReplicaMaker](p); err == nil && c.MakesReplicas(engine) {
			modes = append(modes, stacks.LinkPhysical)
		}
	}
	return modes
}

// GlobalMode asks the provider; one that makes no global database has none.
func (r *Registry) GlobalMode(engine, provider string) stacks.LinkMode {
	p, err := r.Provider(provider)
	if err != nil {
		return ""
	}
	c, err := As[GlobalMaker](p)
	if err != nil {
		return ""
	}
	return c.GlobalMode(engine)
}

// fills reports whether a provider fills its regions from others.
func (r *Registry) fills(provider string) bool {
	p, err := r.Provider(provider)
	if err != nil {
		return false
	}
	_, err = As[Rebuilder](p)
	return err == nil
}

// ValidateDatabase asks the engine; one that checks nothing, or that is not there, has nothing to say.
func (r *Registry) ValidateDatabase(ctx context.Context, db stacks.Database) []stacks.Diagnostic {
	e, err := r.Engine(db.Spec.Engine.Name)
	if err != nil {
		return nil
	}
	c, err := As[DatabaseValidator](e)
	if err != nil {
		return nil
	}
	return c.ValidateDatabase(ctx, db)
}

// MajorVersion asks the engine; of one that does not say, or that is not there, the first part of a version is the major one.
func (r *Registry) MajorVersion(engine, version string) string {
	e, err := r.Engine(engine)
	if err != nil {
		return stacks.Major(version)
	}
	c, err := As[MajorVersions](e)
	if err != nil {
		return stacks.Major(version)
	}
	return stacks.MajorOf(version, c.MajorParts())
}

// ReservedNames asks the engine; one that reserves none, or that is not there, has none.
func (r *Registry) ReservedNames(engine string) stacks.Reserved {
	e, err := r.Engine(engine)
	if err != nil {
		return stacks.Reserved{}
	}
	c, err := As[ReservedNames](e)
	if err != nil {
		return stacks.Reserved{}
	}
	return c.ReservedNames()
}

// ValidateRegion asks the region's provider; one that checks nothing, or that is not there, has nothing to say.
func (r *Registry) ValidateRegion(ctx context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	p, err := r.Provider(region.Provider)
	if err != nil {
		return nil
	}
	var ds []stacks.Diagnostic
	if c, err := As[Validator](p); err == nil {
		ds = c.ValidateRegion(ctx, db, region)
	}
	if c, err := As[EndpointChecker](p); err == nil && r.HasDatabase(db.Spec.Engine.Name) && !stacks.HasErrors(ds) {
		ds = append(ds, c.CheckEndpoint(db, region)...)
	}
	return append(ds, r.rotates(p, db, region)...)
}

// rotates refuses to count the administrator's passwords where the provider gives no new ones.
func (r *Registry) rotates(p Provider, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	if c, err := As[PasswordRotator](p); db.PasswordVersion() == 1 || err == nil && c.RotatesPassword(db.Spec.Engine.Name) {
		return nil
	}
	return []stacks.Diagnostic{{Severity: stacks.SeverityError, Rule: "password.version", Field: "spec.adminPasswordVersion",
		Summary: fmt.Sprintf("provider %s gives the administrator of %s no new password", region.Provider, db.Spec.Engine.Name), Next: "leave it out"}}
}
