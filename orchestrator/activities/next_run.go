package activities

import (
	"context"
	"fmt"
)

// NextRun answers which run the database's funnel must work on now.
func (a *Activities) NextRun(ctx context.Context, in DatabaseInput) (NextRunResult, error) {
	id, err := a.Catalog.NextRun(ctx, in.Namespace, in.Name)
	if err != nil || id == "" {
		return NextRunResult{}, err
	}
	run, err := a.Catalog.Run(ctx, id)
	if err != nil {
		return NextRunResult{}, fmt.Errorf("run %s: %w", id, err)
	}
	return NextRunResult{Run: run.ID, Kind: run.Kind}, nil
}
