package workflows

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// world stands in for rows, terraform and databases: canned answers under the real names of the activities.
type world struct {
	mu      sync.Mutex
	runs    []*story
	answers map[string]answer
	asked   []string
	seen    []workflow.Execution
	// turn, where set, makes what regions do in parallel happen one after another.
	turn func(ctx context.Context, region string) error
	// drift is what a check has to look at.
	drift activities.DriftWork
}

// story is the row of one run: the phases that it goes through, forward only, each with its work.
type story struct {
	run   string
	kind  stacks.RunKind
	steps []activities.StepResult
	at    int
	yes   bool
}

// answer is what an activity says on one subject. Without one, it says Go at once.
type answer struct {
	// stop says Go: false; the row would say why.
	stop bool
	// first ends the first attempt, err every attempt.
	first, err error
	// hold keeps an attempt going until it is closed or the attempt is cancelled.
	hold chan struct{}
	// then is called with the number of the attempt when the activity is asked.
	then func(attempt int)
}

// What activities say of trouble, as activities.Interceptor puts it into histories.
var (
	errPending   = temporal.NewApplicationError("not ready yet", activities.TypePending)
	errTransient = temporal.NewApplicationError("transient trouble: see the run's log", activities.TypeTransient)
	errPermanent = temporal.NewNonRetryableApplicationError("it will not heal by itself: see the run's log", activities.TypePermanent, nil)
)

func (s *story) phase() stacks.Phase { return s.steps[s.at].Phase }

// parked reports whether a run waits for a yes that is not there.
func (s *story) parked() bool { return s.phase() == stacks.PhaseAwaiting && !s.yes }

// end moves an open run to its end.
func (s *story) end(p stacks.Phase) {
	if !s.phase().Ended() {
		s.steps = append(s.steps[:s.at+1], activities.StepResult{Phase: p})
		s.at++
	}
}

// find returns a run's row; an unknown run is a defect of a test.
func (w *world) find(run string) *story {
	i := slices.IndexFunc(w.runs, func(s *story) bool { return s.run == run })
	return w.runs[i]
}

func (w *world) submit(s *story) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, s)
}

func (w *world) approve(run string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.find(run).yes = true
}

func (w *world) end(run string, p stacks.Phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.find(run).end(p)
}

func (w *world) phaseOf(run string) stacks.Phase {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.find(run).phase()
}

// log is what was asked so far, in order, like "PlanStack ankara".
func (w *world) log() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// count is how often something was asked.
func (w *world) count(key string) int {
	n := 0
	for _, k := range w.log() {
		if k == key {
			n++
		}
	}
	return n
}

// note writes down that an activity was asked and returns its answer and the number of its attempts so far.
func (w *world) note(ctx context.Context, contract int, key string) (answer, int, error) {
	a, n := w.add(ctx, key)
	if a.then != nil {
		a.then(n)
	}
	if contract != activities.ContractVersion {
		return a, n, temporal.NewNonRetryableApplicationError(fmt.Sprintf("%s has contract %d", key, contract), "Contract", nil)
	}
	return a, n, nil
}

func (w *world) add(ctx context.Context, key string) (answer, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, key)
	n := 0
	for _, k := range w.asked {
		if k == key {
			n++
		}
	}
	if e := activity.GetInfo(ctx).WorkflowExecution; !slices.Contains(w.seen, e) {
		w.seen = append(w.seen, e)
	}
	return w.answers[key], n
}

// do answers for an activity on a region or a link.
func (w *world) do(ctx context.Context, contract int, name, part string) (activities.RegionResult, error) {
	if w.turn != nil {
		if err := w.turn(ctx, part); err != nil {
			return activities.RegionResult{}, err
		}
	}
	a, n, err := w.note(ctx, contract, name+" "+part)
	if err != nil {
		return activities.RegionResult{}, err
	}
	if a.hold != nil {
		if err := held(ctx, a.hold); err != nil {
			return activities.RegionResult{}, err
		}
	}
	if a.first != nil && n == 1 {
		return activities.RegionResult{}, a.first
	}
	if a.err != nil {
		return activities.RegionResult{}, a.err
	}
	return activities.RegionResult{Go: !a.stop}, nil
}

// held works, heartbeating, until it is let go or cancelled.
func held(ctx context.Context, until <-chan struct{}) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-until:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}

