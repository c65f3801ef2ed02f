package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"meridian/orchestrator"
	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/stacks"
)

var (
	errReplyLost = errors.New("test: the work is done and the reply is lost")
	errNotBegun  = errors.New("test: it failed before it did anything")
)

// faults disturbs the first executions of every activity, local ones too: after its work is done, or before it begins. It comes behind
// the interceptor that keeps error texts out of histories, so a fault is transient trouble like any other.
type faults struct {
	interceptor.WorkerInterceptorBase
	before bool
	times  int // how many executions of each scheduled activity are disturbed

	mu        sync.Mutex
	disturbed map[string]int // by scheduled activity
	names     map[string]int // by name of the activity
	gates     map[string]chan struct{}
}

func newFaults(before bool, times int) *faults {
	return &faults{before: before, times: times, disturbed: map[string]int{}, names: map[string]int{}, gates: map[string]chan struct{}{}}
}

// hold holds the executions of an activity before they begin, until release.
func (f *faults) hold(name string) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := make(chan struct{})
	f.gates[name] = gate
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.gates, name)
		close(gate)
	}
}

func (f *faults) wait(ctx context.Context, name string) {
	f.mu.Lock()
	gate := f.gates[name]
	f.mu.Unlock()
	if gate == nil {
		return
	}
	beat := time.NewTicker(timing().Heartbeat / 8)
	defer beat.Stop()
	for {
		select {
		case <-gate:
			return
		case <-ctx.Done():
			return
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}

// disturb reports whether this execution is one of those that fail, and counts it.
func (f *faults) disturb(info activity.Info) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := info.WorkflowExecution.RunID + "/" + info.ActivityID
	if f.disturbed[key] >= f.times {
		return false
	}
	f.disturbed[key]++
	f.names[info.ActivityType.Name]++
	return true
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (f *faults) InterceptActivity(ctx context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &faulty{f: f}
	in.Next = next
	return in
}

type faulty struct {
	interceptor.ActivityInboundInterceptorBase
	f *faults
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (i *faulty) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	i.f.wait(ctx, info.ActivityType.Name)
	if i.f.before && i.f.disturb(info) {
		return nil, errNotBegun
	}
	out, err := i.Next.ExecuteActivity(ctx, in)
	if err == nil && !i.f.before && i.f.disturb(info) {
		return nil, errReplyLost
	}
	return out, err
}

// stage is the world after one chapter of the story.
type stage struct {
	name  string
	world []string
}

// tell tells the whole life of a database: checked, made in two regions, changed, a third region added, the second removed, destroyed.
func tell(t *testing.T, interceptors ...interceptor.WorkerInterceptor) []stage {
	s := newSite(t)
	m := s.start(interceptors...)
	var out []stage
	chapter := func(name string) { out = append(out, stage{name, m.world("orders")}) }

	check, err := m.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: orders("orders")}}, Check: true, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if v := m.wait(check.Runs[0].ID); v.Phase != stacks.PhaseDone || !v.HasChanges {
		t.Fatalf("the check is %s, changes %t: %s\n%s", v.Phase, v.HasChanges, v.Message, m.runLog(v.ID))
	}
	chapter("checked")

	m.done(orders("orders"))
	m.query("orders", "ankara", "create table parcels (id int primary key, town text)")
	chapter("made")

	m.done(orders("orders", `max_connections: "50"`, `max_connections: "60"`))
	m.query("orders", "ankara", "insert into parcels select n, 'town ' || n from generate_series(1, 100) n")
	m.arrives("istanbul", "100")
	m.wantDrift(m.checkDrift("orders"))
	chapter("changed")

	m.done(orders("orders", `max_connections: "50"`, `max_connections: "60"`, replica, third, link, links))
	m.arrives("izmir", "100")
	chapter("grown")

	smaller := orders("orders", `max_connections: "50"`, `max_connections: "60"`,
		replica, strings.Replace(third, replica, "", 1), link, strings.Replace(links, link, "", 1))
	v := m.wait(m.submit(smaller).ID)
	if v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the removal of a region is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	m.approve(v)
	if v = m.wait(v.ID); v.Phase != stacks.PhaseDone {
		t.Fatalf("the removal of a region is %s: %s\n%s", v.Phase, v.Message, m.runLog(v.ID))
	}
	chapter("shrunk")

	m.destroy("orders")
	m.nothingLeft()
	chapter("destroyed")
	m.close()
	return out
}

