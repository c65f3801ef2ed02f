package temporal

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// BenchmarkStartToActivity measures from the call that starts a workflow to the first line of its activity, on a file.
func BenchmarkStartToActivity(b *testing.B) {
	s, err := Start(context.Background(), Options{Dir: b.TempDir(), Logger: logTo(os.Stderr)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	c, err := s.Client()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	running := make(chan time.Time, 1)
	w := worker.New(c, queue, worker.Options{})
	w.RegisterActivity(greet)
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Second})
		return workflow.ExecuteActivity(ctx, "arrive").Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "arriveFlow"})
	w.RegisterActivityWithOptions(func(context.Context) error { running <- time.Now(); return nil }, activity.RegisterOptions{Name: "arrive"})
	if err := w.Start(); err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	var n atomic.Int64
	for name, eager := range map[string]bool{"plain": false, "eager": true} {
		b.Run(name, func(b *testing.B) {
			var total time.Duration
			for b.Loop() {
				began := time.Now()
				run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{
					ID: fmt.Sprint("arrive/", n.Add(1)), TaskQueue: queue, EnableEagerStart: eager,
				}, "arriveFlow")
				if err != nil {
					b.Fatal(err)
				}
				total += (<-running).Sub(began)
				if err := run.Get(context.Background(), nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(total.Microseconds())/float64(b.N)/1000, "ms/activity")
		})
	}
}

// BenchmarkThroughput measures workflows of one activity each, 50 at a time, on a file.
func BenchmarkThroughput(b *testing.B) {
	s, err := Start(context.Background(), Options{Dir: b.TempDir(), Logger: logTo(os.Stderr)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	c, err := s.Client()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(greetFlow)
	w.RegisterActivity(greet)
	if err := w.Start(); err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	var n atomic.Int64
	b.SetParallelism(25)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: fmt.Sprint("greet/", n.Add(1)), TaskQueue: queue}, greetFlow, "you")
			if err != nil {
				b.Error(err)
				return
			}
			if err := run.Get(context.Background(), nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "workflows/s")
}