func (w *world) nextRun(ctx context.Context, in activities.DatabaseInput) (activities.NextRunResult, error) {
	next := w.next()
	_, _, err := w.note(ctx, in.Contract, activities.NameNextRun)
	return next, err
}

func (w *world) next() activities.NextRunResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.runs {
		if s.kind != stacks.RunCheck && !s.phase().Ended() && !s.parked() {
			return activities.NextRunResult{Run: s.run, Kind: s.kind}
		}
	}
	return activities.NextRunResult{}
}

func (w *world) step(ctx context.Context, in activities.StepInput) (activities.StepResult, error) {
	if _, _, err := w.note(ctx, in.Contract, strings.TrimSpace("Step "+string(in.Done))); err != nil {
		return activities.StepResult{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.find(in.Run)
	if in.Done != "" && in.Done == s.phase() {
		s.at++
	}
	if s.phase() == stacks.PhaseAwaiting && s.yes {
		s.at++
	}
	return s.steps[s.at], nil
}

func (w *world) endRun(ctx context.Context, in activities.EndRunInput) error {
	if _, _, err := w.note(ctx, in.Contract, "EndRun "+in.Run+" "+in.Reason); err != nil {
		return err
	}
	w.end(in.Run, stacks.PhaseFailed)
	return nil
}

// watchRun waits, like the real one, until the run's row has ended or awaits a yes.
func (w *world) watchRun(ctx context.Context, in activities.WatchRunInput) error {
	a, n, err := w.note(ctx, in.Contract, "WatchRun "+in.Run)
	switch {
	case err != nil:
		return err
	case a.first != nil && n == 1:
		return a.first
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if p := w.phaseOf(in.Run); p.Ended() || p == stacks.PhaseAwaiting {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}

// functions are the canned activities under their names; TestFakesAreLikeTheActivities compares them with the real ones.
func (w *world) functions() map[string]any {
	out := map[string]any{
		activities.NameNextRun: w.nextRun, activities.NameStep: w.step, activities.NameEndRun: w.endRun, activities.NameWatchRun: w.watchRun,
		activities.NameFailRegion: func(ctx context.Context, in activities.FailRegionInput) error {
			part := in.Region
			if in.Ended {
				part += " ended"
			}
			_, err := w.do(ctx, in.Contract, activities.NameFailRegion, part)
			return err
		},
		activities.NameFailLink: func(ctx context.Context, in activities.LinkInput) error {
			_, err := w.do(ctx, in.Contract, activities.NameFailLink, in.Link)
			return err
		},
	}
	for _, name := range []string{
		activities.NameSettleStack, activities.NamePlanStack, activities.NameCheckStack, activities.NameApplyStack, activities.NameCheckReady,
		activities.NameEnsureObjects, activities.NameRemoveRegion,
	} {
		out[name] = func(ctx context.Context, in activities.RegionInput) (activities.RegionResult, error) {
			return w.do(ctx, in.Contract, name, in.Region)
		}
	}
	out[activities.NameBeginDrift] = func(ctx context.Context, in activities.DriftInput) (activities.DriftWork, error) {
		_, _, err := w.note(ctx, in.Contract, activities.NameBeginDrift+" "+in.Reason)
		return w.drift, err
	}
	for _, name := range []string{activities.NameDriftStack, activities.NameDriftInside, activities.NameDriftLink, activities.NameEndDrift} {
		out[name] = func(ctx context.Context, in activities.DriftPartInput) error {
			_, err := w.do(ctx, in.Contract, name, in.Part)
			return err
		}
	}
	for _, name := range []string{activities.NameEnsureLink, activities.NameCheckLink, activities.NameRemoveLink} {
		out[name] = func(ctx context.Context, in activities.LinkInput) (activities.RegionResult, error) {
			return w.do(ctx, in.Contract, name, in.Link)
		}
	}
	return out
}

// register registers the canned activities for which want says yes, under the real names.
func (w *world) register(on worker.ActivityRegistry, want func(activities.Registration) bool) {
	functions := w.functions()
	for _, r := range activities.New(activities.Options{}).Registrations() {
		if want(r) {
			on.RegisterActivityWithOptions(functions[r.Name], activity.RegisterOptions{Name: r.Name})
		}
	}
}

// eventually polls until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never came: %s", what)
		}
	}
}
