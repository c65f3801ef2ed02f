package e2e

import (
	"strings"
	"testing"

	"meridian/stacks"
)

// TestTwoInstallationsInOneNamespace: two Meridians with rows of their own share a Temporal. Databases of one name go their own ways, and
// neither ends, takes or misses a workflow of the other.
func TestTwoInstallationsInOneNamespace(t *testing.T) {
	t.Parallel()
	ledgerFile()
	a := newSite(t)
	first := a.start()
	b := newSite(t)
	b.beside = first
	second := b.start()
	one, other := first.submit(orders("orders")), second.submit(orders("orders", `max_connections: "50"`, `max_connections: "70"`))
	a.wantDone(first, one.ID)
	b.wantDone(second, other.ID)
	for m, want := range map[*meridian]string{first: "50", second: "70"} {
		if got := m.query("orders", "ankara", "show max_connections"); got != want {
			t.Errorf("max_connections = %s, want %s", got, want)
		}
	}
	first.destroy("orders")
	first.nothingLeft()
	if v, err := second.Run(t.Context(), other.ID); err != nil || v.Phase != stacks.PhaseDone {
		t.Errorf("the other's run is %s, %v", v.Phase, err)
	}
	if got := second.query("orders", "istanbul", "select 1"); got != "1" {
		t.Errorf("the other's database answers %q", got)
	}
	for _, l := range append(a.ledger(), b.ledger()...) {
		if l.Op == "delete" && strings.HasPrefix(l.DataDir, b.data) {
			t.Errorf("the destruction of the one reached the other: %+v", l)
		}
	}
	// The first one leaves; the other goes on with what it has.
	second.destroy("orders")
	second.nothingLeft()
}