// arrives waits until a region has so many parcels.
func (m *meridian) arrives(region, rows string) {
	m.site.t.Helper()
	m.site.eventually("rows arrive in "+region, func() error {
		got, err := m.tryQuery("orders", region, "select count(*) from parcels")
		if err == nil && got != rows {
			err = fmt.Errorf("%s of %s: %w", got, rows, errNotYet)
		}
		return err
	})
}

// disturbances are the ways in which each activity fails; times is how often in the main story.
var disturbances = map[string]struct {
	before bool
	times  int
}{
	"reply lost":  {times: 2},
	"never begun": {before: true, times: 1},
}

// TestEveryActivityFails fails each activity of the registration list, after its work and before it, and compares the world with that
// of an undisturbed life. An activity that no story of this file comes to is an error: a new one needs a story.
func TestEveryActivityFails(t *testing.T) {
	ledgerFile()
	var mu sync.Mutex
	stories := map[string][]stage{}
	met := map[string]map[string]int{} // disturbance, activity
	note := func(name string, f *faults) {
		mu.Lock()
		defer mu.Unlock()
		if met[name] == nil {
			met[name] = map[string]int{}
		}
		for activity, n := range f.names {
			met[name][activity] += n
		}
	}
	t.Run("stories", func(t *testing.T) {
		t.Run("undisturbed", func(t *testing.T) {
			t.Parallel()
			out := tell(t)
			mu.Lock()
			defer mu.Unlock()
			stories[""] = out
		})
		for name, d := range disturbances {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFaults(d.before, d.times)
				out := tell(t, f)
				note(name, f)
				mu.Lock()
				defer mu.Unlock()
				stories[name] = out
			})
			t.Run("operator, "+name, func(t *testing.T) {
				t.Parallel()
				f := newFaults(d.before, 1)
				operate(t, f)
				note(name, f)
			})
		}
	})
	if t.Failed() || len(stories) <= len(disturbances) { // not all of them were asked for
		return
	}
	for name := range disturbances {
		for i, want := range stories[""] {
			if d := difference(want.world, stories[name][i].world); d != "" {
				t.Errorf("%s: the world once it is %s is not that of an undisturbed life:\n%s", name, want.name, d)
			}
		}
		for _, r := range activities.New(activities.Options{}).Registrations() {
			if met[name][r.Name] == 0 {
				t.Errorf("%s: no story here disturbed %s, so nothing is known of its repetition; tell one", name, r.Name)
			}
		}
	}
}

