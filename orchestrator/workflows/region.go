package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// ProvisionRegion provisions one of several regions.
func (s Workflows) ProvisionRegion(ctx workflow.Context, in RegionInput) error {
	return provisionRegion(ctx, s.Timing, in)
}

// provisionRegion applies one region's plan, waits until its database is ready and makes what belongs inside; or, where the run removes
// the region, applies its destruction and forgets it.
func provisionRegion(ctx workflow.Context, t stacks.Timing, in RegionInput) error {
	subject := activities.RegionInput{Contract: activities.ContractVersion, Run: in.Run, Region: in.Region}
	if in.Changed {
		var applied activities.RegionResult
		err := workflow.ExecuteActivity(terraform(ctx, t, TerraformQueue(in.Installation, in.Location), "apply "+in.Region), activities.NameApplyStack, subject).Get(ctx, &applied)
		if err != nil || !applied.Go {
			return err
		}
	}
	if in.Destroy {
		return workflow.ExecuteLocalActivity(light(ctx, t), activities.NameRemoveRegion, subject).Get(ctx, nil)
	}
	// The first look costs one event; a place that is not ready yet is polled.
	var answers activities.RegionResult
	err := workflow.ExecuteLocalActivity(once(ctx, t), activities.NameCheckReady, subject).Get(ctx, &answers)
	if err != nil {
		err = workflow.ExecuteActivity(ready(ctx, t, "wait until "+in.Region+" is ready"), activities.NameCheckReady, subject).Get(ctx, &answers)
	}
	if err != nil || !answers.Go {
		return err
	}
	return workflow.ExecuteLocalActivity(light(ctx, t), activities.NameEnsureObjects, subject).Get(ctx, nil)
}

func withRegion(a temporal.SearchAttributes, region string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(a.Copy(), AttrRegion.ValueSet(region))
}
