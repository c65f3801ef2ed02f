package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// run is one attempt that is followed to its end: one that this runner started, or one that it adopted.
type run struct {
	*worker
	att    attempt
	step   journal.Step
	spool  spool
	family family
	// reaped is closed when the shim, as a child of this runner, has ended; nil in an adopter.
	reaped <-chan struct{}

	tail    tail
	pending []journal.Event // read from the output and not yet in the store
	shipped int64           // serial of the newest state in the store

	looks  sync.Mutex // one look at the state file at a time
	mu     sync.Mutex
	newest *journal.State // newest valid state in the spool

	veil *veil

	moved     time.Duration // when terraform last said something new, as far as this runner saw
	cancelled *cancelRecord
	killed    bool
}

// newRun is the view of an attempt through its records.
func (w *worker) newRun(att attempt, step journal.Step) *run {
	sp := spool{w.site.SpoolDir(att.Stack)}
	r := &run{
		worker: w, att: att, step: step, spool: sp, shipped: att.Serial,
		family: family{spool: sp, lock: w.site.StackLock(att.Stack), gone: att.BootID != w.boot},
		tail:   tail{path: filepath.Join(w.site.WorkDir(att.Stack), terraform.OutputFile), earlier: sp.path(terraform.OutputInClear)}, moved: w.clock.Awake(),
	}
	var c cancelRecord
	if ok, err := sp.get(cancelFile, &c); ok && err == nil {
		r.cancelled = &c
	}
	return r
}

// start starts terraform under a shim in a session of its own. The shim gets the stack's lock and terraform's whole environment;
// neither the runner's lock nor a secret is in its arguments.
func (r *run) start(p *prepared, stackLock *lock) error {
	args := launch.PlanArgs(launch.PlanOptions{Destroy: p.step.Destroy, Targets: p.step.Targets})
	if p.step.Kind == journal.StepApply {
		args = launch.ApplyArgs()
	}
	dir := r.site.WorkDir(r.att.Stack)
	logFile, err := os.OpenFile(filepath.Join(dir, terraform.ShimLogFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	// The running binary itself, also when a newer one has taken its place on disk.
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"meridian-runner", terraform.VerbShim, "--spool", r.spool.dir}
	if plugin := r.privatePlugin(p); plugin.File != "" {
		cmd.Args = append(cmd.Args, "--plugin", plugin.File, "--provider", plugin.Source)
	}
	cmd.Args = append(append(cmd.Args, "--", p.binary.Path), args...)
	cmd.Dir, cmd.Env = dir, append(p.environment(dir), shimAlone)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = []*os.File{stackLock.f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		if err := cmd.Wait(); err != nil {
			r.log.Warn("shim ended", "error", err)
		}
	}()
	r.reaped = reaped
	return nil
}

// followPoll is how often an adopter looks whether terraform still runs.
const followPoll = 20 * time.Millisecond

// appearLimit is how long a shim that holds the lock may take to write its record.
const appearLimit = 10 * time.Second

// errHeld means that a process which is no part of the attempt holds the stack's lock.
var errHeld = errors.New("a foreign process holds the stack's lock")

// await returns when shim and terraform have ended. launched is false when the attempt was over before its shim began.
func (r *run) await(ctx context.Context) (launched bool, err error) {
	begin := r.clock.Awake()
	poll := followPoll
	for {
		if r.reaped != nil {
			poll = time.Second // only to wake a stopped shim
		}
		_, known := r.family.shim()
		switch {
		case r.spool.has(exitFile):
			return true, nil
		case known && r.family.lives():
		case known || r.family.gone:
			return r.spool.has(shimFile), nil
		case r.reaped == nil:
			// No record yet: the shim was never started, or it is just starting and holds the lock.
			l, err := tryLock(r.family.lock)
			if err != nil {
				return false, err
			}
			if l != nil {
				l.close()
				return r.spool.has(shimFile), nil
			}
			if r.clock.Awake()-begin > appearLimit {
				return false, fmt.Errorf("%w: %s", errHeld, name(holders(r.family.lock)))
			}
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-r.reaped:
			r.reaped = nil
			if !r.spool.has(shimFile) {
				return false, nil
			}
		case <-time.After(poll):
		}
		poll = followPoll
	}
}

// follow journals the attempt until its processes have ended, or another attempt has the fence.
func (r *run) follow(ctx context.Context) (launched bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var over sync.WaitGroup
	if r.att.Kind == journal.StepApply && !without(theSnapshots) {
		over.Go(func() { r.watchState(ctx) })
	}
	var fenced error
	over.Go(func() {
		if fenced = r.shipLoop(ctx); fenced != nil {
			stop()
		}
	})
	launched, err = r.await(ctx)
	stop()
	over.Wait()
	if fenced != nil {
		return launched, fenced
	}
	return launched, err
}

// cancel tells terraform to stop, once; after the grace its group is killed. The record comes first: a second SIGINT, by an adopter,
// would make terraform drop what it is making.
func (r *run) cancel(why cancelRecord) {
	if r.cancelled == nil {
		if r.cancelled = r.stopped(); r.cancelled != nil {
			return // by the shim, at the end of the lease
		}
		if _, ok := r.family.terraform(); !ok {
			return // not started yet: the next look will see it
		}
		why.At = r.clock.Wall().UTC()
		why.Boot, _ = r.clock.Boot() // without it the grace is counted by the wall clock
		if err := r.spool.put(cancelFile, why, true); err != nil {
			r.log.Error("write the cancel down", "error", err)
			return
		}
		r.cancelled = &why
		err := r.family.interrupt()
		r.log.Info("told terraform to stop", "hang", why.Hang, "shutdown", why.Shutdown, "error", err)
		return
	}
	if now, err := r.clock.Boot(); !r.killed && r.cancelled.age(r.clock.Wall(), now, err) > r.timing.StopGrace {
		r.killed = true
		r.log.Warn("terraform did not stop in time: killed", "processes", r.family.reap())
	}
}
