package orchestrator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// Resolver fetches a foreign module with all that it calls.
type Resolver interface {
	Resolve(ctx context.Context, order terraform.ResolveOrder) (terraform.ResolveAnswer, error)
}

// resolution is what a submission's regions are made of. What several of them name alike is fetched once.
type resolution struct {
	client *Client
	known  map[string]stacks.Package // by source and archive
}

// resolve fetches the modules of a submission's regions that have foreign ones, and holds the spec against them. A region whose source was
// resolved for the newest revision keeps what it was then: a module never changes under a spec that did not.
func (r *resolution) resolve(ctx context.Context, s *submission, doc Document) ([]stacks.Diagnostic, error) {
	var ds []stacks.Diagnostic
	meta := s.effective.Metadata
	for i, region := range s.effective.Spec.Regions {
		provider, err := r.client.registry.Provider(region.Provider)
		if err != nil {
			return nil, err
		}
		sourcer, err := providers.As[providers.ModuleSourcer](provider)
		if err != nil {
			continue
		}
		in := providers.ModuleInput{
			Stack:    stacks.StackID{Namespace: meta.Namespace, Name: meta.Name, Incarnation: s.incarnation, Region: region.Name},
			Database: s.effective, Region: region,
		}
		source, err := sourcer.ModuleSource(in)
		if err != nil {
			return nil, err
		}
		field := fmt.Sprintf("spec.regions[%d].settings.source", i)
		p, archive, why, err := r.one(ctx, s, source, region.Name, doc)
		if err != nil {
			return nil, err
		}
		if why != nil {
			why.Severity, why.Field = stacks.SeverityError, field
			ds = append(ds, *why)
			continue
		}
		in.Package = &p
		if s.packages == nil {
			s.packages = map[string]stacks.Package{}
		}
		s.packages[region.Name] = p
		s.refs = append(s.refs, catalog.RegionPackage{Region: region.Name, Source: source, Archive: archive, Resolved: p.Resolved, Digest: p.Digest})
		if c, err := providers.As[providers.PackageChecker](provider); err == nil {
			ds = append(ds, c.CheckPackage(in)...)
		}
	}
	return ds, nil
}

// one finds the package of one region: kept from before, known from another region, or fetched now. Its diagnostic says why there is none.
func (r *resolution) one(ctx context.Context, s *submission, source stacks.ModuleSource, region string, doc Document) (p stacks.Package, archive string, why *stacks.Diagnostic, err error) {
	root, dir := SplitLocal(source.Source)
	packed := doc.Modules[root]
	if source.Local() && packed != nil {
		sum := sha256.Sum256(packed)
		archive = hex.EncodeToString(sum[:])
	}
	if before, err := r.client.catalog.RegionPackage(ctx, s.incarnation, s.expect, region); err == nil && s.expect > 0 && sameSource(before.Source, source) &&
		(archive == "" || archive == before.Archive) {
		p, err := r.client.catalog.Package(ctx, before.Digest)
		return p, before.Archive, nil, err
	} else if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return p, "", nil, err
	}
	order := terraform.ResolveOrder{Source: source}
	if source.Local() {
		if packed == nil {
			return p, "", &stacks.Diagnostic{Rule: "module.local", Summary: "the module " + source.Source + " did not come with the spec",
				Next: "submit the spec with meridian from where its module lies, or name a registry or git"}, nil
		}
		if order.Files, err = stacks.UnpackFiles(packed); err != nil {
			return p, "", &stacks.Diagnostic{Rule: "module.local", Summary: "the module " + source.Source + " cannot be taken: " + err.Error()}, nil //nolint:nilerr // it is told as a diagnostic
		}
		order.Dir = dir
	}
	text, err := json.Marshal(source)
	if err != nil {
		return p, "", nil, fmt.Errorf("module source: %w", err)
	}
	key := string(text) + archive
	if p, ok := r.known[key]; ok {
		return p, archive, nil, nil
	}
	if r.client.resolver == nil {
		return p, "", nil, &Problem{Code: CodeRefused, Title: "this server fetches no modules", Next: "use a server that has a runner"}
	}
	answer, err := r.client.resolver.Resolve(ctx, order)
	switch {
	case err != nil && ctx.Err() != nil:
		return p, "", nil, fmt.Errorf("fetching the module %s: %w", source.Source, err)
	case err != nil: // somebody killed what fetches it, or it could not be started: that says nothing of the module
		r.client.logger.Warn("module not fetched", "module", source.Source, "error", err)
		return p, "", nil, &Problem{Code: CodeUnavailable, Title: "the module " + source.Source + " was not fetched", Detail: "the process that fetches it was ended, or could not be started",
			Next: "try again: nothing was stored; the server's log says more"}
	}
	if answer.Package == nil {
		return p, "", &stacks.Diagnostic{Rule: "module.fetch", Summary: "the module " + source.Source + " could not be fetched", Detail: answer.Refused,
			Next: "see that the server reaches it and its providers, or name a mirror with settings.mirror or settings.cliConfig"}, nil
	}
	if r.known == nil {
		r.known = map[string]stacks.Package{}
	}
	r.known[key] = *answer.Package
	return *answer.Package, archive, nil, nil
}

// SplitLocal splits a path like "./repo//modules/db" into what is packed and where in it the module lies.
func SplitLocal(source string) (root, dir string) {
	root, dir, _ = strings.Cut(source, "//")
	return root, dir
}

func sameSource(a, b stacks.ModuleSource) bool {
	return a.Source == b.Source && a.Version == b.Version && a.Install == b.Install && slices.Equal(a.Requires, b.Requires)
}

// keep stores the packages of submissions, before the rows that name them.
func (c *Client) keep(ctx context.Context, prepared []submission) error {
	for _, s := range prepared {
		for _, p := range s.packages {
			if err := c.catalog.PutPackage(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}
