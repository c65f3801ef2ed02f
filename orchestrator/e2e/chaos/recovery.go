package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Times are what was measured of one kind of death.
type Times struct {
	// Death says who was killed, Until what is counted to, and Bound what was promised.
	Death, Until, Bound string
	Took                []time.Duration
}

// String is a row of the table in docs/reliability.md.
func (t Times) String() string {
	slices.Sort(t.Took)
	if len(t.Took) == 0 {
		return fmt.Sprintf("| %s | %s | %s | 0 | | |", t.Death, t.Until, t.Bound)
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %.1f | %.1f |", t.Death, t.Until, t.Bound, len(t.Took),
		quantile(t.Took, 50).Seconds(), quantile(t.Took, 95).Seconds())
}

// quantile is the smallest of sorted times that so many of a hundred do not exceed.
func quantile(sorted []time.Duration, of int) time.Duration {
	return sorted[max(0, (len(sorted)*of+99)/100-1)]
}

// death is one kind of death: who dies, when, and what shows that the run goes on.
type death struct {
	Times
	// apart and sites are as in Options.
	apart bool
	sites int
	// late kills once the last object is made, when terraform is about to end; else in the middle of a create.
	late bool
	// victims are chosen among the family of the stack's attempt and the one who started its runner.
	victims func(s *suite, family []process, starter int) []process
}

// moves and creates are what a recovery is counted to.
const (
	untilMoves   = "its region moves on (terraform ended meanwhile)"
	untilCreates = "terraform makes something again"
)

// deaths are the kinds that are measured.
func deaths() []death {
	starter := func(_ *suite, _ []process, pid int) []process { return alone(pid) }
	return []death{
		{Times: Times{Death: "worker; the runner lives", Until: untilMoves, Bound: "heartbeat timeout + 2 s"}, apart: true, late: true, victims: starter},
		{Times: Times{Death: "server; the runner lives", Until: untilMoves, Bound: "heartbeat timeout + 2 s"}, late: true, victims: starter},
		{
			Times:   Times{Death: "runner, shim, terraform and plugins", Until: untilCreates, Bound: "heartbeat timeout + 2 s, and a plan"},
			apart:   true,
			victims: func(_ *suite, family []process, _ int) []process { return family },
		},
		{
			Times: Times{Death: "all of these, and the worker", Until: untilCreates, Bound: "heartbeat timeout + 2 s, and a plan"},
			apart: true,
			victims: func(_ *suite, family []process, pid int) []process {
				return append(alone(pid), family...)
			},
		},
		{
			Times: Times{Death: "a whole site, for good", Until: untilCreates + ", on another site", Bound: "1.2 leases and a plan"},
			sites: 2,
			victims: func(s *suite, family []process, _ int) []process {
				site := s.siteOf(family[0])
				s.setShut(site, true)
				return s.members(site)
			},
		},
	}
}

// Recovery measures how long it takes from a kill until a run goes on: so many samples of each kind of death on one machine (from the first-th
// on), and so many of a site. A line is logged for each.
func Recovery(ctx context.Context, o Options, first, samples, ofSites int) ([]Times, error) {
	var out []Times
	for i, d := range deaths() {
		n := samples
		if d.sites > 0 {
			n = ofSites
		}
		if n == 0 || i+1 < first {
			continue
		}
		at := o
		at.Data, at.Aside = filepath.Join(o.Data, strconv.Itoa(i)), filepath.Join(o.Aside, strconv.Itoa(i))
		at.Apart, at.Sites, at.Postgres, at.Workers = d.apart, d.sites, d.sites > 0, max(d.sites, 2)
		if !d.apart && d.sites == 0 {
			at.Workers = 0
		}
		for _, dir := range []string{at.Data, at.Aside} {
			if err := passable(dir); err != nil {
				return out, err
			}
		}
		took, err := measure(ctx, at, d, n)
		Clear(at.Data)
		d.Took = took
		out = append(out, d.Times)
		if err != nil {
			return out, fmt.Errorf("%s: %w", d.Death, err)
		}
	}
	return out, nil
}

