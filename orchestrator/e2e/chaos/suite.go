package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Options say how a run of the suite goes.
type Options struct {
	// Bin holds meridian, meridian-runner and terraform-provider-localdb.
	Bin string
	// Data is an empty directory that the user of PostgreSQL's servers can pass through; Aside is one for what the suite itself writes.
	Data, Aside string
	Seed        uint64
	Kills       int
	// Among is whom the blows fall on; all roles where it is empty.
	Among []Role
	// Databases is how many databases live at once, each in two regions.
	Databases int
	// Foreign is how many databases there are beside these that somebody else's module makes, which Meridian cannot look up.
	Foreign int
	// Directories is how many resources each stack has beside its server.
	Directories int
	// Workers is how many `meridian worker` run beside the server, which holds one too.
	Workers int
	// Postgres puts the rows into a PostgreSQL that the suite starts, and kills, too.
	Postgres bool
	// Temporal is where Temporal keeps its workflows: OnPostgres, OnCassandra, or "" for the data directory.
	Temporal string
	// Sites is how many sites the workers are on, each with its own view of the data directory, with the server on another; 0 is one
	// machine for all. It wants Postgres, and processes that may have mount namespaces of their own.
	Sites int
	// Lease is that of Timing: a site is stopped for longer.
	Lease time.Duration
	// Apart leaves all work to the workers; with sites it is always so.
	Apart bool
	// Delay holds each create up, so that there is time to kill in the middle of it.
	Delay time.Duration
	// Patience is how long a run may take before it counts as stuck.
	Patience time.Duration
	// Timing is a JSON object that scales Meridian's durations; empty leaves the default.
	Timing string
	// Control names a protection that the binaries, built for this, switch off: the suite must fail then.
	Control string
	// Log gets a line for each kill and each flaw.
	Log io.Writer
}

// Result counts what was found. Everything but the blows is to be zero.
type Result struct {
	Kills, InCreate                         int
	Stores, Temporals                       int // blows on the PostgreSQL of the rows and on Temporal's Cassandra
	Orphans, Duplicates, Lost, Stuck, Human int
	Applied, Updated, Destroyed, Cancelled  int
	// Answered is how many questions the suite answered, about what had been in flight and nobody but a person can find.
	Answered int
}

// String is the last line.
func (r Result) String() string {
	return fmt.Sprintf("kills=%d orphans=%d duplicates=%d lost=%d stuck=%d human=%d (in-create=%d)",
		r.Kills, r.Orphans, r.Duplicates, r.Lost, r.Stuck, r.Human, r.InCreate)
}

// Zero reports whether nothing was found.
func (r Result) Zero() bool { return r.Orphans+r.Duplicates+r.Lost+r.Stuck+r.Human == 0 }

// suite is one run.
type suite struct {
	Options
	client client
	ledger *ledger
	began  time.Time
	killed chan struct{} // closed after the last kill

	mu     sync.Mutex
	result Result
	mayGo  map[string]time.Time // since when objects of a stack ("incarnation/region") may be removed
	given  map[string]bool      // incarnations that were given up: what they leave was counted once
	going  map[string]string    // the run that goes on, by its incarnation
	// cancelled are the runs whose end the suite asked for.
	cancelled map[string]bool
	servers   map[Role][]int  // processes that the suite started
	views     map[string]int  // the site that has a mount namespace
	shut      map[int]bool    // sites on which nothing is started again
	node      *node           // nil where the rows are in the data directory
	cassandra *cassandraNode  // nil where Temporal is not in one
	config    string          // the settings file, "" for none
	answered  map[string]bool // what was asked about, by "incarnation address"
	plugin    string          // the version of our plugin, where somebody else's module takes it
	logs      sync.Mutex
}

