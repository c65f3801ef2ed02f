package orchestrator

import (
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
)

// Workers run workflows and activities in this process: one worker for workflows and light steps, and one per location for terraform.
type Workers struct {
	temporal     client.Client
	installation string
	activities   *activities.Activities
	interceptors []interceptor.WorkerInterceptor

	mu        sync.Mutex
	stopped   bool
	main      worker.Worker
	locations map[string]worker.Worker
	identity  string
	failed    chan struct{}
	fail      sync.Once
	err       error
}

// leaveTimeout is how long a worker that stops lets what runs in it say so to Temporal: an attached step detaches at once, and its next
// attempt need not wait for a heartbeat timeout.
const leaveTimeout = time.Second

// Attached activities cost nothing but a poll: what limits terraform is the runner's launch tokens, not the number of activities.
const attachedActivities = 200

// lightActivities bounds how many databases are asked at once.
const lightActivities = 100

// StartWorkers registers everything that runs, starts the main worker, and leaves the locations to EnsureLocation. Interceptors come
// after the one that keeps error texts out of histories.
func StartWorkers(c client.Client, installation string, a *activities.Activities, interceptors ...interceptor.WorkerInterceptor) (*Workers, error) {
	w := &Workers{
		temporal: c, installation: installation, activities: a, locations: map[string]worker.Worker{}, failed: make(chan struct{}),
		interceptors: append([]interceptor.WorkerInterceptor{a.Interceptor()}, interceptors...),
	}
	who, err := identify(a)
	if err != nil {
		return nil, fmt.Errorf("who this worker is: %w", err)
	}
	w.identity = who.String()
	worker.SetBinaryChecksum("meridian") // else the SDK reads the whole binary at each start; versions are told apart by the contract
	w.main = worker.New(c, workflows.Queue(installation), worker.Options{
		MaxConcurrentActivityExecutionSize: lightActivities,
		Interceptors:                       w.interceptors,
		WorkerStopTimeout:                  leaveTimeout,
		OnFatalError:                       w.failWith,
		Identity:                           w.identity,
	})
	workflows.Workflows{Timing: a.Timing}.Register(w.main)
	a.Register(w.main, false)
	if err := w.main.Start(); err != nil {
		return nil, fmt.Errorf("starting the worker: %w", err)
	}
	return w, nil
}

// EnsureLocation starts the worker of a location's terraform steps, once. Without workers in this process there is nothing to start.
func (w *Workers) EnsureLocation(location string) error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.locations[location] != nil {
		return nil
	}
	tw := worker.New(w.temporal, workflows.TerraformQueue(w.installation, location), worker.Options{
		DisableWorkflowWorker:              true,
		MaxConcurrentActivityExecutionSize: attachedActivities,
		Interceptors:                       w.interceptors,
		WorkerStopTimeout:                  max(leaveTimeout, w.activities.Drain),
		OnFatalError:                       w.failWith,
		Identity:                           w.identity,
	})
	w.activities.Register(tw, true)
	if err := tw.Start(); err != nil {
		return fmt.Errorf("starting the worker of location %s: %w", location, err)
	}
	w.locations[location] = tw
	return nil
}

// Failed is closed when Temporal has refused a worker for good; Err says why.
func (w *Workers) Failed() <-chan struct{} { return w.failed }

// Err is the error that Failed announces, nil before.
func (w *Workers) Err() error {
	select {
	case <-w.failed:
		return w.err
	default:
		return nil
	}
}

func (w *Workers) failWith(err error) {
	w.fail.Do(func() {
		w.err = err
		close(w.failed)
	})
}

// Stop stops polling and detaches what is attached, or waits for it as long as its activities drain; runners go on. Without workers it
// does nothing.
func (w *Workers) Stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	var wg sync.WaitGroup
	for _, l := range w.locations {
		wg.Add(1)
		go func() { defer wg.Done(); l.Stop() }()
	}
	w.main.Stop()
	wg.Wait()
}
