package workflows

import (
	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// recording is one story that is played on a real Temporal with canned activities; its histories are the replay fixtures.
type recording struct {
	runs    []*story
	answers map[string]answer
	drift   activities.DriftWork
	// play tells what people do. Without it, the funnel is woken and ends.
	play func(l *laboratory)
	// ends are the phases of the runs at the end, in order.
	ends []stacks.Phase
}

// recordings are the stories by name. Each call makes new ones.
func recordings() map[string]recording {
	never, proof, plan := make(chan struct{}), make(chan struct{}), make(chan struct{})
	return map[string]recording{
		"create": {
			runs: []*story{create("r1")},
			// Istanbul takes a second look, and somebody wakes the funnel meanwhile.
			answers: map[string]answer{"CheckReady istanbul": {first: errPending}, "CheckLink " + toIstanbul: {hold: proof}},
			play: func(l *laboratory) {
				l.wake()
				l.until("CheckLink "+toIstanbul, RunID(l.installation, "r1"))
				l.wake()
				l.until("CheckLink "+toIstanbul, l.funnel())
				close(proof)
				l.finish()
			},
			ends: []stacks.Phase{stacks.PhaseDone},
		},
		"approve": {
			runs: []*story{apply("r1", planning("ankara", "istanbul"), phase(stacks.PhaseAwaiting), applying("ankara", "istanbul"), linking(toIstanbul), phase(stacks.PhaseDone))},
			play: func(l *laboratory) {
				l.wake()
				l.finish() // nobody said yes: the executions end
				l.approve("r1")
				l.wake()
				l.finish()
			},
			ends: []stacks.Phase{stacks.PhaseDone},
		},
		"unchanged": {
			runs: []*story{apply("r1", planning("ankara", "istanbul"), unchanged("ankara", "istanbul"), phase(stacks.PhaseDone))},
			ends: []stacks.Phase{stacks.PhaseDone},
		},
		"two-runs": {
			runs: []*story{
				apply("r1", planning("ankara"), phase(stacks.PhaseSuperseded)),
				apply("r2", planning("ankara"), applying("ankara"), planning("ankara"), applying("ankara"), phase(stacks.PhaseDone)), // r2's plan goes stale
			},
			ends: []stacks.Phase{stacks.PhaseSuperseded, stacks.PhaseDone},
		},
		"remove-region": {
			runs: []*story{apply("r1", planning("ankara", "istanbul"), unlinking(toIstanbul), activities.StepResult{
				Phase: stacks.PhaseApplying, Regions: append(unchanged("ankara").Regions, removing("istanbul").Regions...),
			}, phase(stacks.PhaseDone))},
			ends: []stacks.Phase{stacks.PhaseDone},
		},
		"plan-fails": {
			runs:    []*story{apply("r1", planning("ankara", "istanbul"), phase(stacks.PhaseFailed))},
			answers: map[string]answer{"PlanStack ankara": {err: errPermanent}},
			ends:    []stacks.Phase{stacks.PhaseFailed},
		},
		"region-fails": {
			runs:    []*story{apply("r1", planning("ankara", "istanbul"), applying("ankara", "istanbul"), phase(stacks.PhaseFailed))},
			answers: map[string]answer{"ApplyStack ankara": {stop: true}, "EnsureObjects istanbul": {err: errPermanent}},
			ends:    []stacks.Phase{stacks.PhaseFailed},
		},
		"links-fail": {
			runs: []*story{
				apply("r1", linking(toIstanbul, "ankara-izmir", "ankara-bursa"), phase(stacks.PhaseFailed)),
				destroy("r2", unlinking(toIstanbul), phase(stacks.PhaseFailed)),
			},
			answers: map[string]answer{
				"EnsureLink " + toIstanbul: {stop: true}, "EnsureLink ankara-izmir": {err: errPermanent}, "CheckLink ankara-bursa": {err: errPermanent},
				"RemoveLink " + toIstanbul: {err: errPermanent},
			},
			ends: []stacks.Phase{stacks.PhaseFailed, stacks.PhaseFailed},
		},
		"cancelled-planning": {
			runs:    []*story{create("r1")},
			answers: map[string]answer{"PlanStack istanbul": {hold: never}},
			play: func(l *laboratory) {
				l.wake()
				l.until("PlanStack istanbul", RunID(l.installation, "r1"))
				l.cancel("r1")
				l.finish()
			},
			ends: []stacks.Phase{stacks.PhaseFailed},
		},
		"cancelled-applying": {
			runs:    []*story{create("r1")},
			answers: map[string]answer{"ApplyStack istanbul": {hold: never}},
			play: func(l *laboratory) {
				l.wake()
				l.until("ApplyStack istanbul", RunID(l.installation, "r1"))
				l.cancel("r1")
				l.finish()
			},
			ends: []stacks.Phase{stacks.PhaseFailed},
		},
		"terminated": {
			runs:    []*story{create("r1")},
			answers: map[string]answer{"ApplyStack istanbul": {hold: never}},
			play: func(l *laboratory) {
				l.wake()
				l.until("ApplyStack istanbul", RunID(l.installation, "r1"))
				l.terminate("r1")
				l.finish()
			},
			ends: []stacks.Phase{stacks.PhaseFailed},
		},
		"destroy": {
			runs: []*story{{
				run: "r1", kind: stacks.RunDestroy, yes: true,
				steps: []activities.StepResult{planning("ankara", "istanbul"), phase(stacks.PhaseAwaiting), unlinking(toIstanbul), removing("ankara", "istanbul"), phase(stacks.PhaseDone)},
			}},
			ends: []stacks.Phase{stacks.PhaseDone},
		},
		"check": {
			runs: []*story{{run: "r1", kind: stacks.RunCheck, steps: []activities.StepResult{planning("ankara", "istanbul"), phase(stacks.PhaseDone)}}},
			play: func(l *laboratory) {
				l.start(NameCheckRun, "r1")
				l.until("Step planning", RunID(l.installation, "r1"))
			},
			ends: []stacks.Phase{stacks.PhaseDone},
		},
		"drift": {
			// Ankara answers at the second look, and the link cannot be looked at.
			drift:   activities.DriftWork{Check: "c1", Regions: work(activities.RegionWork{}, "ankara"), Links: []string{toIstanbul}},
			answers: map[string]answer{"DriftInside ankara": {first: errPending}, "DriftLink " + toIstanbul: {err: errPermanent}},
			play: func(l *laboratory) {
				l.check("c1")
				l.until("EndDrift ", DriftID(l.installation, "c1"))
			},
		},
		"watch": {
			// A funnel that finds its run at work: the one that started it was lost.
			runs: []*story{apply("r1", planning("ankara"), applying("ankara"), phase(stacks.PhaseDone))},
			answers: map[string]answer{
				"PlanStack ankara": {hold: plan},
				"WatchRun r1": {then: func(attempt int) {
					if attempt == 1 {
						close(plan)
					}
				}},
			},
			play: func(l *laboratory) {
				l.start(NameApplyRun, "r1")
				l.until("PlanStack ankara", RunID(l.installation, "r1"))
				l.wake()
				l.finish()
			},
			ends: []stacks.Phase{stacks.PhaseDone},
		},
	}
}