// operate tells what happens when an operator ends workflows in the middle, and when a link can never be made: what the main story never comes to.
func operate(t *testing.T, f *faults) {
	s := newSite(t)
	m := s.start(f)
	ctx := t.Context()
	installation, err := m.catalog.Installation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	terminate := func(id string) {
		t.Helper()
		if err := m.sdk.TerminateWorkflow(ctx, id, "", "test"); err != nil {
			t.Fatalf("terminating %s: %v", id, err)
		}
	}

	// The workflow of a region is ended while its terraform works: terraform goes on, the run fails, and the next one goes on from there.
	run := m.submit(orders("orders"))
	s.eventually("terraform works in istanbul", func() error {
		if !slices.ContainsFunc(s.terraforms("apply"), func(p proc) bool { return strings.HasSuffix(p.dir, "/istanbul") }) {
			return errNotYet
		}
		return nil
	})
	terminate(workflows.RegionID(installation, run.ID, "istanbul"))
	if v := m.wait(run.ID); v.Phase != stacks.PhaseFailed || v.Reason != "RegionFailed" || !strings.Contains(v.Message, "ended from outside") {
		t.Fatalf("run is %s (%s): %s, want failed by the end of its region's workflow", v.Phase, v.Reason, v.Message)
	}
	m.done(orders("orders"))
	m.atRest()
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})

	// Terraform is killed in the middle of a change: what it has left is settled, and the run goes on by itself.
	run = m.submit(orders("orders", `max_connections: "50"`, `max_connections: "55"`))
	s.eventually("a terraform is killed", func() error {
		if s.killAll("terraform apply") == 0 {
			return errNotYet
		}
		return nil
	})
	if v := m.wait(run.ID); v.Phase != stacks.PhaseDone {
		t.Fatalf("run %s is %s: %s\n%s", run.ID, v.Phase, v.Message, m.runLog(run.ID))
	}

	// A table that cannot be replicated: the link fails for good, until the table has a key.
	m.query("orders", "ankara", "create table keyless (id int)")
	v := m.wait(m.submit(orders("orders")).ID)
	if v.Phase != stacks.PhaseFailed || v.Reason != "LinkFailed" || !strings.Contains(v.Message, "keyless") {
		t.Fatalf("run is %s (%s): %s, want failed by the table without a key\n%s", v.Phase, v.Reason, v.Message, m.runLog(v.ID))
	}
	m.query("orders", "ankara", "alter table keyless add primary key (id)")
	m.done(orders("orders"))

	// The run's workflow is ended: its row says so, and the next run does what it did not do.
	release := f.hold(activities.NameApplyStack)
	run = m.submit(orders("orders", `max_connections: "50"`, `max_connections: "60"`))
	m.applies(workflows.RegionID(installation, run.ID, "ankara"))
	terminate(workflows.RunID(installation, run.ID))
	if v := m.wait(run.ID); v.Phase != stacks.PhaseFailed || v.Reason != "WorkflowEnded" {
		t.Fatalf("run is %s (%s), want failed because its workflow ended: %s", v.Phase, v.Reason, v.Message)
	}
	release()

	// The funnel is ended: another one finds the run at work, watches it, and takes the next one after it.
	release = f.hold(activities.NameApplyStack)
	run = m.submit(orders("orders", `max_connections: "50"`, `max_connections: "70"`))
	m.applies(workflows.RegionID(installation, run.ID, "ankara"))
	terminate(workflows.DatabaseID(installation, stacks.DefaultNamespace, "orders"))
	last := m.submit(orders("orders", `max_connections: "50"`, `max_connections: "80"`))
	s.eventually("the new funnel watches", func() error {
		return m.pending(workflows.DatabaseID(installation, stacks.DefaultNamespace, "orders"), activities.NameWatchRun)
	})
	release()
	for _, id := range []string{run.ID, last.ID} {
		if v := m.wait(id); v.Phase != stacks.PhaseDone {
			t.Fatalf("run %s is %s: %s\n%s", id, v.Phase, v.Message, m.runLog(id))
		}
	}
	if got := m.query("orders", "istanbul", "show max_connections"); got != "80" {
		t.Errorf("max_connections = %s, want 80 of the last run", got)
	}
	m.wantSlots("ankara", 1)
	if n := len(m.servers()); n != 2 {
		t.Errorf("%d servers run, want 2", n)
	}
	m.destroy("orders")
	m.nothingLeft()
	m.close()
}

// applies waits until the apply of a region is with a worker.
func (m *meridian) applies(workflow string) {
	m.site.t.Helper()
	m.site.eventually("an apply is with a worker", func() error { return m.pending(workflow, activities.NameApplyStack) })
}

// pending says nothing once an execution waits for an activity of this name.
func (m *meridian) pending(workflow, name string) error {
	d, err := m.sdk.DescribeWorkflowExecution(context.Background(), workflow, "")
	if err != nil {
		return err
	}
	for _, a := range d.GetPendingActivities() {
		if a.GetActivityType().GetName() == name {
			return nil
		}
	}
	return errNotYet
}
