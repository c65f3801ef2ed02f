package orchestrator

import (
	"cmp"
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

// submission is one document that passed every rule, ready to be stored.
type submission struct {
	loaded    stacks.Loaded
	effective stacks.Database
	expect    int64
	// incarnation is the database's, "" where it is new.
	incarnation string
	// packages are the foreign modules of its regions, refs what is stored of them.
	packages map[string]stacks.Package
	refs     []catalog.RegionPackage
}

// Submit validates, defaults, compares with what is there, stores and wakes. Nothing is stored while one document has an error.
func (c *Client) Submit(ctx context.Context, in SubmitRequest) (SubmitResult, error) {
	prepared, warnings, err := c.prepare(ctx, in)
	if err != nil {
		return SubmitResult{}, err
	}
	out := SubmitResult{Warnings: warnings}
	kind := stacks.RunApply
	if in.Check {
		kind = stacks.RunCheck
	}
	ins := make([]catalog.SubmitInput, 0, len(prepared))
	names := make([]string, 0, len(prepared))
	for _, s := range prepared {
		ins = append(ins, catalog.SubmitInput{
			Effective: s.effective, Source: s.loaded.Text, Yes: in.Yes, Actor: in.Actor, Kind: kind, ExpectRevision: s.expect, Packages: s.refs,
		})
		names = append(names, s.effective.Metadata.Namespace+"/"+s.effective.Metadata.Name)
	}
	if err := c.keep(ctx, prepared); err != nil {
		return SubmitResult{}, err
	}
	runs, err := c.catalog.SubmitAll(ctx, ins)
	if err != nil {
		what := "database " + names[0]
		if len(names) > 1 { // the error says which
			what = "one of the databases " + strings.Join(names, ", ")
		}
		return SubmitResult{}, c.problem(err, what)
	}
	for _, run := range runs {
		c.wake(ctx, run)
	}
	for _, run := range runs {
		view, err := c.view(ctx, run)
		if err != nil {
			return out, err
		}
		out.Runs = append(out.Runs, view)
	}
	return out, nil
}

// prepare checks all documents; its error is a Problem with every diagnostic at once.
func (c *Client) prepare(ctx context.Context, in SubmitRequest) ([]submission, []stacks.Diagnostic, error) {
	sources := make([]stacks.Source, 0, len(in.Documents))
	for _, d := range in.Documents {
		sources = append(sources, stacks.Source{Name: d.File, Text: []byte(d.Text)})
	}
	loaded, found := stacks.Check(ctx, sources, in.Namespace, c.registry)
	if err := ctx.Err(); err != nil { // what a provider could not say any more is no error of the spec
		return nil, nil, fmt.Errorf("check of the spec: %w", err)
	}
	if stacks.HasErrors(found) {
		return nil, nil, invalid(found)
	}
	if len(loaded) == 0 {
		return nil, nil, &Problem{Code: CodeInvalidSpec, Title: "there is no document in what was submitted", Next: "see examples/orders.yaml"}
	}
	var out []submission
	var refused []stacks.Diagnostic
	for _, l := range loaded {
		s, ds, err := c.compare(ctx, l)
		if err != nil {
			return nil, nil, err
		}
		ds = l.Locate(ds)
		if stacks.HasErrors(ds) {
			refused = append(refused, ds...)
			continue
		}
		found = append(found, ds...)
		out = append(out, s)
	}
	if len(refused) > 0 {
		return nil, nil, &Problem{Code: CodeRefused, Title: "this change is refused; nothing was touched", Diagnostics: refused}
	}
	for _, s := range out {
		ds, err := c.dependencies(ctx, s, out)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, s.loaded.Locate(ds)...)
	}
	if stacks.HasErrors(found) {
		return nil, nil, invalid(found)
	}
	modules := resolution{client: c}
	for i := range out {
		ds, err := modules.resolve(ctx, &out[i], documentOf(in, out[i].loaded))
		if err != nil {
			return nil, nil, err
		}
		found = append(found, byPlace(out[i].loaded.Locate(ds))...)
	}
	if stacks.HasErrors(found) {
		return nil, nil, invalid(found)
	}
	for _, s := range out {
		ds, err := c.outputsTaken(ctx, s, out)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, s.loaded.Locate(ds)...)
	}
	if stacks.HasErrors(found) {
		return nil, nil, invalid(found)
	}
	return out, found, nil
}