// Run kills as Options say while databases are made, changed and removed, and returns what was found once all of them are gone. An error
// means that the suite itself could not go on.
func Run(ctx context.Context, o Options) (Result, error) {
	s := newSuite(o)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var keepers sync.WaitGroup
	keeping, stop := context.WithCancel(ctx)
	err := s.start(ctx, keeping, fail, &keepers)
	if err != nil {
		stop()
		keepers.Wait()
		return s.result, err
	}
	var lives sync.WaitGroup
	for n := range o.Databases + o.Foreign {
		name := fmt.Sprintf("c%d", n+1)
		if n >= o.Databases {
			name = fmt.Sprintf("m%d", n+1-o.Databases)
		}
		lives.Go(func() {
			if err := s.life(ctx, name, n >= o.Databases); err != nil {
				fail(err)
			}
		})
	}
	among := o.Among
	if len(among) == 0 {
		among = Roles()
	}
	if o.Workers == 0 {
		among = slices.DeleteFunc(slices.Clone(among), func(r Role) bool { return r == RoleWorker })
	}
	if err := s.kill(ctx, Decide(o.Seed, o.Kills, Cast{Roles: among, Store: o.Postgres, Temporal: o.Temporal == OnCassandra, Sites: o.Sites, Lease: o.Lease})); err != nil {
		fail(err)
	}
	close(s.killed)
	lives.Wait()
	if ctx.Err() == nil {
		s.final(ctx)
	}
	err = context.Cause(ctx)
	stop()
	keepers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result, err
}

func newSuite(o Options) *suite {
	return &suite{
		Options: o, client: client{o.Data}, ledger: newLedger(filepath.Join(o.Aside, "ledger")), began: time.Now(), killed: make(chan struct{}),
		mayGo: map[string]time.Time{}, given: map[string]bool{}, servers: map[Role][]int{},
		going: map[string]string{}, cancelled: map[string]bool{}, views: map[string]int{}, shut: map[int]bool{}, answered: map[string]bool{},
	}
}

// start starts what Options say: the store, the server, and the workers on their sites.
func (s *suite) start(ctx, keeping context.Context, fail context.CancelCauseFunc, keepers *sync.WaitGroup) error {
	var err error
	if s.Sites > 0 {
		if err := s.makeSites(ctx); err != nil {
			return err
		}
	}
	if s.Postgres {
		if s.node, err = newNode(ctx, filepath.Join(s.Aside, "store")); err != nil {
			return err
		}
		keepers.Go(func() { s.keepNode(keeping, fail) })
		if err := s.node.answers(ctx); err != nil {
			return fmt.Errorf("the store does not start: %w", err)
		}
	}
	if err := s.startTemporal(ctx); err != nil {
		return err
	}
	if s.cassandra != nil {
		keepers.Go(func() { s.keepCassandra(keeping, fail) })
	}
	args := []string{"--listen", "127.0.0.1:0", "--ui=false"}
	if s.Sites > 0 || s.Apart {
		args = append(args, "--no-worker")
	}
	keepers.Go(func() { s.keep(keeping, fail, RoleServer, 0, 0, "server", args...) })
	if err := s.client.read(ctx, "/version", &struct{}{}); err != nil {
		return fmt.Errorf("the server does not start: %w", err)
	}
	if s.Foreign > 0 {
		if err := s.findPlugin(ctx); err != nil {
			return err
		}
	}
	for n := range s.Workers {
		if s.Sites > 0 {
			s.work(keeping, fail, keepers, 1+n%s.Sites, n+1)
		} else {
			s.work(keeping, fail, keepers, 0, n+1)
		}
	}
	return nil
}

// work keeps a worker on a site.
func (s *suite) work(ctx context.Context, fail context.CancelCauseFunc, keepers *sync.WaitGroup, site, n int) {
	keepers.Go(func() { s.keep(ctx, fail, RoleWorker, site, n, "worker") })
}

// over reports whether the last kill has fallen.
func (s *suite) over() bool {
	select {
	case <-s.killed:
		return true
	default:
		return false
	}
}

