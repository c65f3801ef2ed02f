package workflows

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// TestRun tells what each kind of run asks for, how often, and what it leaves alone.
func TestRun(t *testing.T) {
	tests := map[string]struct {
		name    string
		story   *story
		answers map[string]answer
		asked   map[string]int
		// order lists what must be asked one after another.
		order []string
		// children is how many executions the run starts.
		children int
		ends     stacks.Phase
	}{
		"a new database": {
			story: create("r1"), ends: stacks.PhaseDone, children: 2,
			asked: map[string]int{
				"PlanStack ankara": 1, "PlanStack istanbul": 1, "ApplyStack ankara": 1, "ApplyStack istanbul": 1, "CheckReady ankara": 1, "CheckReady istanbul": 1,
				"EnsureObjects ankara": 1, "EnsureObjects istanbul": 1, "EnsureLink " + toIstanbul: 1, "CheckLink " + toIstanbul: 1, "FailRegion ankara": 0,
				"EndRun r1 WorkflowCancelled": 0,
			},
			order: []string{"Step", "PlanStack ankara", "Step planning", "ApplyStack ankara", "CheckReady ankara", "EnsureObjects ankara", "Step applying", "EnsureLink " + toIstanbul, "CheckLink " + toIstanbul, "Step linking"},
		},
		"nothing to apply": {
			story: apply("r1", planning("ankara"), unchanged("ankara"), phase(stacks.PhaseDone)), ends: stacks.PhaseDone,
			asked: map[string]int{"ApplyStack ankara": 0, "CheckReady ankara": 1, "EnsureObjects ankara": 1},
		},
		"nothing to apply, ready at the second look": {
			story:   apply("r1", planning("ankara"), unchanged("ankara"), phase(stacks.PhaseDone)),
			answers: map[string]answer{"CheckReady ankara": {first: errPending}}, ends: stacks.PhaseDone,
			asked: map[string]int{"CheckReady ankara": 2, "EnsureObjects ankara": 1, "FailRegion ankara": 0},
		},
		"nothing to apply in a region that cannot get its objects": {
			story:   apply("r1", planning("ankara", "istanbul"), unchanged("ankara", "istanbul"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"EnsureObjects istanbul": {err: errPermanent}}, ends: stacks.PhaseFailed,
			asked: map[string]int{"EnsureObjects ankara": 1, "FailRegion ankara": 0, "FailRegion istanbul": 1},
		},
		"transient trouble": {
			story: create("r1"), answers: map[string]answer{"PlanStack ankara": {first: errTransient}, "EnsureLink " + toIstanbul: {first: errTransient}}, ends: stacks.PhaseDone, children: 2,
			asked: map[string]int{"PlanStack ankara": 2, "FailRegion ankara": 0, "EnsureLink " + toIstanbul: 2, "FailLink " + toIstanbul: 0},
		},
		"what an interrupted apply left is settled first": {
			story:   apply("r1", unsettledIn("ankara", "istanbul"), applying("ankara", "istanbul"), phase(stacks.PhaseDone)),
			answers: map[string]answer{"SettleStack ankara": {first: errPending}}, ends: stacks.PhaseDone, children: 2,
			asked: map[string]int{"SettleStack ankara": 2, "SettleStack istanbul": 0, "PlanStack ankara": 1, "PlanStack istanbul": 1, "FailRegion ankara": 0},
			order: []string{"Step", "SettleStack ankara", "PlanStack ankara", "Step planning", "ApplyStack ankara"},
		},
		"what cannot be proven is not planned": {
			story:   apply("r1", unsettledIn("ankara", "istanbul"), phase(stacks.PhaseAwaiting)),
			answers: map[string]answer{"SettleStack ankara": {stop: true}}, ends: stacks.PhaseAwaiting,
			asked: map[string]int{"SettleStack ankara": 1, "PlanStack ankara": 0, "PlanStack istanbul": 1, "FailRegion ankara": 0},
		},
		"a region that cannot be settled": {
			story:   apply("r1", unsettledIn("ankara", "istanbul"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"SettleStack ankara": {err: errPermanent}}, ends: stacks.PhaseFailed,
			asked: map[string]int{"SettleStack ankara": 1, "PlanStack ankara": 0, "FailRegion ankara": 1},
		},
		"a region that cannot be planned": {
			story:   apply("r1", planning("ankara", "istanbul"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"PlanStack ankara": {err: errPermanent}}, ends: stacks.PhaseFailed,
			asked: map[string]int{"PlanStack ankara": 1, "FailRegion ankara": 1, "PlanStack istanbul": 1, "FailRegion istanbul": 0, "ApplyStack istanbul": 0},
		},
		"a region that fails does not stop the others": {
			story:   apply("r1", planning("ankara", "istanbul"), applying("ankara", "istanbul"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"ApplyStack ankara": {err: errPermanent}}, ends: stacks.PhaseFailed, children: 2,
			asked: map[string]int{
				"ApplyStack ankara": 1, "CheckReady ankara": 0, "EnsureObjects ankara": 0, "FailRegion ankara": 1,
				"ApplyStack istanbul": 1, "CheckReady istanbul": 1, "EnsureObjects istanbul": 1, "FailRegion istanbul": 0,
			},
		},
		"a region that cannot get its objects": {
			story:   apply("r1", planning("ankara", "istanbul"), applying("ankara", "istanbul"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"EnsureObjects istanbul": {err: errPermanent}}, ends: stacks.PhaseFailed, children: 2,
			asked: map[string]int{"EnsureObjects ankara": 1, "FailRegion ankara": 0, "FailRegion istanbul": 1},
		},
		"an apply that says no stops its region": {
			story:   apply("r1", planning("ankara", "istanbul"), applying("ankara", "istanbul"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"ApplyStack ankara": {stop: true}}, ends: stacks.PhaseFailed, children: 2,
			asked: map[string]int{"CheckReady ankara": 0, "EnsureObjects ankara": 0, "FailRegion ankara": 0, "EnsureObjects istanbul": 1},
		},
		"a region that is ready at the second look": {
			story:   apply("r1", planning("ankara"), applying("ankara"), phase(stacks.PhaseDone)),
			answers: map[string]answer{"CheckReady ankara": {first: errPending}}, ends: stacks.PhaseDone,
			asked: map[string]int{"CheckReady ankara": 2, "EnsureObjects ankara": 1, "FailRegion ankara": 0},
		},
		"a region that will never be ready": {
			story:   apply("r1", planning("ankara"), applying("ankara"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"CheckReady ankara": {err: errPermanent}}, ends: stacks.PhaseFailed,
			// Once as a local look, once by the poll that is not retried.
			asked: map[string]int{"CheckReady ankara": 2, "EnsureObjects ankara": 0, "FailRegion ankara": 1},
		},
		"a look that says no stops its region": {
			story:   apply("r1", planning("ankara"), applying("ankara"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"CheckReady ankara": {stop: true}}, ends: stacks.PhaseFailed,
			asked: map[string]int{"CheckReady ankara": 1, "EnsureObjects ankara": 0, "FailRegion ankara": 0},
		},
		"a link that says no is not proven": {
			story: create("r1"), answers: map[string]answer{"EnsureLink " + toIstanbul: {stop: true}}, ends: stacks.PhaseDone, children: 2,
			asked: map[string]int{"CheckLink " + toIstanbul: 0, "FailLink " + toIstanbul: 0},
		},
		"a link that cannot be made": {
			story: create("r1"), answers: map[string]answer{"EnsureLink " + toIstanbul: {err: errPermanent}}, ends: stacks.PhaseDone, children: 2,
			asked: map[string]int{"EnsureLink " + toIstanbul: 1, "CheckLink " + toIstanbul: 0, "FailLink " + toIstanbul: 1},
		},
		"a link that cannot be proven": {
			story: create("r1"), answers: map[string]answer{"CheckLink " + toIstanbul: {err: errPermanent}}, ends: stacks.PhaseDone, children: 2,
			asked: map[string]int{"CheckLink " + toIstanbul: 1, "FailLink " + toIstanbul: 1},
		},
		"a yes that is not there ends the execution": {
			story: apply("r1", planning("ankara", "istanbul"), phase(stacks.PhaseAwaiting), applying("ankara", "istanbul"), phase(stacks.PhaseDone)), ends: stacks.PhaseAwaiting,
			asked: map[string]int{"Step": 1, "Step planning": 1, "Step awaiting": 0, "ApplyStack ankara": 0, "EndRun r1 WorkflowCancelled": 0},
		},
		"a yes that came": {
			story: &story{
				run: "r1", kind: stacks.RunApply, yes: true,
				steps: []activities.StepResult{phase(stacks.PhaseAwaiting), applying("ankara"), phase(stacks.PhaseDone)},
			},
			ends: stacks.PhaseDone, asked: map[string]int{"PlanStack ankara": 0, "ApplyStack ankara": 1},
		},
		"a run that has ended": {
			story: apply("r1", phase(stacks.PhaseSuperseded)), ends: stacks.PhaseSuperseded, asked: map[string]int{"Step": 1, "Step superseded": 0},
		},
		"a plan that went stale is made again": {
			story: apply("r1", planning("ankara"), applying("ankara"), planning("ankara"), applying("ankara"), phase(stacks.PhaseDone)), ends: stacks.PhaseDone,
			asked: map[string]int{"PlanStack ankara": 2, "ApplyStack ankara": 2},
		},
		"a region that goes": {
			story: apply("r1", planning("ankara", "istanbul"), unlinking(toIstanbul), removing("istanbul"), phase(stacks.PhaseDone)), ends: stacks.PhaseDone,
			asked: map[string]int{"RemoveLink " + toIstanbul: 1, "ApplyStack istanbul": 1, "RemoveRegion istanbul": 1, "CheckReady istanbul": 0, "EnsureObjects istanbul": 0},
			order: []string{"RemoveLink " + toIstanbul, "Step unlinking", "ApplyStack istanbul", "RemoveRegion istanbul"},
		},
		"a region that does not go": {
			story:   apply("r1", removing("istanbul"), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"ApplyStack istanbul": {stop: true}}, ends: stacks.PhaseFailed,
			asked: map[string]int{"RemoveRegion istanbul": 0, "FailRegion istanbul": 0},
		},
		"a database that goes": {
			name: NameDestroyRun, ends: stacks.PhaseDone, children: 2,
			story: destroy("r1", planning("ankara", "istanbul"), unlinking(toIstanbul), removing("ankara", "istanbul"), phase(stacks.PhaseDone)),
			asked: map[string]int{"PlanStack ankara": 1, "RemoveRegion ankara": 1, "RemoveRegion istanbul": 1, "EnsureLink " + toIstanbul: 0},
			order: []string{"PlanStack ankara", "RemoveLink " + toIstanbul, "ApplyStack ankara", "RemoveRegion ankara", "Step applying"},
		},
		"a link that cannot be removed": {
			name: NameDestroyRun, ends: stacks.PhaseFailed,
			story:   destroy("r1", planning("ankara"), unlinking(toIstanbul), phase(stacks.PhaseFailed)),
			answers: map[string]answer{"RemoveLink " + toIstanbul: {err: errPermanent}},
			asked:   map[string]int{"FailLink " + toIstanbul: 1, "ApplyStack ankara": 0},
		},
		"a check": {
			name: NameCheckRun, ends: stacks.PhaseDone,
			story: &story{run: "r1", kind: stacks.RunCheck, steps: []activities.StepResult{planning("ankara", "istanbul"), phase(stacks.PhaseDone)}},
			asked: map[string]int{"CheckStack ankara": 1, "CheckStack istanbul": 1, "PlanStack ankara": 0, "ApplyStack ankara": 0},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{runs: []*story{tc.story}, answers: tc.answers}
			env := environment(w)
			if tc.name == "" {
				tc.name = NameApplyRun
			}
			children := 0
			env.SetOnChildWorkflowStartedListener(func(*workflow.Info, workflow.Context, converter.EncodedValues) { children++ })
			env.ExecuteWorkflow(tc.name, runOf("r1"))
			if err := env.GetWorkflowError(); err != nil {
				t.Fatalf("the run's workflow ended with %v", err)
			}
			w.wants(t, tc.asked)
			w.inOrder(t, tc.order)
			if children != tc.children {
				t.Errorf("the run started %d executions, want %d", children, tc.children)
			}
			if got := w.phaseOf("r1"); got != tc.ends {
				t.Errorf("the run is %s, want %s", got, tc.ends)
			}
		})
	}
}

// inOrder wants each of these asked, each after the one before it.
func (w *world) inOrder(t *testing.T, order []string) {
	t.Helper()
	last := -1
	for _, key := range order {
		at := slices.Index(w.log(), key)
		if at <= last {
			t.Errorf("%s comes at %d, want it after %d: %q", key, at, last, w.log())
		}
		last = at
	}
}

// TestOperatorCancels wants a cancelled workflow to write into its row that it ended, which only a disconnected context still can.
func TestOperatorCancels(t *testing.T) {
	tests := map[string]struct{ name, at, marks string }{
		"while planning":  {NameApplyRun, activities.NamePlanStack, "FailRegion ankara ended"},
		"while applying":  {NameApplyRun, activities.NameApplyStack, "FailRegion ankara ended"},
		"while linking":   {NameApplyRun, activities.NameEnsureLink, "FailLink " + toIstanbul},
		"while unlinking": {NameDestroyRun, activities.NameRemoveLink, "FailLink " + toIstanbul},
		"while checking":  {NameCheckRun, activities.NameCheckStack, "FailRegion ankara ended"},
	}
	stories := map[string]*story{
		NameDestroyRun: destroy("r1", unlinking(toIstanbul), removing("ankara"), phase(stacks.PhaseDone)),
		NameCheckRun:   {run: "r1", kind: stacks.RunCheck, steps: []activities.StepResult{planning("ankara"), phase(stacks.PhaseDone)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{runs: []*story{create("r1")}, answers: map[string]answer{}}
			if s := stories[tc.name]; s != nil {
				w.runs[0] = s
			}
			never := make(chan struct{})
			defer close(never)
			for _, part := range []string{"ankara", "istanbul", toIstanbul} {
				w.answers[tc.at+" "+part] = answer{hold: never}
			}
			env := environment(w)
			env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
				if info.ActivityType.Name == tc.at {
					env.CancelWorkflow()
				}
			})
			env.ExecuteWorkflow(tc.name, runOf("r1"))
			var cancelled *temporal.CanceledError
			if err := env.GetWorkflowError(); !errors.As(err, &cancelled) {
				t.Errorf("the workflow ended with %v, want it cancelled", err)
			}
			w.wants(t, map[string]int{tc.marks: 1, "EndRun r1 WorkflowCancelled": 1})
			if got := w.phaseOf("r1"); got != stacks.PhaseFailed {
				t.Errorf("the run is %s, want failed", got)
			}
		})
	}
}

// unsettledIn is planning of two regions, the first of which an interrupted apply has left something in.
func unsettledIn(first, second string) activities.StepResult {
	s := planning(first, second)
	s.Regions[0].Settle = true
	return s
}
