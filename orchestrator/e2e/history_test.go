package e2e

import (
	"context"
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// TestHistoryIsSmall counts the events of a two-region apply: at most 100 in all, 125 with an approval, none over 60.
func TestHistoryIsSmall(t *testing.T) {
	s := newSite(t)
	m := s.start()
	m.done(orders("orders"))
	all, largest := m.events()
	t.Logf("two-region apply: %d events in all, largest history %d", all, largest)
	if all > 100 || largest > 60 {
		t.Errorf("%d events in all (goal 100), largest history %d (goal 60)", all, largest)
	}
	v := m.wait(m.submitWithout(orders("bills")).ID)
	m.approve(v)
	m.wait(v.ID)
	with, largest := m.events()
	t.Logf("with an approval: %d events, largest history %d", with-all, largest)
	if with-all > 125 || largest > 60 {
		t.Errorf("with an approval %d events in all (goal 125), largest history %d (goal 60)", with-all, largest)
	}
}

// events counts the events of all executions of this Meridian, and those of its largest history.
func (m *meridian) events() (all, largest int) {
	m.site.t.Helper()
	for id, n := range m.histories() {
		all += n
		largest = max(largest, n)
		m.site.t.Logf("%4d %s", n, id)
	}
	return all, largest
}

// histories counts the events of each execution, once all have closed.
func (m *meridian) histories() map[string]int {
	m.site.t.Helper()
	ctx := context.Background()
	out := map[string]int{}
	m.site.eventually("all executions close", func() error {
		list, err := m.sdk.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
		if err != nil {
			return err
		}
		clear(out)
		for _, e := range list.GetExecutions() {
			if e.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return errNotYet
			}
			if !strings.HasPrefix(e.GetExecution().GetWorkflowId(), "temporal-") {
				out[e.GetExecution().GetWorkflowId()+" "+e.GetExecution().GetRunId()] = int(e.GetHistoryLength())
			}
		}
		if len(out) == 0 {
			return errNotYet
		}
		return nil
	})
	return out
}
