package e2e

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

var benchMany = flag.Int("many", 10_000, "benchmarks: how many databases are in the catalog")

// BenchmarkManyDatabases puts databases into the catalog, each applied once and at rest, and measures what they cost a server that has nothing
// to do: its start, its memory, and how long a first page, a later page, a search and one database take over HTTP.
func BenchmarkManyDatabases(b *testing.B) {
	t := &table{b: b, name: fmt.Sprintf("a catalog of %d databases", *benchMany)}
	for b.Loop() {
		s, m := newSite(b), newMeter(b)
		r := &running{server: s.serve(asUsersDo(s, m), unchecked), meter: m, rows: s.look()}
		r.wantAllDone(r.submit([]string{"orders"}))
		r.server.stop()
		copies(b, r.rows, *benchMany)

		var starts []time.Duration
		for range *benchRounds {
			began := time.Now()
			r.server = s.serve(asUsersDo(s, m), unchecked)
			if _, err := r.FindDatabases(context.Background(), orchestrator.DatabaseQuery{Limit: 1}); err != nil {
				b.Fatal(err)
			}
			starts = append(starts, time.Since(began))
			r.server.stop()
		}
		t.seconds("from the start to the first answer", "3.00 s", "start-s", starts)

		r.server = s.serve(asUsersDo(s, m), unchecked)
		select {
		case <-time.After(*benchIdle):
		case <-r.ended:
			b.Fatal("the server ended")
		}
		rss, _ := memory(b, r.cmd.Process.Pid)
		t.row(fmt.Sprintf("RSS %s after the start", *benchIdle), fmt.Sprintf("%d MB", rss>>20), "")
		for _, ask := range []struct {
			name, unit string
			do         func(*api.HTTPClient, int) error
		}{
			{"first page of 100", "first-page", page(func(int) orchestrator.DatabaseQuery { return orchestrator.DatabaseQuery{Limit: 100} }, 100)},
			{"a page of 100 in the middle", "page", page(func(n int) orchestrator.DatabaseQuery {
				return orchestrator.DatabaseQuery{Limit: 100, After: fmt.Sprintf("default/d%05d", (n*37)%(*benchMany-200))}
			}, 100)},
			{"search that finds few", "search", page(func(n int) orchestrator.DatabaseQuery {
				return orchestrator.DatabaseQuery{Limit: 100, Search: fmt.Sprintf("%05d", (n*41)%*benchMany)}
			}, 1)},
			{"search that finds none", "search-none", page(func(int) orchestrator.DatabaseQuery { return orchestrator.DatabaseQuery{Limit: 100, Search: "nowhere"} }, 0)},
			{"one database", "describe", func(c *api.HTTPClient, n int) error {
				_, err := c.Database(context.Background(), "default", fmt.Sprintf("d%05d", (n*43)%*benchMany))
				return err
			}},
		} {
			var took []time.Duration
			for n := range *benchSamples {
				began := time.Now()
				if err := ask.do(r.HTTPClient, n); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
			t.row(ask.name+", p50 and p99", fmt.Sprintf("%.1f ms, %.1f ms", p50.Seconds()*1000, p99.Seconds()*1000), "p99 50 ms")
			b.ReportMetric(p99.Seconds()*1000, "ms-p99-"+ask.unit)
		}
		r.server.stop()
		for _, pid := range s.processes() { // its one real database has done its duty
			_ = kill(pid)
		}
	}
	t.print()
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

// unchecked switches off checks for drift that come by themselves: ten thousand an hour are nothing that one machine carries.
func unchecked(cmd *exec.Cmd) {
	cmd.Env = append(cmd.Env, terraform.EnvTiming+`={"DriftEvery":0}`)
}

// copies puts so many databases beside the one that is there, each with a revision, an endpoint, a head, and a run that is done.
func copies(b *testing.B, m *meridian, n int) {
	b.Helper()
	ctx := context.Background()
	incarnation := func(i int) string { return fmt.Sprintf("z%07d", i) }
	first, err := m.catalog.Database(ctx, stacks.DefaultNamespace, "orders")
	if err != nil {
		b.Fatal(err)
	}
	err = m.store.Write(ctx, func(tx *store.Tx) error {
		for _, sql := range []string{
			`INSERT INTO databases (incarnation, namespace, name, revision, applied, active_run, last_run, phase, message, unmanaged, created_at, updated_at)
				SELECT ?, namespace, ?, revision, applied, '', 1, phase, message, unmanaged, created_at, updated_at FROM databases WHERE incarnation = ?`,
			`INSERT INTO revisions (incarnation, number, source, effective, draft, replace_used, created_at, actor)
				SELECT ?, number, source, replace(effective, '"orders"', '"' || ? || '"'), draft, replace_used, created_at, actor FROM revisions WHERE incarnation = ?`,
			`INSERT INTO runs (incarnation, name, id, namespace, number, kind, revision, phase, yes, actor, created_at, moved_at, ended_at)
				SELECT ?1, ?2, ?1 || '-1', namespace, 1, kind, revision, phase, yes, actor, created_at, moved_at, ended_at FROM runs WHERE incarnation = ?3`,
			`INSERT INTO heads (incarnation, stack, epoch, fence, attempt, status, step, run, desired, serial, lineage, shipped, step_base, site, runner_pid, boot_id, beat_at, terraform, template)
				SELECT ?1, 'default/' || ?2 || '/' || ?1 || '/ankara', epoch, fence, attempt, status, step, run, desired, serial, lineage, shipped, step_base, site, runner_pid, boot_id, beat_at, terraform, template
				FROM heads WHERE incarnation = ?3`,
		} {
			for i := range n {
				if _, err := tx.Exec(sql, incarnation(i), fmt.Sprintf("d%05d", i), first.Incarnation); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: fmt.Sprintf("d%05d", i), Incarnation: incarnation(i), Region: "ankara"}
		if err := m.catalog.PutEndpoint(ctx, id, stacks.Endpoint{Host: "127.0.0.1", Port: 5432, Database: "app", User: "app"}); err != nil {
			b.Fatal(err)
		}
	}
}
