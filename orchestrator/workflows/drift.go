package workflows

import (
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
)

// DriftCheck looks at a database for drift: all regions with terraform's eyes and by asking the databases themselves, then the links. It is no
// run: it holds nobody's turn, and what one look could not see stops no other.
func (s Workflows) DriftCheck(ctx workflow.Context, in DriftInput) error {
	d := driftCheck{in: in, Workflows: s}
	work, err := d.begin(ctx)
	if err != nil || work.Check == "" {
		return err
	}
	inParallel(ctx, len(work.Regions), func(ctx workflow.Context, i int) {
		r := work.Regions[i]
		d.look(lookFor(ctx, s.Timing, TerraformQueue(in.Installation, r.Location), "look at "+r.Region), activities.NameDriftStack, work.Check, r.Region)
		d.look(askFor(ctx, s.Timing, "ask "+r.Region), activities.NameDriftInside, work.Check, r.Region)
	})
	inParallel(ctx, len(work.Links), func(ctx workflow.Context, i int) {
		d.look(askFor(ctx, s.Timing, "look at link "+work.Links[i]), activities.NameDriftLink, work.Check, work.Links[i])
	})
	return workflow.ExecuteLocalActivity(light(ctx, s.Timing), activities.NameEndDrift, d.part(work.Check, "")).Get(ctx, nil)
}

type driftCheck struct {
	Workflows
	in DriftInput
}

func (d driftCheck) begin(ctx workflow.Context) (activities.DriftWork, error) {
	info := workflow.GetInfo(ctx)
	var work activities.DriftWork
	err := workflow.ExecuteLocalActivity(light(ctx, d.Timing), activities.NameBeginDrift, activities.DriftInput{
		Contract: activities.ContractVersion, Incarnation: d.in.Incarnation, Check: d.in.Check, Reason: d.in.Reason,
		Execution: info.OriginalRunID, Workflow: info.WorkflowExecution.ID,
	}).Get(ctx, &work)
	return work, err
}

// look takes one look. One that gave up leaves no row, and the check's end tells of it.
func (d driftCheck) look(ctx workflow.Context, name, check, part string) {
	err := workflow.ExecuteActivity(ctx, name, d.part(check, part)).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("a look gave up", "check", check, "activity", name, "part", part, "error", err)
	}
}

func (d driftCheck) part(check, part string) activities.DriftPartInput {
	return activities.DriftPartInput{Contract: activities.ContractVersion, Check: check, Part: part}
}
