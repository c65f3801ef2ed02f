package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/persistence/catalog"
)

// BenchmarkStart times from the exec of `meridian server` to the answer to a first submission, on a new data directory and on one that
// was used before.
func BenchmarkStart(b *testing.B) {
	m := newMeter(b)
	var fresh, again []time.Duration
	start := func(s *site) time.Duration {
		began := time.Now()
		r := &running{server: s.serve(asUsersDo(s, m)), meter: m}
		runs := r.submit([]string{"first"})
		took := time.Since(began)
		r.rows = s.look()
		r.wantAllDone(runs)
		r.server.stop()
		return took
	}
	for b.Loop() {
		for range *benchRounds {
			s := newSite(b)
			fresh = append(fresh, start(s))
			again = append(again, start(s))
			for _, pid := range s.processes() { // its database has done its duty
				_ = kill(pid)
			}
		}
	}
	t := &table{b: b, name: "from the start of the server to the first run accepted"}
	t.seconds("new data directory", "1.00 s", "fresh-s", fresh)
	t.seconds("used data directory", "1.00 s", "again-s", again)
	t.print()
}

// BenchmarkMemory reads the memory of a server that is left alone: after its start, and after its first run.
func BenchmarkMemory(b *testing.B) {
	t := &table{b: b, name: fmt.Sprintf("memory of the server, left alone for %s", *benchIdle)}
	for b.Loop() {
		s, m := newSite(b), newMeter(b)
		r := &running{server: s.serve(asUsersDo(s, m)), meter: m, rows: s.look()}
		for _, after := range []string{"its start", "a run"} {
			if after == "a run" {
				r.wantAllDone(r.submit([]string{"first"}))
			}
			select {
			case <-time.After(*benchIdle):
			case <-r.ended:
				b.Fatal("the server ended")
			}
			rss, pss := memory(b, r.cmd.Process.Pid)
			unit := strings.ReplaceAll(after, " ", "-")
			t.row("RSS after "+after, fmt.Sprintf("%d MB", rss>>20), "200 MB")
			t.row("PSS after "+after, fmt.Sprintf("%d MB", pss>>20), "")
			b.ReportMetric(float64(rss>>20), "MB-after-"+unit)
		}
	}
	t.print()
}

// memory reads the resident and the proportional size of a process, in bytes.
func memory(t testing.TB, pid int) (rss, pss int64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kb, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		switch fields[0] {
		case "Rss:":
			rss = kb << 10
		case "Pss:":
			pss = kb << 10
		}
	}
	if rss == 0 || pss == 0 {
		t.Fatalf("no sizes in %s", text)
	}
	return rss, pss
}

// BenchmarkHistory counts the events of a two-region apply with its link, without and with an approval.
func BenchmarkHistory(b *testing.B) {
	t := &table{b: b, name: "history events of a two-region apply"}
	for b.Loop() {
		s := newSite(b)
		m := s.start()
		m.done(orders("orders"))
		all, largest := m.events()
		v := m.wait(m.submitWithout(orders("bills")).ID)
		m.approve(v)
		m.wait(v.ID)
		both, largestOfBoth := m.events()
		t.row("all executions", strconv.Itoa(all), "100")
		t.row("all executions, with an approval", strconv.Itoa(both-all), "125")
		t.row("the largest execution", strconv.Itoa(max(largest, largestOfBoth)), "60")
		b.ReportMetric(float64(all), "events")
		b.ReportMetric(float64(both-all), "events-approved")
		m.close()
	}
	t.print()
}

// rest is long enough for the workflows of an ended run to close.
const rest = 300 * time.Millisecond

// BenchmarkLatency times from the commit of a submission, as the run's row has it, to the exec of terraform, as the meter sees it:
// submissions that change nothing, to a database at rest and to one whose last run has ended this moment; then new databases.
func BenchmarkLatency(b *testing.B) {
	r := serveMeasured(b, newSite(b))
	r.wantAllDone(r.submit([]string{"first"}))
	var rested, busy, fresh []time.Duration
	for b.Loop() {
		for range *benchSamples {
			<-time.After(rest)
			rested = append(rested, r.latency("first"))
		}
		for range max(1, *benchSamples/2) {
			busy = append(busy, r.latency("first"))
		}
		for i := range max(1, *benchSamples/10) {
			name := fmt.Sprintf("new-%d", i)
			fresh = append(fresh, r.latency(name))
			r.remove([]string{name})
		}
	}
	t := &table{b: b, name: "from the commit of a submission to terraform running"}
	for _, of := range []struct {
		name, unit string
		values     []time.Duration
	}{{"at rest", "rested", rested}, {"right after its last run", "busy", busy}, {"a new database", "new", fresh}} {
		for _, q := range []struct {
			name string
			q    float64
			goal string
		}{{"p50", 0.50, "100 ms"}, {"p99", 0.99, "300 ms"}} {
			v := quantile(of.values, q.q)
			t.row(fmt.Sprintf("%s, %s of %d", of.name, q.name, len(of.values)), fmt.Sprintf("%d ms", v.Milliseconds()), q.goal)
			b.ReportMetric(float64(v.Milliseconds()), of.unit+"-"+q.name+"-ms")
		}
	}
	t.print()
}

// latency submits one database, waits for the end of its run, and returns how long terraform took to start.
func (r *running) latency(name string) time.Duration {
	r.site.t.Helper()
	before := len(r.meter.launches())
	runs := r.submit([]string{name})
	r.wantAllDone(runs)
	run, err := r.rows.catalog.Run(context.Background(), runs[0].ID)
	if err != nil {
		r.site.t.Fatal(err)
	}
	return r.firstPlan(run, before).Sub(run.CreatedAt)
}

// firstPlan is when the plan of a run was started; only launches after the first so many are looked at.
func (r *running) firstPlan(run catalog.Run, after int) time.Time {
	r.site.t.Helper()
	list := r.meter.launches()[after:]
	i := slices.IndexFunc(list, func(l launched) bool {
		return l.verb() == "plan" && strings.Contains(l.Dir, "/"+run.Name+"-"+run.Incarnation+"/")
	})
	if i < 0 {
		r.site.t.Fatalf("run %s started no plan: %+v", run.ID, list)
	}
	return list[i].At
}
