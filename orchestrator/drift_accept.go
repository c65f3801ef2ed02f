package orchestrator

import (
	"context"
	"fmt"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// specFields names, for each item whose value the spec can say, the field of the spec: what a person writes there to make the world's value the
// wanted one.
func (c *Client) specFields(ctx context.Context, db catalog.Database, items []DriftItemView) error {
	if len(items) == 0 {
		return nil
	}
	rev, err := c.catalog.Revision(ctx, db.Incarnation, max(db.Applied, 1))
	if err != nil {
		return fmt.Errorf("revision of %s/%s: %w", db.Namespace, db.Name, err)
	}
	for i, item := range items {
		if item.Kind != stacks.DriftChanged || item.Path == "" || item.Sensitive {
			continue
		}
		region, ok := rev.Effective.Region(item.Region)
		if !ok {
			continue
		}
		provider, err := c.registry.Provider(region.Provider)
		if err != nil {
			continue
		}
		if namer, err := providers.As[providers.SpecFields](provider); err == nil {
			items[i].SpecField = namer.SpecField(rev.Effective, region, item.DriftItem)
		}
	}
	return nil
}
