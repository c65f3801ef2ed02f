package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/orchestrator/activities"
	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// outputsTaken says at their places which results of other databases a spec cannot be given: there is none of that name, or it is sensitive. What
// is not known before an apply is left to the plan, which refuses the same.
func (c *Client) outputsTaken(ctx context.Context, s submission, all []submission) ([]stacks.Diagnostic, error) {
	var ds []stacks.Diagnostic
	meta := s.effective.Metadata
	for _, region := range s.effective.Spec.Regions {
		provider, err := c.registry.Provider(region.Provider)
		if err != nil {
			return nil, err
		}
		takes, err := providers.As[providers.InputRefs](provider)
		if err != nil {
			continue
		}
		for _, ref := range takes.InputRefs(providers.ModuleInput{
			Stack:    stacks.StackID{Namespace: meta.Namespace, Name: meta.Name, Incarnation: s.incarnation, Region: region.Name},
			Database: s.effective, Region: region,
		}) {
			offered, known, err := c.offerOf(ctx, ref.OutputRef, all)
			if err != nil {
				return nil, err
			}
			if why := outputRefused(ref.OutputRef, offered); known && why != nil {
				why.Field = ref.Field
				ds = append(ds, *why)
			}
		}
	}
	return ds, nil
}

// offer is what a database has that another one may want of it.
type offer struct {
	regions []string
	// outputs are those of the region that is asked about.
	outputs []stacks.ModuleOutput
}

// outputRefused says why an output cannot be taken, nil where it can. It is pure.
func outputRefused(ref stacks.OutputRef, of offer) *stacks.Diagnostic {
	d := &stacks.Diagnostic{Severity: stacks.SeverityError}
	if !slices.Contains(of.regions, ref.Region) {
		d.Rule, d.Summary = "output.unknown", fmt.Sprintf("%s has no region %s", ref.Dependency, ref.Region)
		d.Next = "it has " + strings.Join(of.regions, ", ")
		return d
	}
	var open []string
	for _, o := range of.outputs {
		if !o.Sensitive {
			open = append(open, o.Name)
		}
		switch {
		case o.Name == ref.Output && o.Sensitive:
			d.Rule, d.Summary = "output.sensitive", fmt.Sprintf("output %s of %s, region %s, is sensitive and is not given to other databases", ref.Output, ref.Dependency, ref.Region)
			d.Next = "write {secret: NAME} for a secret of this database's own, or have the module give a reference to it as an output that is not sensitive"
			return d
		case o.Name == ref.Output:
			return nil
		}
	}
	d.Rule, d.Summary = "output.unknown", fmt.Sprintf("region %s of %s has no output %s", ref.Region, ref.Dependency, ref.Output)
	d.Next = "name it there in settings.outputs.export; it has none yet"
	if len(open) > 0 {
		d.Next = "it has " + strings.Join(open, ", ")
	}
	return d
}

// offerOf reads what a region of a database will export from the stack that it would be rendered as now: as it is submitted beside, else as its
// newest revision says. It is not known where the stack takes what only another apply tells.
func (c *Client) offerOf(ctx context.Context, ref stacks.OutputRef, all []submission) (out offer, known bool, err error) {
	s, there, err := c.submittedOrStored(ctx, ref, all)
	if err != nil || !there {
		return out, false, err
	}
	for _, r := range s.effective.Spec.Regions {
		out.regions = append(out.regions, r.Name)
	}
	region, ok := s.effective.Region(ref.Region)
	if !ok {
		return out, true, nil
	}
	in := providers.ModuleInput{
		Stack:    stacks.StackID{Namespace: ref.Namespace, Name: ref.Name, Incarnation: s.incarnation, Region: ref.Region},
		Database: s.effective, Region: region,
	}
	if p, ok := s.packages[ref.Region]; ok {
		in.Package = &p
	}
	provider, err := c.registry.Provider(region.Provider)
	if err != nil {
		return out, false, err
	}
	if takes, err := providers.As[providers.InputRefs](provider); err == nil {
		if in.Values, err = activities.ReadOutputs(ctx, c.catalog, c.journal, takes.InputRefs(in)); errors.Is(err, providers.ErrPermanent) {
			return out, false, nil
		} else if err != nil {
			return out, false, err
		}
	}
	stack, err := activities.Draft(ctx, c.catalog, c.registry, in)
	if errors.Is(err, providers.ErrPermanent) || errors.Is(err, errors.ErrUnsupported) {
		return out, false, nil
	}
	if err != nil {
		return out, false, err
	}
	face, err := stacks.Inspect(stack.Files, ".")
	if err != nil {
		return out, false, fmt.Errorf("stack of %s, region %s: %w", ref.Dependency, ref.Region, err)
	}
	out.outputs = face.Outputs
	return out, true, nil
}

// submittedOrStored is a database as it will be: as one of the documents says, else as its newest revision does.
func (c *Client) submittedOrStored(ctx context.Context, ref stacks.OutputRef, all []submission) (s submission, there bool, err error) {
	i := slices.IndexFunc(all, func(o submission) bool {
		return o.effective.Metadata.Namespace == ref.Namespace && o.effective.Metadata.Name == ref.Name
	})
	if i >= 0 {
		s = all[i]
		if s.incarnation == "" {
			s.incarnation = "unsaved"
		}
		return s, true, nil
	}
	db, err := c.catalog.Database(ctx, ref.Namespace, ref.Name)
	if errors.Is(err, catalog.ErrNotFound) {
		return s, false, nil // what depends on it was told so
	}
	if err != nil {
		return s, false, err
	}
	rev, err := c.catalog.Revision(ctx, db.Incarnation, 0)
	if err != nil {
		return s, false, fmt.Errorf("revision of %s: %w", ref.Dependency, err)
	}
	s = submission{effective: rev.Effective, incarnation: db.Incarnation}
	at, err := c.catalog.RegionPackage(ctx, db.Incarnation, rev.Number, ref.Region)
	if errors.Is(err, catalog.ErrNotFound) {
		return s, true, nil
	}
	if err != nil {
		return s, false, err
	}
	p, err := c.catalog.Package(ctx, at.Digest)
	s.packages = map[string]stacks.Package{ref.Region: p}
	return s, err == nil, err
}
