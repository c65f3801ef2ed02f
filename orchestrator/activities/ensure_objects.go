package activities

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// EnsureObjects makes the databases, users and grants of a region that answers, and calls it ready.
func (a *Activities) EnsureObjects(ctx context.Context, in RegionInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseApplying); late || err != nil {
		return RegionResult{}, err
	}
	w, err := a.load(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	if w.row.Phase == stacks.RegionReady {
		return RegionResult{Go: true}, nil
	}
	if !a.Registry.HasDatabase(w.spec.Spec.Engine.Name) {
		return RegionResult{Go: true}, a.setRegion(ctx, w, stacks.RegionReady, "")
	}
	if _, follows := w.spec.PhysicalSource(w.row.Region); follows { // what is in it is its source's
		return RegionResult{Go: true}, a.setRegion(ctx, w, stacks.RegionReady, "")
	}
	target, err := a.target(ctx, w.stack, w.spec)
	if err != nil {
		return RegionResult{}, err
	}
	engine, err := a.Registry.Engine(w.spec.Spec.Engine.Name)
	if err != nil {
		return RegionResult{}, err
	}
	ensurer, err := providers.As[providers.ObjectEnsurer](engine)
	if err != nil {
		return RegionResult{}, err
	}
	objects, err := a.objects(ctx, w.run, w.spec)
	if err != nil {
		return RegionResult{}, err
	}
	report, err := ensurer.EnsureObjects(ctx, target, objects)
	if err != nil {
		return RegionResult{}, fmt.Errorf("databases and users of %s: %w", w.row.Region, err)
	}
	if err := a.sweep(ctx, w, engine, target); err != nil {
		return RegionResult{}, err
	}
	if len(report.Changed) > 0 {
		a.log(ctx, w.run.ID, w.row.Region, slog.LevelInfo, strings.Join(report.Changed, ", "))
	}
	if w.region.Role == stacks.RolePrimary {
		if err := a.Catalog.SetUnmanaged(ctx, w.run.Incarnation, report.Unmanaged); err != nil {
			return RegionResult{}, err
		}
	}
	return RegionResult{Go: true}, a.setRegion(ctx, w, stacks.RegionReady, "")
}

// userSecret is the catalog's name of a user's password, the same in all regions.
func userSecret(user string) string { return "user/" + user }

// linkSecret is the catalog's name of the password that a link's target uses at its source.
func linkSecret(link string) string { return "link/" + link }

// objects are the spec's databases and users, with the passwords made once.
func (a *Activities) objects(ctx context.Context, run catalog.Run, spec stacks.Database) (providers.Objects, error) {
	o := providers.Objects{RunNumber: run.Number, Databases: mayGo(run, spec.Spec.Databases), Users: spec.Spec.Users, Passwords: map[string]string{}}
	for _, u := range spec.Spec.Users {
		if u.Drop {
			continue
		}
		if err := a.Catalog.EnsureSecret(ctx, run.Incarnation, userSecret(u.Name)); err != nil {
			return o, fmt.Errorf("password of user %s: %w", u.Name, err)
		}
		password, err := a.Catalog.Secret(ctx, run.Incarnation, userSecret(u.Name))
		if err != nil {
			return o, fmt.Errorf("password of user %s: %w", u.Name, err)
		}
		o.Passwords[u.Name] = password
	}
	return o, nil
}

// sweep removes, where a run puts drift back, what links that are no more still hold back at a region.
func (a *Activities) sweep(ctx context.Context, w work, engine providers.Engine, target providers.Target) error {
	sweeper, ok := engine.(providers.Sweeper)
	if w.run.Remedy == "" || target.Follows || !ok {
		return nil
	}
	links, err := a.linksFrom(ctx, w.run.Incarnation, w.spec, w.region.Name)
	if err != nil {
		return err
	}
	removed, err := sweeper.Sweep(ctx, target, providers.SweepInput{RunNumber: w.run.Number, Incarnation: w.run.Incarnation, Links: links})
	if err != nil {
		return fmt.Errorf("slots of %s: %w", w.row.Region, err)
	}
	if len(removed) > 0 {
		a.log(ctx, w.run.ID, w.row.Region, slog.LevelInfo, "dropped slots that no link reads: "+strings.Join(removed, ", "))
	}
	return nil
}
