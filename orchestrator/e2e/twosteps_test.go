package e2e

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"meridian/orchestrator"
	"meridian/providers"
	"meridian/providers/local"
	"meridian/stacks"
)

// protected is a provider whose servers are protected: terraform refuses to destroy one before that is lifted.
type protected struct {
	*local.Provider
	// other, where true, renders the stack otherwise.
	other *atomic.Bool
}

var _ providers.ProtectionLifter = protected{}

func (p protected) ModuleCall(in providers.ModuleInput) (stacks.ModuleCall, error) {
	return p.call(in, true)
}

func (p protected) LiftProtection(in providers.ModuleInput) (providers.Lift, error) {
	call, err := p.call(in, false)
	return providers.Lift{Call: call, Types: []string{"localdb_postgres"}, Attributes: []string{"deletion_protection"}}, err
}

func (p protected) call(in providers.ModuleInput, protect bool) (stacks.ModuleCall, error) {
	call, err := p.Provider.ModuleCall(in)
	if err == nil {
		call.Inputs["deletion_protection"] = protect
		if p.other.Load() {
			call.Inputs["name"] = "other"
		}
	}
	return call, err
}

// newProtectedSite is a site of that provider.
func newProtectedSite(t *testing.T) *site {
	s := newSite(t)
	s.wrap = func(p *local.Provider) providers.Provider { return protected{p, new(atomic.Bool)} }
	return s
}

// awaitDestroy asks for the destruction of orders and wants its plan to show both steps.
func (m *meridian) awaitDestroy() orchestrator.RunView {
	m.site.t.Helper()
	v, err := m.Destroy(m.site.t.Context(), stacks.DefaultNamespace, "orders", "ada")
	if err != nil {
		m.site.t.Fatal(err)
	}
	if v = m.wait(v.ID); v.Phase != stacks.PhaseAwaiting {
		m.site.t.Fatalf("the destruction is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	var first, then []string
	for _, c := range v.Changes {
		line := c.Region + " " + string(c.Action) + " " + c.Address
		switch {
		case c.Then && !strings.HasPrefix(c.Address, "output."):
			then = append(then, line)
		case !c.Then:
			first = append(first, line)
		}
	}
	const server = "module.database.localdb_postgres.this"
	if got, want := strings.Join(first, ", "), "ankara update "+server+", istanbul update "+server; got != want {
		m.site.t.Errorf("the first step shows %s, want %s", got, want)
	}
	if got, want := strings.Join(then, ", "), "ankara delete "+server+", istanbul delete "+server; got != want {
		m.site.t.Errorf("the second step shows %s, want %s", got, want)
	}
	if !strings.Contains(v.NeedsApproval, "destroys "+server) {
		m.site.t.Errorf("a yes is needed because it %q", v.NeedsApproval)
	}
	return v
}

// TestDestroyInTwoSteps destroys protected servers under one yes: it lifts the protection, plans the destruction that was shown, and does it.
func TestDestroyInTwoSteps(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newProtectedSite(t)
	m := s.start()
	m.done(orders("orders"))
	v := m.awaitDestroy()
	m.approve(v)
	m.site.wantDone(m, v.ID)
	m.nothingLeft()
	const story = made + ", update begin, update end, delete begin, delete end"
	s.wantOps(map[string]string{"ankara": story, "istanbul": story})
	if said := m.verbs(); said["approve"] != 1 || said["carry-over"] == 0 {
		t.Errorf("audit %v, want one yes to the destruction, carried over to its second step", said)
	}
}

// TestKilledInTheFirstOfTwoSteps kills terraform and its plugin while they lift the protection: both steps go on under the one yes.
func TestKilledInTheFirstOfTwoSteps(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newProtectedSite(t)
	m := s.start()
	m.done(orders("orders"))
	v := m.awaitDestroy()
	m.approve(v)
	s.inFlight("update", 1)
	s.killAll("terraform apply", "terraform-provider-localdb")
	m.site.wantDone(m, v.ID)
	m.nothingLeft()
}

// TestAnotherSecondStepAsksAgain: a destruction that is not the one that was shown waits for a yes of its own, with the protection lifted.
func TestAnotherSecondStepAsksAgain(t *testing.T) {
	t.Parallel()
	s := newProtectedSite(t)
	var other atomic.Bool
	s.wrap = func(p *local.Provider) providers.Provider { return protected{p, &other} }
	m := s.start()
	m.done(orders("orders"))
	v := m.awaitDestroy()
	other.Store(true)
	m.approve(v)
	s.eventually("the run asks again", func() error {
		again, err := m.Run(t.Context(), v.ID)
		if err != nil || again.Phase != stacks.PhaseAwaiting || again.PlanDigest == v.PlanDigest {
			return errors.Join(errNotYet, err)
		}
		if !strings.Contains(again.Message, "rendered otherwise") {
			t.Errorf("the run says %q", again.Message)
		}
		v = again
		return nil
	})
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run, want 2: nobody said yes to this", n)
	}
	m.approve(v)
	s.wantDone(m, v.ID)
	m.nothingLeft()
}
