package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"meridian/providers/local"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

// TestRegionEndedWhileADestroyApplies terminates the workflow of a region in Temporal's UI while terraform destroys it. The run comes to a true end, the
// terraform is let finish, and the next destruction goes on from what is left: nothing is deleted twice, nothing stays.
func TestRegionEndedWhileADestroyApplies(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	s.env = []string{local.EnvDirectories + "=2", pgserver.EnvDelay + "=1500ms"}
	m := s.start()
	m.done(orders("orders"))
	v, err := m.Destroy(t.Context(), stacks.DefaultNamespace, "orders", "test")
	if err != nil {
		t.Fatal(err)
	}
	if v = m.wait(v.ID); v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the destruction is %s: %s", v.Phase, v.Message)
	}
	m.approve(v)
	s.inFlight("delete", 2)
	m.do(verbTerminate, m.whom(v)["region"])
	if v = m.wait(v.ID); v.Phase == stacks.PhaseFailed {
		if !strings.Contains(v.Message, "ended from outside") {
			t.Errorf("it says %q", v.Message)
		}
		m.destroy("orders")
	} else if v.Phase != stacks.PhaseDone {
		t.Fatalf("the run is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	m.nothingLeft()
	deleted := map[string]int{}
	for _, l := range s.ledger() {
		if l.Op == "delete" && l.Phase == "end" && l.Error == "" {
			deleted[l.DataDir]++
		}
	}
	var wrong error
	for home, n := range deleted {
		if n != 1 {
			wrong = errors.Join(wrong, fmt.Errorf("%s was deleted %d times", home, n))
		}
	}
	if wrong != nil || len(deleted) < 2 {
		t.Errorf("%d objects were deleted: %v", len(deleted), wrong)
	}
}
