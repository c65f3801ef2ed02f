package temporal

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/persistence/store/storetest"
	"meridian/persistence/temporal/astratest"
	"meridian/persistence/temporal/cassandratest"
)

var (
	storeRounds = flag.Int("rounds", 5, "benchmarks: how often the stores take turns")
	storeRuns   = flag.Int("runs", 100, "benchmarks: how many runs a turn has")
	storeAtOnce = flag.Int("at-once", 16, "benchmarks: how many of them go on at once")
)

const runQueue = "runs"

// funnelFlow and runFlow ask of Temporal what a run of one region asks, with steps that do nothing: a funnel that is woken by a signal, a
// child that moves on by four local activities, and plans, applies and looks by three others.
func funnelFlow(ctx workflow.Context, n int) error {
	workflow.GetSignalChannel(ctx, "wake").Receive(ctx, nil)
	return workflow.ExecuteChildWorkflow(ctx, runFlow, n).Get(ctx, nil)
}

func runFlow(ctx workflow.Context, n int) error {
	light := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 10 * time.Second})
	heavy := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for step := range 4 {
		if err := workflow.ExecuteLocalActivity(light, nothing, n).Get(ctx, nil); err != nil {
			return err
		}
		if step == 3 {
			break
		}
		if err := workflow.ExecuteActivity(heavy, nothing, n).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func nothing(context.Context, int) error { return nil }

// contender is a store that takes part.
type contender struct {
	name   string
	client client.Client
	rates  []float64
	took   []time.Duration
}

// BenchmarkStores lets Temporal's stores take turns, all in this process, and prints runs per second and how long a run takes.
func BenchmarkStores(b *testing.B) {
	all := []*contender{{name: "SQLite"}, {name: "PostgreSQL"}, {name: "Cassandra, lists in PostgreSQL"}, {name: "Astra's look-alike, lists in SQLite"}}
	db := storetest.Start(b)
	synced(b, db.URL)
	onPostgres := onPostgres(b, db.URL)
	cassandra := onCassandra(cassandratest.Start(b, "dc1", true, nil))
	cassandra.Shards = 0
	cassandra.Visibility = &Visibility{Postgres: &Postgres{URL: onPostgres.Postgres.URL, Password: onPostgres.Postgres.Password, Schema: "lists"}}
	b.Setenv("MERIDIAN_ASTRA_TOKEN", astratest.Token)
	astra := Settings{Store: StoreAstra, Astra: &Astra{Bundle: astratest.Start(b).Bundle, Token: &Secret{Env: "MERIDIAN_ASTRA_TOKEN"}}}
	for i, s := range []Settings{{}, onPostgres, cassandra, astra} {
		c := clientOf(b, startOn(b, b.TempDir(), s))
		w := worker.New(c, runQueue, worker.Options{})
		w.RegisterWorkflow(funnelFlow)
		w.RegisterWorkflow(runFlow)
		w.RegisterActivity(nothing)
		if err := w.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(w.Stop)
		all[i].client = c
		all[i].turn(b, -1, *storeAtOnce) // what a first turn pays for is no part of it
		all[i].rates, all[i].took = nil, nil
	}
	b.ResetTimer()
	for b.Loop() {
		for round := range *storeRounds {
			for i := range all {
				all[(round+i)%len(all)].turn(b, round, *storeRuns)
			}
		}
	}
	fmt.Printf("\n| Temporal on | runs/s, median of %d (range) | a run: p50 | p99 of %d |\n| --- | --- | --- | --- |\n", *storeRounds, *storeRounds**storeRuns)
	for _, c := range all {
		slices.Sort(c.rates)
		slices.Sort(c.took)
		fmt.Printf("| %s | %.1f (%.1f to %.1f) | %.2f s | %.2f s |\n", c.name, c.rates[len(c.rates)/2], c.rates[0], c.rates[len(c.rates)-1],
			c.took[len(c.took)/2].Seconds(), c.took[len(c.took)*99/100].Seconds())
	}
}

// synced makes a server of tests promise what one of users does.
func synced(b *testing.B, where string) {
	b.Helper()
	db, err := sql.Open("pgx", where)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, text := range []string{"ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()"} {
		if _, err := db.Exec(text); err != nil {
			b.Fatal(err)
		}
	}
	eventually(b, "the server syncs", func() bool {
		var on string
		return db.QueryRow("SHOW fsync").Scan(&on) == nil && on == "on"
	})
}

// turn carries out some runs, so many at once.
func (c *contender) turn(b *testing.B, round, runs int) {
	b.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Minute)
	defer stop()
	next := make(chan int)
	var mu sync.Mutex
	var going sync.WaitGroup
	began := time.Now()
	for range *storeAtOnce {
		going.Go(func() {
			for n := range next {
				began := time.Now()
				err := c.run(ctx, fmt.Sprintf("%d/%d", round, n))
				mu.Lock()
				c.took = append(c.took, time.Since(began))
				mu.Unlock()
				if err != nil {
					fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
					b.Fail()
				}
			}
		})
	}
	for n := range runs {
		next <- n
	}
	close(next)
	going.Wait()
	c.rates = append(c.rates, float64(runs)/time.Since(began).Seconds())
}

func (c *contender) run(ctx context.Context, id string) error {
	run, err := c.client.SignalWithStartWorkflow(ctx, "funnel/"+id, "wake", nil, client.StartWorkflowOptions{TaskQueue: runQueue}, funnelFlow, 1)
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}