// say writes one line into the log.
func (s *suite) say(format string, args ...any) {
	s.logs.Lock()
	defer s.logs.Unlock()
	_, _ = fmt.Fprintf(s.Log, "%7.1f %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// found counts a flaw.
func (s *suite) found(f flaw) {
	s.mu.Lock()
	switch f.kind {
	case "orphans":
		s.result.Orphans++
	case "duplicates":
		s.result.Duplicates++
	case "lost":
		s.result.Lost++
	case "stuck":
		s.result.Stuck++
	case "human":
		s.result.Human++
	}
	s.mu.Unlock()
	s.say("FLAW %s: %s", f.kind, f.text)
}

// environment is what Meridian's processes get beside ours.
func (s *suite) environment() []string {
	env := append(os.Environ(),
		"MERIDIAN_LOCALDB_LEDGER="+s.ledger.file,
		fmt.Sprintf("MERIDIAN_LOCALDB_DIRECTORIES=%d", s.Directories),
		"MERIDIAN_LOCALDB_DELAY="+s.Delay.String(),
	)
	if s.Timing != "" {
		env = append(env, "MERIDIAN_TIMING="+s.Timing)
	}
	if s.node != nil {
		env = append(env, "MERIDIAN_STORE="+s.node.url)
	}
	if s.config != "" {
		env = append(env, "MERIDIAN_CONFIG="+s.config)
	}
	if s.Control != "" {
		env = append(env, "MERIDIAN_CHAOS_CONTROL="+s.Control)
	}
	return env
}

// restart is how soon a process of the suite that ended is started again, as an init system would.
const restart = 100 * time.Millisecond

// quick is the life of a process that did not come up; after so many of these in a row, for so long, the suite gives up. A server does not
// come up while the store that it needs is down.
const (
	quick     = time.Second
	quickEnds = 20
	comesUp   = time.Minute
)

// keep runs one program of Meridian on a site for ever, and kills it in the end.
func (s *suite) keep(ctx context.Context, fail context.CancelCauseFunc, role Role, site, n int, verb string, args ...string) {
	logFile := filepath.Join(s.Aside, fmt.Sprintf("%s-%d.log", role, n))
	short, lived := 0, time.Now()
	for ctx.Err() == nil {
		if s.isShut(site) {
			pause(ctx, restart)
			continue
		}
		started := time.Now()
		cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, "meridian"), append([]string{verb, "--data", s.Data}, args...)...)
		cmd.Env = s.environment()
		err := s.runOnce(cmd, logFile, role, site)
		if ctx.Err() != nil {
			return
		}
		if short++; time.Since(started) > quick {
			short, lived = 0, time.Now()
		}
		if short > quickEnds && time.Since(lived) > comesUp {
			fail(errors.Join(fmt.Errorf("%s does not come up, see %s", role, logFile), err))
			return
		}
		if !pause(ctx, restart) {
			return
		}
	}
}

// runOnce runs one program on a site to its end, whichever that is.
func (s *suite) runOnce(cmd *exec.Cmd, logFile string, role Role, site int) error {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := s.startAt(site, cmd); err != nil {
		return err
	}
	s.mu.Lock()
	s.servers[role] = append(s.servers[role], cmd.Process.Pid)
	s.mu.Unlock()
	err = cmd.Wait()
	s.mu.Lock()
	s.servers[role] = slices.DeleteFunc(s.servers[role], func(pid int) bool { return pid == cmd.Process.Pid })
	s.mu.Unlock()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return nil
	}
	return err
}

// ScaledLease is the lease of Scaled, and DefaultLease the one that users have.
const (
	ScaledLease  = 10 * time.Second
	DefaultLease = 10 * time.Minute
)

// Scaled is a Timing that makes a run of the suite short: what users wait ten seconds for takes two. No
// check for drift comes by itself: when one would is nothing that a seed decides.
func Scaled() string {
	text, _ := json.Marshal(map[string]time.Duration{
		"Heartbeat": 2 * time.Second, "BeatEvery": time.Second, "ReconcileEvery": time.Second, "ReadyMaxEvery": 2 * time.Second,
		"StopGrace": 10 * time.Second, "WorkflowTaskTimeout": 2 * time.Second, "DriftEvery": 0,
		"Lease": ScaledLease, "LeaseStop": ScaledLease / 2, "LeaseKill": ScaledLease / 4,
	})
	return string(text)
}

// Clear kills every process that has to do with a data directory: what a failed run of the suite leaves behind.
func Clear(data string) {
	deadline := time.Now().Add(settles)
	for left := processes(data); len(left) > 0 && time.Now().Before(deadline); left = processes(data) {
		for _, p := range left {
			p.signal(syscall.SIGKILL)
		}
		pause(context.Background(), lookEvery)
	}
}
