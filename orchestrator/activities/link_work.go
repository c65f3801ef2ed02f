package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// linkWork is what a run has to do about links.
type linkWork struct {
	ensure, remove []stacks.Link
	rows           map[string]catalog.Link
}

// links compares the spec's links with those that are there.
func (a *Activities) links(ctx context.Context, run catalog.Run, spec stacks.Database) (linkWork, error) {
	rows, err := a.Catalog.Links(ctx, run.Incarnation)
	if err != nil {
		return linkWork{}, fmt.Errorf("links of %s: %w", run.Incarnation, err)
	}
	w := linkWork{rows: map[string]catalog.Link{}}
	for _, l := range rows {
		w.rows[l.Name] = l
	}
	going := map[string]bool{}
	ready := map[string]bool{}
	for _, r := range run.Regions {
		going[r.Region] = goes(r)
		ready[r.Region] = r.Phase == stacks.RegionReady
	}
	dropped := map[string]bool{}
	if run.Kind == stacks.RunApply {
		for _, l := range spec.Spec.Replication.Links {
			if l.Drop {
				dropped[l.Name()] = true
				continue
			}
			if ready[l.From] && ready[l.To] {
				w.ensure = append(w.ensure, l)
			}
		}
	}
	for _, l := range rows {
		if dropped[l.Name] || going[l.Spec.From] || going[l.Spec.To] {
			w.remove = append(w.remove, l.Spec)
		}
	}
	return w, nil
}

// goes reports whether a region is destroyed, or about to be destroyed and made anew: its links have to be removed before.
func goes(r catalog.RunRegion) bool {
	return r.Destroy || r.Phase == stacks.RegionPlanned && slices.ContainsFunc(r.Changes, stacks.Change.Dangerous)
}

// unproven reports the links that this run had to prove and did not.
func unproven(run catalog.Run, links linkWork) (string, bool) {
	var out []string
	for _, l := range links.ensure {
		r, known := links.rows[l.Name()]
		if known && r.Phase == linkVerified && r.RunNumber == run.Number {
			continue
		}
		out = append(out, fmt.Sprintf("link %s failed (%s)", l.Name(), cmp.Or(r.Message, unknownError(run.ID))))
	}
	return strings.Join(out, ", "), len(out) > 0
}
