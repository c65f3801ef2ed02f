package workflows

import (
	"testing"

	"meridian/orchestrator/activities"
)

// TestDriftCheck tells what a check asks for: all parts, the links last, and its end whatever a look met.
func TestDriftCheck(t *testing.T) {
	both := activities.DriftWork{Check: "c1", Regions: work(activities.RegionWork{}, "ankara", "istanbul"), Links: []string{toIstanbul}}
	tests := map[string]struct {
		work    activities.DriftWork
		answers map[string]answer
		asked   map[string]int
	}{
		"all is well": {work: both, asked: map[string]int{
			"BeginDrift asked": 1, "DriftStack ankara": 1, "DriftStack istanbul": 1, "DriftInside ankara": 1, "DriftInside istanbul": 1, "DriftLink " + toIstanbul: 1, "EndDrift ": 1,
		}},
		"a look that gives up stops no other": {
			work: both, answers: map[string]answer{"DriftStack ankara": {err: errPermanent}, "DriftInside istanbul": {err: errPermanent}},
			asked: map[string]int{"DriftStack ankara": 1, "DriftInside ankara": 1, "DriftStack istanbul": 1, "DriftInside istanbul": 1, "DriftLink " + toIstanbul: 1, "EndDrift ": 1},
		},
		"a moment's trouble": {
			work: both, answers: map[string]answer{"DriftStack ankara": {first: errTransient}, "DriftInside ankara": {first: errPending}, "DriftLink " + toIstanbul: {first: errTransient}},
			asked: map[string]int{"DriftStack ankara": 2, "DriftInside ankara": 2, "DriftLink " + toIstanbul: 2, "EndDrift ": 1},
		},
		"nothing to look at": {asked: map[string]int{"BeginDrift asked": 1, "DriftStack ankara": 0, "EndDrift ": 0}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{drift: test.work, answers: test.answers}
			env := environment(w)
			env.ExecuteWorkflow(NameDriftCheck, DriftInput{Contract: activities.ContractVersion, Installation: lab, Incarnation: "a2b3c4d5", Check: "c1", Reason: "asked"})
			if err := env.GetWorkflowError(); err != nil {
				t.Fatalf("it ended with %v: %q", err, w.log())
			}
			w.wants(t, test.asked)
		})
	}
}
