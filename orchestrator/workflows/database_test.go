package workflows

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// started collects the child workflows that start in env, like "ApplyRun run/lab/r1".
func started(env *testsuite.TestWorkflowEnvironment) *[]string {
	out := new([]string)
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		*out = append(*out, info.WorkflowType.Name+" "+info.WorkflowExecution.ID)
	})
	return out
}

// short is a run without any work.
func short(run string) *story { return apply(run, planning(), phase(stacks.PhaseDone)) }

func TestFunnelCompletesWithoutARun(t *testing.T) {
	w := &world{}
	env := environment(w)
	env.ExecuteWorkflow(NameDatabase, orders)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if got := w.log(); !slices.Equal(got, []string{"NextRun"}) {
		t.Errorf("asked %q, want one NextRun", got)
	}
}

func TestFunnelTakesRunsOneAfterAnother(t *testing.T) {
	w := &world{runs: []*story{
		short("r1"), apply("r2", planning(), phase(stacks.PhaseAwaiting)), short("r3"), destroy("r4", planning(), phase(stacks.PhaseDone)),
	}}
	env := environment(w)
	children := started(env)
	env.ExecuteWorkflow(NameDatabase, orders)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	want := []string{"ApplyRun run/lab/r1", "ApplyRun run/lab/r2", "ApplyRun run/lab/r3", "DestroyRun run/lab/r4"}
	if !slices.Equal(*children, want) {
		t.Errorf("children %q, want %q", *children, want)
	}
	w.wants(t, map[string]int{"NextRun": 5})
}

// TestFunnelDrainsItsSignals wants a wake that comes while the rows are read to be answered by another look, and many to be one.
func TestFunnelDrainsItsSignals(t *testing.T) {
	w := &world{}
	env := environment(w)
	w.answers = map[string]answer{activities.NameNextRun: {then: func(attempt int) {
		if attempt > 1 {
			return
		}
		w.submit(short("r1")) // committed right after the look that found none
		for range 3 {
			env.SignalWorkflow(SignalWake, nil)
		}
	}}}
	env.ExecuteWorkflow(NameDatabase, orders)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	w.wants(t, map[string]int{"NextRun": 3})
	if got := w.phaseOf("r1"); got != stacks.PhaseDone {
		t.Errorf("the run is %s, want done", got)
	}
}

func TestFunnelContinuesAsNew(t *testing.T) {
	w := &world{}
	for i := range runsPerExecution + 1 {
		w.runs = append(w.runs, short(fmt.Sprintf("r%d", i+1)))
	}
	env := environment(w)
	env.ExecuteWorkflow(NameDatabase, orders)
	var again *workflow.ContinueAsNewError
	if err := env.GetWorkflowError(); !errors.As(err, &again) {
		t.Fatalf("the funnel ended with %v, want it to continue as new", err)
	}
	var in DatabaseInput
	if err := converter.GetDefaultDataConverter().FromPayloads(again.Input, &in); err != nil || in != orders || again.WorkflowType.Name != NameDatabase {
		t.Errorf("it continues as %s with %+v (%v), want %s with %+v", again.WorkflowType.Name, in, err, NameDatabase, orders)
	}
	w.wants(t, map[string]int{"NextRun": runsPerExecution})
	if last := w.runs[runsPerExecution]; last.at != 0 {
		t.Errorf("run %s was taken before the funnel continued as new", last.run)
	}
}

// TestFunnelWatchesARunThatIsAtWork tells of a new funnel that finds the child of an older one.
func TestFunnelWatchesARunThatIsAtWork(t *testing.T) {
	tests := map[string]struct {
		first           error
		watched, looked int
	}{
		"until its row ends":         {watched: 1, looked: 2},
		"again after a lost worker":  {first: errTransient, watched: 2, looked: 2},
		"again where watching fails": {first: errPermanent, watched: 2, looked: 3},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{runs: []*story{short("r1")}}
			w.answers = map[string]answer{"WatchRun r1": {first: tc.first, then: func(attempt int) {
				if attempt == tc.watched {
					w.end("r1", stacks.PhaseDone)
				}
			}}}
			env := withRun(w, func(workflow.Context, RunInput) error { return &temporal.ChildWorkflowExecutionAlreadyStartedError{} })
			env.ExecuteWorkflow(NameDatabase, orders)
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			w.wants(t, map[string]int{"WatchRun r1": tc.watched, "NextRun": tc.looked, "EndRun r1 WorkflowEnded": 0})
		})
	}
}

// withRun is an environment whose ApplyRun is another one.
func withRun(w *world, run func(workflow.Context, RunInput) error) *testsuite.TestWorkflowEnvironment {
	env := bare(w)
	env.RegisterWorkflowWithOptions(Workflows{Timing: stacks.DefaultTiming()}.Database, workflow.RegisterOptions{Name: NameDatabase})
	env.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: NameApplyRun})
	return env
}

// TestFunnelEndsTheRowOfALostWorkflow wants the row of a run whose workflow failed or was ended to say so before the next run is taken.
func TestFunnelEndsTheRowOfALostWorkflow(t *testing.T) {
	w := &world{runs: []*story{short("r1"), short("r2")}}
	env := withRun(w, func(_ workflow.Context, in RunInput) error {
		if in.Run == "r1" {
			return errPermanent
		}
		w.end(in.Run, stacks.PhaseDone)
		return nil
	})
	env.ExecuteWorkflow(NameDatabase, orders)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	w.wants(t, map[string]int{"EndRun r1 WorkflowEnded": 1, "EndRun r2 WorkflowEnded": 0, "NextRun": 3})
	if got := w.phaseOf("r1"); got != stacks.PhaseFailed {
		t.Errorf("run r1 is %s, want failed", got)
	}
}

// TestFunnelCancelledLeavesItsRunAlone wants a run to go on where an operator cancels the funnel that started it.
func TestFunnelCancelledLeavesItsRunAlone(t *testing.T) {
	w := &world{runs: []*story{create("r1")}}
	env := environment(w)
	w.answers = map[string]answer{"ApplyStack ankara": {then: func(int) { env.CancelWorkflow() }}}
	env.ExecuteWorkflow(NameDatabase, orders)
	var cancelled *temporal.CanceledError
	if err := env.GetWorkflowError(); !errors.As(err, &cancelled) {
		t.Errorf("the funnel ended with %v, want it cancelled", err)
	}
	if got := w.phaseOf("r1"); got != stacks.PhaseDone {
		t.Errorf("the run is %s, want done: %q", got, w.log())
	}
	w.wants(t, map[string]int{"EndRun r1 WorkflowEnded": 0, "EndRun r1 WorkflowCancelled": 0})
}
