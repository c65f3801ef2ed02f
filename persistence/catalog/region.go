package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/store"
	"meridian/stacks"
)

const regionColumns = `region, phase, destroy, stack_digest, artifact, artifact_digest, state_serial, plan_step, apply_step, plans, moved_at, sealed`

func (c *Catalog) readRegions(tx *store.Tx, run string) ([]RunRegion, error) {
	rows, err := tx.Query("SELECT "+regionColumns+" FROM run_regions WHERE run = ? ORDER BY region", run)
	if err != nil {
		return nil, fmt.Errorf("regions of run %s: %w", run, err)
	}
	defer func() { _ = rows.Close() }()
	var out []RunRegion
	for rows.Next() {
		r, err := c.scanRegion(rows, &run)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// scanRegion reads a region of a run, whose ID is known once the row is read.
func (c *Catalog) scanRegion(row scanner, run *string) (RunRegion, error) {
	var r RunRegion
	var moved int64
	var sealed []byte
	err := row.Scan(&r.Region, &r.Phase, &r.Destroy, &r.StackDigest, &r.Artifact, &r.ArtifactDigest, &r.StateSerial, &r.PlanStep, &r.ApplyStep, &r.Plans, &moved, &sealed)
	if err != nil {
		return RunRegion{}, fmt.Errorf("region of run %s: %w", *run, notFound(err))
	}
	r.MovedAt = fromMicros(moved)
	var text regionText
	if err := c.unsealJSON(sealed, rowContext("run_regions", *run, r.Region), &text); err != nil {
		return RunRegion{}, err
	}
	r.Message, r.Changes, r.Recovery, r.Second = text.Message, text.Changes, text.Recovery, text.Second
	return r, nil
}

// putRegion writes a region's row whole; the caller notifies.
func (c *Catalog) putRegion(tx *store.Tx, run string, r RunRegion) error {
	sealed, err := c.sealJSON(regionText{Message: r.Message, Changes: r.Changes, Recovery: r.Recovery, Second: r.Second}, rowContext("run_regions", run, r.Region))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO run_regions (run, `+regionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (run, region) DO UPDATE SET phase = excluded.phase, destroy = excluded.destroy, stack_digest = excluded.stack_digest, artifact = excluded.artifact,
		artifact_digest = excluded.artifact_digest, state_serial = excluded.state_serial, plan_step = excluded.plan_step, apply_step = excluded.apply_step,
		plans = excluded.plans, moved_at = excluded.moved_at, sealed = excluded.sealed`,
		run, r.Region, r.Phase, r.Destroy, r.StackDigest, r.Artifact, r.ArtifactDigest, r.StateSerial, r.PlanStep, r.ApplyStep, r.Plans, r.MovedAt.UnixMicro(), sealed)
	if err != nil {
		return fmt.Errorf("region %s of run %s: %w", r.Region, run, err)
	}
	return nil
}

// SetRegions writes the regions of a run as planned work, once: the first call wins and is returned, by name.
func (c *Catalog) SetRegions(ctx context.Context, run string, regions []RunRegion) (out []RunRegion, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		r, err := c.readRun(tx, run)
		if err != nil {
			return err
		}
		if len(r.Regions) > 0 {
			out = r.Regions
			return nil
		}
		if r.Phase.Ended() {
			return fmt.Errorf("run %s is %s: %w", run, r.Phase, ErrMoved)
		}
		out = slices.Clone(regions)
		slices.SortFunc(out, func(a, b RunRegion) int { return strings.Compare(a.Region, b.Region) })
		for i := range out {
			if out[i].Phase == "" {
				out[i].Phase = stacks.RegionPending
			}
			out[i].MovedAt = now()
			if err := c.putRegion(tx, run, out[i]); err != nil {
				return err
			}
		}
		return tx.Notify("run", run)
	})
	return out, err
}

// UpdateRegion changes one region's row: f gets the row and returns what it becomes. f may be called more than once. Once the run has left
// planning, what was planned (digests, artifact, serial, Destroy) is what people say yes to, and can only change after Replan.
func (c *Catalog) UpdateRegion(ctx context.Context, run, region string, f func(RunRegion) RunRegion) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		r, err := c.readRun(tx, run)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.Regions, func(x RunRegion) bool { return x.Region == region })
		if i < 0 {
			return fmt.Errorf("region %s of run %s: %w", region, run, ErrNotFound)
		}
		old := r.Regions[i]
		changed := f(old)
		if changed.Region != region {
			return errors.New("a region keeps its name")
		}
		if planningDone(r.Phase) && !samePlan(old, changed) {
			return fmt.Errorf("the plan of region %s of run %s, which is %s: %w", region, run, r.Phase, ErrMoved)
		}
		changed.MovedAt = old.MovedAt
		if changed.Phase != old.Phase {
			changed.MovedAt = now()
		}
		if err := c.putRegion(tx, run, changed); err != nil {
			return err
		}
		return tx.Notify("run", run)
	})
}

func planningDone(p stacks.Phase) bool {
	return p != stacks.PhasePending && p != stacks.PhasePlanning
}

func samePlan(a, b RunRegion) bool {
	return a.StackDigest == b.StackDigest && a.Artifact == b.Artifact && a.Digest() == b.Digest() && a.StateSerial == b.StateSerial && a.Destroy == b.Destroy
}
