package e2e

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

var benchMany = flag.Int("many", 10_000, "benchmarks: how many databases are in the catalog")

// BenchmarkManyDatabases makes a database in two regions, puts copies of all its rows beside it, lets the server make each one's schedule, and
// measures what they cost a server that has nothing to do: its start, its memory and CPU time, and how long a page, a search and one database take over HTTP.
func BenchmarkManyDatabases(b *testing.B) {
	t := &table{b: b, name: fmt.Sprintf("%d databases in two regions each", *benchMany+1)}
	for b.Loop() {
		s, m := newSite(b), newMeter(b)
		r := serveMany(b, s, m)
		began := time.Now()
		populate(b, s, "orders", *benchMany)
		b.Logf("filled in %s", time.Since(began).Round(time.Second))

		began = time.Now()
		r.server = s.serve(asUsersDo(s, m))
		s.patience = time.Hour
		s.eventually("every database has its schedule", func() error {
			if n := schedulesOf(b, s); n < *benchMany+1 {
				return fmt.Errorf("%d schedules", n)
			}
			return nil
		})
		t.row("until each has its schedule, in an empty Temporal", fmt.Sprintf("%.0f s", time.Since(began).Seconds()), "")
		r.server.stop()

		var starts []time.Duration
		for range *benchRounds {
			began := time.Now()
			r.server = s.serve(asUsersDo(s, m))
			if _, err := r.FindDatabases(context.Background(), orchestrator.DatabaseQuery{Limit: 1}); err != nil {
				b.Fatal(err)
			}
			starts = append(starts, time.Since(began))
			r.server.stop()
		}
		t.seconds("from the start to the first answer", "3.00 s", "start-s", starts)

		r.server = s.serve(asUsersDo(s, m))
		r.pause(b, *benchIdle) // what a start does is over
		before, _ := readStat(r.cmd.Process.Pid)
		r.pause(b, *benchIdle)
		after, ok := readStat(r.cmd.Process.Pid)
		if !ok {
			b.Fatal("the server cannot be looked at")
		}
		rss, _ := memory(b, r.cmd.Process.Pid)
		t.row(fmt.Sprintf("RSS %s after the start", 2**benchIdle), fmt.Sprintf("%d MB", rss>>20), "")
		b.ReportMetric(float64(rss>>20), "MB")
		t.row("CPU time of the idle server", fmt.Sprintf("%.1f %% of a core", 100*(after.own-before.own).Seconds()/benchIdle.Seconds()), "")
		r.ask(b, t)
		r.server.stop()
	}
	t.print()
}

// serveMany makes the database that is copied, with one check for drift, and stops the server. A check comes once in thirty days: an hour, the
// default, is nothing that one machine keeps with ten thousand of them.
func serveMany(b *testing.B, s *site, m *meter) *running {
	b.Helper()
	ctx := context.Background()
	r := &running{server: s.serve(asUsersDo(s, m)), meter: m, rows: s.look()}
	spec := orders("orders", "  deletion: {protect: false}", "  deletion: {protect: false}\n  drift: {every: 720h}")
	res, err := r.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "orders.yaml", Text: spec}}, Yes: true, Actor: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	r.wantAllDone(res.Runs)
	check, err := r.CheckDrift(ctx, stacks.DefaultNamespace, "orders", "bench")
	if err != nil {
		b.Fatal(err)
	}
	s.eventually("the check has ended", func() error {
		v, err := r.DriftCheck(ctx, stacks.DefaultNamespace, "orders", check.ID)
		if err == nil && v.EndedAt == nil {
			err = errNotYet
		}
		return err
	})
	r.quiet()
	r.server.stop()
	if err := r.rows.store.Close(); err != nil { // the last one folds its log into the file
		b.Fatal(err)
	}
	return r
}

// schedulesOf counts the schedules in Temporal's file.
func schedulesOf(b *testing.B, s *site) (n int) {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, "temporal.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err == nil {
		defer db.Close()
		err = db.QueryRow("SELECT count(*) FROM current_executions WHERE workflow_id LIKE 'temporal-sys-scheduler:%'").Scan(&n)
	}
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// pause leaves the server alone.
func (r *running) pause(b *testing.B, d time.Duration) {
	b.Helper()
	select {
	case <-time.After(d):
	case <-r.ended:
		b.Fatal("the server ended")
	}
}

// ask times what people ask of a list.
func (r *running) ask(b *testing.B, t *table) {
	b.Helper()
	ctx := context.Background()
	for _, ask := range []struct {
		name, unit string
		do         func(*api.HTTPClient, int) error
	}{
		{"first page of 100", "first-page", page(func(int) orchestrator.DatabaseQuery { return orchestrator.DatabaseQuery{Limit: 100} }, 100)},
		{"a page of 100 anywhere", "page", page(func(n int) orchestrator.DatabaseQuery {
			return orchestrator.DatabaseQuery{Limit: 100, After: fmt.Sprintf("default/d%05d", n*37%(*benchMany-100))}
		}, 100)},
		{"search that finds few", "search", page(func(n int) orchestrator.DatabaseQuery {
			return orchestrator.DatabaseQuery{Limit: 100, Search: fmt.Sprintf("%05d", n*41%*benchMany)}
		}, 1)},
		{"search that finds many", "search-many", page(func(int) orchestrator.DatabaseQuery { return orchestrator.DatabaseQuery{Limit: 100, Search: "d0"} }, 100)},
		{"search that finds none", "search-none", page(func(int) orchestrator.DatabaseQuery { return orchestrator.DatabaseQuery{Limit: 100, Search: "nowhere"} }, 0)},
		{"one database", "describe", func(c *api.HTTPClient, n int) error {
			_, err := c.Database(ctx, stacks.DefaultNamespace, fmt.Sprintf("d%05d", n*43%*benchMany))
			return err
		}},
		{"the newest 100 runs", "runs", func(c *api.HTTPClient, _ int) error {
			got, err := c.Runs(ctx, stacks.DefaultNamespace, "", 100)
			if err == nil && len(got) < 100 {
				err = fmt.Errorf("%d runs, want 100", len(got))
			}
			return err
		}},
	} {
		var took []time.Duration
		for n := range *benchSamples {
			began := time.Now()
			if err := ask.do(r.HTTPClient, n); err != nil {
				b.Fatalf("%s: %v", ask.name, err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
		t.row(ask.name+fmt.Sprintf(", p50 and p99 of %d", len(took)), fmt.Sprintf("%.1f ms, %.1f ms", p50.Seconds()*1000, p99.Seconds()*1000), "p99 50 ms")
		b.ReportMetric(p99.Seconds()*1000, "ms-p99-"+ask.unit)
	}
}

// page asks for a page, and wants at least so many databases on it.
func page(of func(n int) orchestrator.DatabaseQuery, least int) func(*api.HTTPClient, int) error {
	return func(c *api.HTTPClient, n int) error {
		got, err := c.FindDatabases(context.Background(), of(n))
		if err == nil && len(got) < least {
			err = fmt.Errorf("%d databases, want %d", len(got), least)
		}
		return err
	}
}