// byPlace sorts what is said of one document, for who reads it from the top.
func byPlace(ds []stacks.Diagnostic) []stacks.Diagnostic {
	slices.SortStableFunc(ds, func(a, b stacks.Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ds
}

// documentOf is the document that a spec was read from.
func documentOf(in SubmitRequest, l stacks.Loaded) Document {
	i := slices.IndexFunc(in.Documents, func(d Document) bool { return d.File == l.File })
	return in.Documents[max(i, 0)]
}

func invalid(ds []stacks.Diagnostic) *Problem {
	n := len(slices.DeleteFunc(slices.Clone(ds), func(d stacks.Diagnostic) bool { return d.Severity != stacks.SeverityError }))
	title := "the spec has an error; nothing was touched"
	if n > 1 {
		title = fmt.Sprintf("the spec has %d errors; nothing was touched", n)
	}
	return &Problem{Code: CodeInvalidSpec, Title: title, Diagnostics: ds}
}

// compare makes a document's effective spec and holds it against the database's newest one.
func (c *Client) compare(ctx context.Context, l stacks.Loaded) (submission, []stacks.Diagnostic, error) {
	s := submission{loaded: l}
	spec := l.Spec
	var old *stacks.Database
	db, err := c.catalog.Database(ctx, spec.Metadata.Namespace, spec.Metadata.Name)
	switch {
	case err == nil:
		rev, err := c.catalog.Revision(ctx, db.Incarnation, 0)
		if err != nil {
			return s, nil, c.problem(err, "revision of "+spec.Metadata.Name)
		}
		old, s.expect, s.incarnation = &rev.Effective, db.Revision, db.Incarnation
		spec = stacks.Inherit(rev.Effective, spec, c.registry)
	case !errors.Is(err, catalog.ErrNotFound):
		return s, nil, err
	}
	if s.effective, err = stacks.Default(ctx, spec, c.registry); err != nil {
		return s, nil, fmt.Errorf("defaults of %s: %w", spec.Metadata.Name, err)
	}
	if old == nil {
		return s, nil, nil
	}
	return s, stacks.CheckChange(*old, s.effective, c.registry), nil
}

// Render returns the stacks that the documents' regions would have, with placeholder placements where there are none; it stores nothing.
func (c *Client) Render(ctx context.Context, in SubmitRequest) ([]stacks.Stack, error) {
	prepared, _, err := c.prepare(ctx, in)
	if err != nil {
		return nil, err
	}
	var out []stacks.Stack
	for _, s := range prepared {
		meta, incarnation := s.effective.Metadata, "unsaved"
		if db, err := c.catalog.Database(ctx, meta.Namespace, meta.Name); err == nil {
			incarnation = db.Incarnation
		}
		for _, region := range s.effective.Spec.Regions {
			provider, err := c.registry.Provider(region.Provider)
			if err != nil {
				return nil, err
			}
			module := providers.ModuleInput{
				Stack:    stacks.StackID{Namespace: meta.Namespace, Name: meta.Name, Incarnation: incarnation, Region: region.Name},
				Database: s.effective, Region: region,
			}
			if p, ok := s.packages[region.Name]; ok {
				module.Package = &p
			}
			if refs, err := providers.As[providers.InputRefs](provider); err == nil {
				if module.Values, err = activities.ReadOutputs(ctx, c.catalog, c.journal, refs.InputRefs(module)); err != nil {
					return nil, &Problem{Code: CodeRefused, Title: meta.Name + " cannot be rendered yet", Detail: err.Error(), Next: "apply what it depends on first"}
				}
			}
			stack, err := activities.Draft(ctx, c.catalog, c.registry, module)
			if err != nil {
				return nil, err
			}
			out = append(out, stack)
		}
	}
	return out, nil
}
