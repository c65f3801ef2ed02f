package orchestrator

import (
	"context"
	"fmt"

	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
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
	views, err := c.databaseViews(ctx, []catalog.Database{db})
	if err != nil {
		return DatabaseView{}, err
	}
	return views[0], nil
}

// databaseViews describes databases, with so many queries as for one of them.
func (c *Client) databaseViews(ctx context.Context, dbs []catalog.Database) ([]DatabaseView, error) {
	overviews, err := c.catalog.Overviews(ctx, dbs)
	if err != nil {
		return nil, err
	}
	incarnations := make([]string, len(dbs))
	for i, db := range dbs {
		incarnations[i] = db.Incarnation
	}
	heads, err := c.journal.HeadsOf(ctx, incarnations)
	if err != nil {
		return nil, err
	}
	serials := map[stacks.StackID]int64{}
	for _, h := range heads {
		serials[h.Stack] = h.Serial
	}
	out := make([]DatabaseView, len(dbs))
	for i, db := range dbs {
		if out[i], err = c.viewOf(ctx, db, overviews[db.Incarnation], serials); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *Client) viewOf(ctx context.Context, db catalog.Database, o *catalog.Overview, serials map[stacks.StackID]int64) (DatabaseView, error) {
	spec := o.Effective
	v := DatabaseView{
		Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Engine: spec.Spec.Engine.Name, Version: spec.Spec.Engine.Version,
		Phase: db.Phase, Message: db.Message, Revision: db.Revision, Applied: db.Applied, Labels: spec.Metadata.Labels,
		Unmanaged: db.Unmanaged, ActiveRun: db.ActiveRun, Protected: spec.Spec.Deletion.Protected(), CreatedAt: db.CreatedAt, Spec: &spec,
	}
	var err error
	if v.Drift, err = c.driftStatus(ctx, db, spec.Spec.Drift, o.LastDrift); err != nil {
		return v, err
	}
	last := map[string]catalog.RunRegion{}
	if db.LastRun > 0 {
		v.LastRun = fmt.Sprintf("%s-%d", db.Incarnation, db.LastRun)
		if o.LastRun.Kind != stacks.RunCheck {
			for _, r := range o.LastRun.Regions {
				if r.Phase != stacks.RegionPending && r.Phase != stacks.RegionPlanning && r.Phase != stacks.RegionPlanned && r.Phase != stacks.RegionUnchanged {
					last[r.Region] = r // a plan says nothing of what stands
				}
			}
		}
	}
	for _, region := range spec.Spec.Regions {
		rv := RegionView{Name: region.Name, Provider: region.Provider, Location: region.Location, Role: string(region.Role), Phase: string(stacks.RegionPending)}
		if e, ok := o.Endpoints[region.Name]; ok {
			rv.Host, rv.Port, rv.Phase = e.Host, e.Port, string(stacks.RegionReady)
		}
		rv.StateSerial = serials[stacks.StackID{Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Region: region.Name}]
		if l, ok := last[region.Name]; ok {
			rv.Phase, rv.Message = string(l.Phase), l.Message
		}
		v.Regions = append(v.Regions, rv)
	}
	for _, l := range o.Links {
		v.Links = append(v.Links, linkView(l))
	}
	return v, nil
}
