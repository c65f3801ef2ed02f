package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/store"
	"meridian/stacks"
)

// RegionSpec is a region as one revision says it.
type RegionSpec struct {
	Stack     stacks.StackID
	Effective stacks.Database
}

// Regions lists every region that an accepted spec of any database, living or removed, has ever had, each as often as its provider,
// location or settings were others; the newest first within a stack. Checks' drafts do not count.
func (c *Catalog) Regions(ctx context.Context) (out []RegionSpec, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT incarnation, effective FROM revisions WHERE draft = 0 ORDER BY incarnation, number DESC")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		seen := map[string]bool{}
		for rows.Next() {
			var incarnation, text string
			if err := rows.Scan(&incarnation, &text); err != nil {
				return err
			}
			var db stacks.Database
			if err := json.Unmarshal([]byte(text), &db); err != nil {
				return fmt.Errorf("a revision of %s: %w", incarnation, err)
			}
			for _, r := range db.Spec.Regions {
				where, err := json.Marshal(r)
				if err != nil {
					return fmt.Errorf("region %s of %s: %w", r.Name, incarnation, err)
				}
				key := incarnation + "\n" + string(where)
				if seen[key] {
					continue
				}
				seen[key] = true
				out = append(out, RegionSpec{
					Stack:     stacks.StackID{Namespace: db.Metadata.Namespace, Name: db.Metadata.Name, Incarnation: incarnation, Region: r.Name},
					Effective: db,
				})
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("regions of all revisions: %w", err)
	}
	slices.SortStableFunc(out, func(a, b RegionSpec) int { return strings.Compare(a.Stack.String(), b.Stack.String()) })
	return out, nil
}
