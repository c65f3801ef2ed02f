package workflows

import (
	"errors"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// ApplyRun brings a database to its revision: all regions plan, one yes for the whole, then the regions apply in parallel and the links
// are made and proven. It goes on from the phase in the run's row, and ends where a yes is needed that is not there.
func (s Workflows) ApplyRun(ctx workflow.Context, in RunInput) error { return s.setup(in).run(ctx) }

// DestroyRun removes a database: all regions plan their destruction, one yes for exactly that, then links go first, stacks next, rows last.
func (s Workflows) DestroyRun(ctx workflow.Context, in RunInput) error { return s.setup(in).run(ctx) }

// CheckRun plans all regions in scratch copies and changes nothing.
func (s Workflows) CheckRun(ctx workflow.Context, in RunInput) error {
	r := s.setup(in)
	r.planner = activities.NameCheckStack
	return r.run(ctx)
}

// run is one execution of a run's workflow.
type run struct {
	in      RunInput
	timing  stacks.Timing
	planner string
}

func (s Workflows) setup(in RunInput) *run {
	return &run{in: in, timing: s.Timing, planner: activities.NamePlanStack}
}

// run is the story: ask the rows where the run stands, do what that phase needs, tell the rows, until there is nothing to do.
func (r *run) run(ctx workflow.Context) error {
	var done stacks.Phase
	for {
		step, err := r.step(ctx, done)
		if err != nil && ctx.Err() != nil {
			return r.end(ctx)
		}
		if err != nil {
			return err
		}
		workflow.SetCurrentDetails(ctx, "run "+r.in.Run+": "+string(step.Phase))
		switch step.Phase {
		case stacks.PhasePlanning:
			r.plan(ctx, step.Regions)
		case stacks.PhaseUnlinking:
			r.unlink(ctx, step.Links)
		case stacks.PhaseApplying:
			r.provision(ctx, step.Regions)
		case stacks.PhaseLinking:
			r.link(ctx, step.Links)
		default: // awaiting a yes, or ended
			return workflow.UpsertTypedSearchAttributes(ctx, AttrStatus.ValueSet(string(step.Phase)))
		}
		if ctx.Err() != nil { // an operator cancelled this workflow
			return r.end(ctx)
		}
		done = step.Phase
	}
}

func (r *run) step(ctx workflow.Context, done stacks.Phase) (activities.StepResult, error) {
	var out activities.StepResult
	err := workflow.ExecuteLocalActivity(light(ctx, r.timing), activities.NameStep, activities.StepInput{
		Contract: activities.ContractVersion, Run: r.in.Run, Done: done,
	}).Get(ctx, &out)
	return out, err
}

// end writes into the row that this workflow was cancelled from outside.
func (r *run) end(ctx workflow.Context) error {
	cause := ctx.Err()
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	err := workflow.ExecuteLocalActivity(light(ctx, r.timing), activities.NameEndRun, activities.EndRunInput{
		Contract: activities.ContractVersion, Run: r.in.Run, Reason: "WorkflowCancelled",
	}).Get(ctx, nil)
	if err != nil {
		return err
	}
	return cause
}

// plan plans all regions in parallel, each after what an interrupted apply has left is settled.
func (r *run) plan(ctx workflow.Context, regions []activities.RegionWork) {
	inParallel(ctx, len(regions), func(ctx workflow.Context, i int) {
		w := regions[i]
		if w.Settle {
			var settled activities.RegionResult
			err := workflow.ExecuteActivity(ready(ctx, r.timing, "settle "+w.Region), activities.NameSettleStack, r.region(w.Region)).Get(ctx, &settled)
			if err != nil {
				r.failRegion(ctx, w.Region, err)
			}
			if err != nil || !settled.Go {
				return
			}
		}
		err := workflow.ExecuteActivity(terraform(ctx, r.timing, TerraformQueue(r.in.Installation, w.Location), "plan "+w.Region), r.planner, r.region(w.Region)).Get(ctx, nil)
		if err != nil {
			r.failRegion(ctx, w.Region, err)
		}
	})
}

// provision applies all regions in parallel; one that fails does not stop the others. Several that change have an execution each, which can
// be followed and ended alone. One alone has the run's own, and so have those with nothing to apply: another one would cost a third
// of the run, or more. A region that comes after others starts when those have ended.
func (r *run) provision(ctx workflow.Context, regions []activities.RegionWork) {
	ended := map[string]bool{}
	inParallel(ctx, len(regions), func(ctx workflow.Context, i int) {
		w := regions[i]
		defer func() { ended[w.Region] = true }()
		for _, before := range w.After {
			if err := workflow.Await(ctx, func() bool { return ended[before] }); err != nil {
				return // an operator cancelled this workflow
			}
		}
		in := RegionInput{RunInput: r.in, Region: w.Region, Location: w.Location, Destroy: w.Destroy, Changed: w.Changed}
		provide := r.provisionChild
		if len(regions) == 1 || !w.Changed {
			provide = r.provisionHere
		}
		if err := provide(ctx, in); err != nil {
			r.failRegion(ctx, w.Region, err)
		}
	})
}

func (r *run) provisionHere(ctx workflow.Context, in RegionInput) error {
	return provisionRegion(ctx, r.timing, in)
}

// provisionChild runs a region's own execution to its end. One that is at work already is of this run's life before an operator reset it:
// it is let finish, and what it did is in the rows that the next one reads.
func (r *run) provisionChild(ctx workflow.Context, in RegionInput) error {
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            RegionID(r.in.Installation, r.in.Run, in.Region),
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		// A region ends with its run: its terraform goes on without it and is found again by the next one.
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_TERMINATE,
		WorkflowTaskTimeout:   r.timing.WorkflowTaskTimeout,
		StaticSummary:         "region " + in.Region,
		TypedSearchAttributes: withRegion(runAttributes(r.in, NameProvisionRegion), in.Region),
		WaitForCancellation:   true,
	})
	for {
		err := workflow.ExecuteChildWorkflow(child, NameProvisionRegion, in).Get(child, nil)
		var started *temporal.ChildWorkflowExecutionAlreadyStartedError
		if !errors.As(err, &started) {
			return err
		}
		err = workflow.ExecuteActivity(watch(ctx, r.timing), activities.NameWatchRun, activities.WatchRunInput{
			Contract: activities.ContractVersion, Run: r.in.Run, Workflow: RegionID(r.in.Installation, r.in.Run, in.Region),
		}).Get(ctx, nil)
		if err != nil {
			return err
		}
	}
}