// measure takes the samples of one kind of death.
func measure(ctx context.Context, o Options, d death, samples int) (took []time.Duration, err error) {
	s := newSuite(o)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var keepers sync.WaitGroup
	keeping, stop := context.WithCancel(ctx)
	defer keepers.Wait()
	defer stop()
	if err := s.start(ctx, keeping, fail, &keepers); err != nil {
		return nil, err
	}
	for n := range samples {
		t, err := s.sample(ctx, d, fmt.Sprintf("r%d", n+1))
		for try := 1; errors.Is(err, errMissed) && try < tries; try++ {
			t, err = s.sample(ctx, d, fmt.Sprintf("r%d-%d", n+1, try))
		}
		if err != nil {
			return took, err
		}
		s.say("%s: %.2f s", d.Death, t.Seconds())
		took = append(took, t)
		if d.sites > 0 { // the site comes back for the next one
			for site := range s.Sites {
				s.setShut(site+1, false)
			}
		}
	}
	return took, nil
}

// errMissed means that there was nobody left to kill.
var errMissed = errors.New("nobody has started its runner: it was over before it could be killed")

// sample makes a database, kills in the middle of it, and counts until its run goes on. The database is removed again.
func (s *suite) sample(ctx context.Context, d death, name string) (took time.Duration, err error) {
	id, err := s.client.submit(ctx, name, oneRegion(name, 0), nil, false)
	if err != nil {
		return 0, err
	}
	incarnation, _, _ := strings.Cut(id, "-")
	ended := make(chan error, 1)
	go func() {
		r, err := s.follow(ctx, name, id)
		if err == nil && r.Phase != "done" {
			err = errors.New(r.String())
		}
		ended <- err
	}()
	stack := incarnation + "/" + regions[0]
	if err := s.moment(ctx, stack, d.late); err != nil {
		return 0, err
	}
	var family []process
	starter := 0
	for _, p := range processes(s.Data) {
		if p.stack == stack {
			family = append(family, p)
			if p.role == RoleRunner {
				starter = parent(p.pid)
			}
		}
	}
	if starter == 0 { // on a busy machine it was over before we looked
		return 0, errMissed
	}
	before, err := s.ledger.read()
	if err != nil {
		return 0, err
	}
	victims := d.victims(s, family, starter)
	begin := time.Now()
	for _, v := range victims {
		v.signal(syscall.SIGKILL)
	}
	for goesOn := false; !goesOn; {
		if !pause(ctx, lookEvery) {
			return 0, context.Cause(ctx)
		}
		if goesOn, err = s.goesOn(ctx, d, id, stack, len(before)); err != nil {
			return 0, err
		}
	}
	took = time.Since(begin)
	if err := <-ended; err != nil {
		return took, err
	}
	if id, err = s.client.destroy(ctx, name); err != nil {
		return took, err
	}
	r, err := s.follow(ctx, name, id)
	if err == nil && r.Phase != "done" {
		err = errors.New(r.String())
	}
	return took, err
}

// moment waits until a stack is in the middle of its creates, or has made its last object.
func (s *suite) moment(ctx context.Context, stack string, late bool) error {
	for {
		entries, err := s.ledger.read()
		if err != nil {
			return err
		}
		begun, made := 0, 0
		for _, e := range entries {
			if e.Op == "create" && e.stack == stack {
				if e.Phase == "begin" {
					begun++
				} else {
					made++
				}
			}
		}
		if late && made == s.Directories+1 || !late && begun > 0 && made > 0 {
			return nil
		}
		if !pause(ctx, lookEvery) {
			return context.Cause(ctx)
		}
	}
}

// goesOn reports whether a run has gone on since so many entries of the ledger.
func (s *suite) goesOn(ctx context.Context, d death, id, stack string, since int) (bool, error) {
	if !d.late {
		entries, err := s.ledger.read()
		return err == nil && slices.ContainsFunc(entries[since:], func(e entry) bool {
			return e.Op == "create" && e.Phase == "begin" && e.stack == stack
		}), err
	}
	r, err := s.client.run(ctx, id)
	if err != nil {
		return false, err
	}
	return r.Phase != "applying" || len(r.Regions) > 0 && r.Regions[0].Phase != "applying", nil
}

// alone is one process, where it lives.
func alone(pid int) []process {
	if p, ok := readProcess(pid); ok {
		return []process{p}
	}
	return nil
}

// parent is who started a process, or who has it now.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}

// oneRegion is a database in one region.
func oneRegion(name string, round int) string {
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: %s}
spec:
  engine:
    name: postgres
    parameters: {max_connections: "%d", work_mem: "%dMB", shared_buffers: 8MB}
  databases: [{name: orders, owner: orders_app}]
  users: [{name: orders_app}]
  regions:
    - {name: %s, provider: local, role: primary}
  deletion: {protect: false}
`, name, 20+round, 4+round, regions[0])
}
