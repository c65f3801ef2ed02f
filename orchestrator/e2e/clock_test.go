package e2e

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/providers"
	"meridian/providers/local"
	pgserver "meridian/providers/local/server"
	"meridian/stacks/terraform"
)

// wallClock is a clock of which a test sets the hands on the wall; asleep is never.
type wallClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *wallClock) set(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = ahead
}

func (c *wallClock) clock() terraform.Clock {
	return terraform.Clock{Read: func() terraform.Reading {
		c.mu.Lock()
		defer c.mu.Unlock()
		var own terraform.Clock
		boot, _ := own.Boot()
		return terraform.Reading{Wall: own.Wall().Add(c.ahead), Awake: own.Awake(), Boot: boot}
	}}
}

// TestTheClockJumps sets the clock of a Meridian a day ahead and a day back while terraform makes two regions, and kills runner and terraform under
// each. The run goes on by itself and asks nothing, nothing is made twice, a region that waits is not given up, and fsck agrees.
func TestTheClockJumps(t *testing.T) {
	t.Parallel()
	ledgerFile()
	const day = 24 * time.Hour
	for name, ahead := range map[string]time.Duration{"ahead": day, "back": -day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.env = []string{pgserver.EnvDelay + "=1500ms"}
			hands := &wallClock{}
			s.clock = hands.clock()
			m := s.start()
			run := m.submit(orders("orders"))
			s.inFlight("create", 2)
			hands.set(ahead)
			if s.killAll("meridian-runner", "terraform apply", "terraform-provider-localdb") == 0 {
				t.Fatal("nothing to kill")
			}
			v := s.wantDone(m, run.ID)
			if len(v.Questions) > 0 || len(v.Links) != 1 || v.Links[0].Phase != "verified" {
				t.Errorf("questions %v, links %+v", v.Questions, v.Links)
			}
			s.finishedOnce()
			if n := len(m.servers()); n != 2 {
				t.Errorf("%d servers run, want 2", n)
			}
			m.atRest()
			report, err := m.Fsck(context.Background(), orchestrator.FsckRequest{})
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("fsck: %+v, %v", report.Findings, err)
			}
			if v := m.done(orders("orders")); v.HasChanges {
				t.Errorf("a second apply changes %+v", v.Changes)
			}
		})
	}
}

// slowCloud is provider local with a control plane that is not ready until a test says so.
type slowCloud struct {
	*local.Provider
	ready *atomic.Bool
}

func (c slowCloud) ControlPlane(context.Context, providers.ModuleInput) (providers.ReadyStatus, error) {
	if c.ready.Load() {
		return providers.ReadyStatus{State: providers.StateReady}, nil
	}
	return providers.ReadyStatus{State: providers.StatePending, Message: "the cloud is slow"}, nil
}

// TestATimerThatIsADayAway: a step waits for its next try while the clock is set back a day. Temporal fires by the clock on the wall and would try
// again tomorrow; the reconciler has the workflow begin anew from its rows, once.
func TestATimerThatIsADayAway(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s, hands, ready := newSite(t), &wallClock{}, &atomic.Bool{}
	s.clock = hands.clock()
	s.wrap = func(p *local.Provider) providers.Provider { return slowCloud{p, ready} }
	m := s.start()
	run := m.submit(orders("orders"))
	const anew = "a timer of it is far ahead"
	s.eventually("regions wait for their next look", func() error {
		if !strings.Contains(m.runLog(run.ID), "the cloud is slow") {
			return errNotYet
		}
		return nil
	})
	if log := m.runLog(run.ID); strings.Contains(log, anew) {
		t.Fatalf("a workflow began anew under a clock that is right:\n%s", log)
	}
	hands.set(-24 * time.Hour)
	s.eventually("a workflow begins anew", func() error {
		if !strings.Contains(m.runLog(run.ID), anew) {
			return errNotYet
		}
		return nil
	})
	ready.Store(true)
	s.wantDone(m, run.ID)
	m.atRest()
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})
}