// link makes and proves links, in parallel.
func (r *run) link(ctx workflow.Context, links []string) {
	inParallel(ctx, len(links), func(ctx workflow.Context, i int) {
		in := r.linkInput(links[i])
		var made activities.RegionResult
		err := workflow.ExecuteActivity(link(ctx, r.timing, giveUpLink, "make link "+links[i]), activities.NameEnsureLink, in).Get(ctx, &made)
		if err == nil && made.Go {
			err = workflow.ExecuteActivity(link(ctx, r.timing, longest, "prove link "+links[i]), activities.NameCheckLink, in).Get(ctx, nil)
		}
		if err != nil {
			r.failLink(ctx, in)
		}
	})
}

// unlink removes links, in parallel.
func (r *run) unlink(ctx workflow.Context, links []string) {
	inParallel(ctx, len(links), func(ctx workflow.Context, i int) {
		in := r.linkInput(links[i])
		err := workflow.ExecuteActivity(link(ctx, r.timing, giveUpUnlink, "remove link "+links[i]), activities.NameRemoveLink, in).Get(ctx, nil)
		if err != nil {
			r.failLink(ctx, in)
		}
	})
}

// failRegion writes into the row that a region's step gave up; the row keeps what it says if it has already ended.
func (r *run) failRegion(ctx workflow.Context, region string, cause error) {
	var terminated *temporal.TerminatedError
	in := activities.FailRegionInput{RegionInput: r.region(region), Ended: errors.As(cause, &terminated) || temporal.IsCanceledError(cause)}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	err := workflow.ExecuteLocalActivity(light(ctx, r.timing), activities.NameFailRegion, in).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Error("region not marked failed", "region", region, "error", err)
	}
}

func (r *run) failLink(ctx workflow.Context, in activities.LinkInput) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	err := workflow.ExecuteLocalActivity(light(ctx, r.timing), activities.NameFailLink, in).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Error("link not marked failed", "link", in.Link, "error", err)
	}
}

func (r *run) region(name string) activities.RegionInput {
	return activities.RegionInput{Contract: activities.ContractVersion, Run: r.in.Run, Region: name}
}

func (r *run) linkInput(name string) activities.LinkInput {
	return activities.LinkInput{Contract: activities.ContractVersion, Run: r.in.Run, Link: name}
}

// inParallel runs f for 0..n-1 at once and waits for all.
func inParallel(ctx workflow.Context, n int, f func(ctx workflow.Context, i int)) {
	wg := workflow.NewWaitGroup(ctx)
	for i := range n {
		wg.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer wg.Done()
			f(ctx, i)
		})
	}
	wg.Wait(ctx)
}
