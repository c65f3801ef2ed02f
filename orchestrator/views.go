package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks"
)

// Run reads a run with live progress.
func (c *Client) Run(ctx context.Context, run string) (RunView, error) {
	r, err := c.catalog.Run(ctx, run)
	if err != nil {
		return RunView{}, c.problem(err, "run "+run)
	}
	return c.view(ctx, r)
}

// Runs lists runs of a database (name "" for all), newest first, without changes and progress.
func (c *Client) Runs(ctx context.Context, namespace, name string, limit int) ([]RunView, error) {
	runs, err := c.catalog.Runs(ctx, catalog.RunFilter{Namespace: namespace, Name: name, Limit: limit})
	if err != nil {
		return nil, err
	}
	out := make([]RunView, 0, len(runs))
	for _, r := range runs {
		v := c.bareView(r)
		v.Changes = nil
		out = append(out, v)
	}
	return out, nil
}

// view is a run as people see it, with progress, links and whether a yes is there.
func (c *Client) view(ctx context.Context, r catalog.Run) (RunView, error) {
	v := c.bareView(r)
	if !r.Phase.Ended() {
		for i, region := range r.Regions {
			step := region.ApplyStep
			if region.Phase == stacks.RegionPlanning {
				step = region.PlanStep
			}
			if step == "" || (region.Phase != stacks.RegionPlanning && region.Phase != stacks.RegionApplying) {
				continue
			}
			p, err := c.progress.of(ctx, c.journal, step)
			if err != nil {
				return v, fmt.Errorf("progress of %s: %w", step, err)
			}
			v.Regions[i].Resource, v.Regions[i].Done, v.Regions[i].Total, v.Regions[i].StartedAt = p.Resource, p.Done, p.Total, p.Started
		}
	}
	links, err := c.catalog.Links(ctx, r.Incarnation)
	if err != nil {
		return v, err
	}
	for _, l := range links {
		v.Links = append(v.Links, linkView(l))
	}
	if r.Phase == stacks.PhaseAwaiting {
		if v.Approved, err = c.catalog.Approved(ctx, r.ID); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (c *Client) bareView(r catalog.Run) RunView {
	v := RunView{
		ID: r.ID, Namespace: r.Namespace, Name: r.Name, Kind: r.Kind, Number: r.Number, Revision: r.Revision, Phase: r.Phase,
		Reason: r.Reason, Message: r.Message, Remedy: r.Remedy, PlanDigest: r.PlanDigest, NeedsApproval: r.NeedsApproval, CancelAsked: r.Cancel,
		Actor: r.Actor, CreatedAt: r.CreatedAt, EndedAt: r.EndedAt, Diagnostics: r.Diagnostics, Questions: questions(r),
	}
	for _, region := range r.Regions {
		v.Regions = append(v.Regions, RunRegionView{Region: region.Region, Phase: region.Phase, Destroy: region.Destroy, Message: region.Message})
		for _, ch := range region.AllChanges() {
			ch.Region = region.Region
			v.Changes = append(v.Changes, ch)
		}
	}
	v.Changes = append(v.Changes, r.Drops...)
	v.HasChanges = len(v.Changes) > 0
	if c.workflowPath != nil {
		v.TemporalPath = c.workflowPath(workflows.RunID(c.installation, r.ID))
	}
	return v
}

func linkView(l catalog.Link) LinkView {
	return LinkView{
		Name: l.Name, From: l.Spec.From, To: l.Spec.To, Mode: string(l.Spec.Mode), Databases: l.Spec.Databases, Phase: l.Phase,
		LagMS: float64(l.Lag.Microseconds()) / 1000, VerifiedAt: l.VerifiedAt, Message: l.Message,
	}
}

func (c *Client) databaseView(ctx context.Context, db catalog.Database) (DatabaseView, error) {
	rev, err := c.catalog.Revision(ctx, db.Incarnation, 0)
	if err != nil {
		return DatabaseView{}, fmt.Errorf("revision of %s/%s: %w", db.Namespace, db.Name, err)
	}
	spec := rev.Effective
	v := DatabaseView{
		Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Engine: spec.Spec.Engine.Name, Version: spec.Spec.Engine.Version,
		Phase: db.Phase, Message: db.Message, Revision: db.Revision, Applied: db.Applied, Labels: spec.Metadata.Labels,
		Unmanaged: db.Unmanaged, ActiveRun: db.ActiveRun, Protected: spec.Spec.Deletion.Protected(), CreatedAt: db.CreatedAt, Spec: &spec,
	}
	if v.Drift, err = c.driftStatus(ctx, db, spec.Spec.Drift); err != nil {
		return v, err
	}
	last := map[string]catalog.RunRegion{}
	if db.LastRun > 0 {
		v.LastRun = fmt.Sprintf("%s-%d", db.Incarnation, db.LastRun)
		run, err := c.catalog.Run(ctx, v.LastRun)
		if err != nil && !isNotFound(err) {
			return v, err
		}
		if run.Kind != stacks.RunCheck {
			for _, r := range run.Regions {
				if r.Phase != stacks.RegionPending && r.Phase != stacks.RegionPlanning && r.Phase != stacks.RegionPlanned && r.Phase != stacks.RegionUnchanged {
					last[r.Region] = r // a plan says nothing of what stands
				}
			}
		}
	}
	for _, region := range spec.Spec.Regions {
		rv, err := c.regionView(ctx, db, region)
		if err != nil {
			return v, err
		}
		if l, ok := last[region.Name]; ok {
			rv.Phase, rv.Message = string(l.Phase), l.Message
		}
		v.Regions = append(v.Regions, rv)
	}
	links, err := c.catalog.Links(ctx, db.Incarnation)
	if err != nil {
		return v, err
	}
	for _, l := range links {
		v.Links = append(v.Links, linkView(l))
	}
	return v, nil
}

// regionView is a region by what is known of it: where it answers, and its newest state.
func (c *Client) regionView(ctx context.Context, db catalog.Database, region stacks.Region) (RegionView, error) {
	rv := RegionView{Name: region.Name, Provider: region.Provider, Location: region.Location, Role: string(region.Role), Phase: string(stacks.RegionPending)}
	id := stacks.StackID{Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Region: region.Name}
	endpoint, err := c.catalog.Endpoint(ctx, id)
	if err == nil {
		rv.Host, rv.Port, rv.Phase = endpoint.Host, endpoint.Port, string(stacks.RegionReady)
	} else if !isNotFound(err) {
		return rv, err
	}
	head, err := c.journal.Head(ctx, id)
	if err == nil {
		rv.StateSerial = head.Serial
	} else if !errors.Is(err, journal.ErrNotFound) {
		return rv, err
	}
	return rv, nil
}
