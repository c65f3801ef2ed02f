package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// dependencies says at their places which dependencies of a spec are not there, or lead back to it. The catalog refuses the same in the
// transaction that stores the spec.
func (c *Client) dependencies(ctx context.Context, s submission, all []submission) ([]stacks.Diagnostic, error) {
	var ds []stacks.Diagnostic
	self := stacks.Dependency{Namespace: s.effective.Metadata.Namespace, Name: s.effective.Metadata.Name}
	next := func(d stacks.Dependency) (out []stacks.Dependency, there bool, err error) {
		i := slices.IndexFunc(all, func(o submission) bool {
			return o.effective.Metadata.Namespace == d.Namespace && o.effective.Metadata.Name == d.Name
		})
		if i >= 0 {
			return all[i].effective.Spec.DependsOn, true, nil
		}
		out, err = c.catalog.Dependencies(ctx, d.Namespace, d.Name)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil, false, nil
		}
		return out, err == nil, err
	}
	for i, d := range s.effective.Spec.DependsOn {
		field := fmt.Sprintf("spec.dependsOn[%d]", i)
		_, there, err := next(d)
		if err != nil {
			return nil, err
		}
		if !there {
			ds = append(ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: "depends.unknown", Field: field,
				Summary: fmt.Sprintf("there is no database %s", d), Next: "submit it before this one, or together with it"})
			continue
		}
		way, err := leads(d, self, next, nil)
		if err != nil {
			return nil, err
		}
		if way != nil {
			ds = append(ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: "depends.circle", Field: field,
				Summary: fmt.Sprintf("%s would depend on itself", self), Detail: strings.Join(append([]string{self.String()}, way...), " -> "), Next: "take one dependency of the circle out"})
		}
	}
	return ds, nil
}

// leads is the way from one database to another along what they depend on, nil where there is none.
func leads(from, to stacks.Dependency, next func(stacks.Dependency) ([]stacks.Dependency, bool, error), way []string) ([]string, error) {
	if slices.Contains(way, from.String()) {
		return nil, nil
	}
	way = append(way[:len(way):len(way)], from.String())
	if from == to {
		return way, nil
	}
	list, _, err := next(from)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if found, err := leads(d, to, next, way); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}
