package runner

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"meridian/stacks/terraform"
)

// deadlineFile is the end of the site's lease on the stack; by whoever runs or adopts the attempt. Where it is missing there is no lease.
const deadlineFile = "deadline.json"

// deadline is until when terraform may work, by the clock of this boot, which goes on while the machine sleeps.
type deadline struct {
	Until time.Duration `json:"until"`
	// Stop and Kill are how long before the end terraform gets SIGINT, and its group SIGKILL.
	Stop time.Duration `json:"stop"`
	Kill time.Duration `json:"kill"`
}

// leaseLength is how long another site leaves a stack of this one alone without a proof; 0 with a store of one machine: there, locks
// prove all.
func (w *worker) leaseLength() time.Duration {
	if !w.store.Shared() {
		return 0
	}
	return w.timing.Lease
}

// renewed writes down that the lease runs on: sent is the boot clock from before the renewal was sent, so that this end is never later
// than what another site reckons with. A failure only leaves the earlier end in place.
func (r *run) renewed(sent time.Duration) error {
	length := r.leaseLength()
	if length == 0 {
		return nil
	}
	return r.spool.put(deadlineFile, r.leaseFrom(sent, length), false)
}

// leaseFrom is the end of a lease that was renewed at a time of the boot clock.
func (r *run) leaseFrom(sent, length time.Duration) deadline {
	return deadline{Until: sent + length, Stop: r.timing.LeaseStop, Kill: r.timing.LeaseKill}
}

// leaseAct is what the end of a lease asks for.
type leaseAct int

const (
	leaseRuns leaseAct = iota
	leaseStop          // SIGINT to terraform
	leaseKill          // SIGKILL to its group
)

// act says what is to be done at a time of the boot clock.
func (d deadline) act(now time.Duration) leaseAct {
	switch {
	case d.Until == 0 || now < d.Until-d.Stop:
		return leaseRuns
	case now < d.Until-d.Kill:
		return leaseStop
	}
	return leaseKill
}

// look is how often the shim looks at its deadline: often enough beside the time between the signals.
func (d deadline) look() time.Duration {
	return min(time.Second, max((d.Stop-d.Kill)/10, 10*time.Millisecond))
}

// errLeaseOver is why a terraform was not started.
const errLeaseOver = "the site's lease on the stack was over before terraform could start"

// leaseGuard is the shim's watch over the lease: nobody else is sure to live as long as terraform does.
type leaseGuard struct {
	clock terraform.Clock
	spool spool
	tf    *os.Process
	over  chan struct{} // closed when terraform has ended
	ended chan struct{}
}

// guardLease watches the lease of a terraform that was just started; end ends the watch once terraform has. It is nil where there is none.
func guardLease(clock terraform.Clock, s spool, tf *os.Process) *leaseGuard {
	if !s.has(deadlineFile) {
		return nil
	}
	g := &leaseGuard{clock: clock, spool: s, tf: tf, over: make(chan struct{}), ended: make(chan struct{})}
	go g.watch()
	return g
}

func (g *leaseGuard) end() {
	if g == nil {
		return
	}
	close(g.over)
	<-g.ended
}

func (g *leaseGuard) watch() {
	defer close(g.ended)
	for {
		d, act := leaseNow(g.clock, g.spool)
		switch act {
		case leaseStop:
			g.stop()
		case leaseKill:
			g.stop() // the record says why, for whoever finds it
			family{spool: g.spool}.reap()
		case leaseRuns:
		}
		t := time.NewTimer(d.look())
		select {
		case <-g.over:
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// stop tells terraform to stop, once: a second SIGINT would make it drop what it is making.
func (g *leaseGuard) stop() {
	if g.spool.has(cancelFile) {
		return
	}
	now, _ := g.clock.Boot()
	if err := g.spool.put(cancelFile, cancelRecord{At: g.clock.Wall().UTC(), Boot: now, Lease: true}, true); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
	}
	if err := g.tf.Signal(syscall.SIGINT); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
	}
}

// leaseNow reads the deadline and says what it asks for now. One that cannot be read is one that was not renewed: the last one that
// could be read is not known any more, so terraform is stopped.
func leaseNow(clock terraform.Clock, s spool) (deadline, leaseAct) {
	var d deadline
	there, err := s.get(deadlineFile, &d)
	if err == nil && !there {
		return d, leaseRuns
	}
	now, unread := clock.Boot()
	if err != nil || unread != nil {
		return d, leaseStop
	}
	return d, d.act(now)
}

// stopped is the record of who told terraform to stop; nil where nobody did. The shim may have written it, too.
func (r *run) stopped() *cancelRecord {
	if r.cancelled != nil {
		return r.cancelled
	}
	var c cancelRecord
	if ok, err := r.spool.get(cancelFile, &c); err != nil || !ok {
		return nil
	}
	return &c
}
