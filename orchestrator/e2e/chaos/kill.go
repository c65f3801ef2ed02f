package chaos

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bounds of the search for victims.
const (
	lookEvery = 5 * time.Millisecond
	// createWithin is how long a decision waits for a create in flight; where none comes, it falls on whatever there is.
	createWithin = time.Minute
	// manyWithin is how long most decisions wait for a create in flight of a stack's directories.
	manyWithin = 15 * time.Second
	// victimWithin is how long a decision waits for a process of its roles.
	victimWithin = 2 * time.Second
)

// kill carries the decisions out, one after another; stopped processes go on in the background.
func (s *suite) kill(ctx context.Context, decisions []Decision) error {
	var held sync.WaitGroup
	defer held.Wait()
	for _, d := range decisions {
		if !pause(ctx, d.After) {
			return context.Cause(ctx)
		}
		if d.Twice {
			s.twice(ctx, d)
		}
		stack, err := s.await(ctx, d)
		if err != nil {
			return err
		}
		hit := 0
		var names []string
		var creating bool
		if d.Blow.cancels() {
			var of string
			if of, creating = s.cancel(ctx, d, stack); of != "" {
				hit++
				names = append(names, of)
			}
		}
		victims, err := s.victims(ctx, d, stack)
		if err != nil {
			return err
		}
		creating = s.creating(victims) || creating
		for _, v := range victims {
			if strike(v, d.Blow) {
				hit++
				if name := strings.TrimRight(string(v.role)+" "+v.stack, " "); v.role != RoleStore || !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		if hit == 0 {
			s.say("kill %d/%d missed: %s: it was gone", d.Number, len(decisions), d)
			continue
		}
		s.mu.Lock()
		s.result.Kills++
		switch {
		case slices.Contains(d.Roles, RoleStore):
			s.result.Stores++
		case slices.Contains(d.Roles, RoleTemporal):
			s.result.Temporals++
		}
		if creating {
			s.result.InCreate++
		}
		s.mu.Unlock()
		where := ""
		if creating {
			where = ", in a create"
		}
		s.say("kill %d/%d: %s: %s%s", d.Number, len(decisions), d, strings.Join(names, ", "), where)
		if d.Hold > 0 {
			held.Go(func() { release(ctx, victims, d) })
		}
	}
	return nil
}

// strike deals the first part of a blow.
func strike(p process, b Blow) bool {
	switch {
	case b == BlowTerm:
		return p.signal(syscall.SIGTERM)
	case b == BlowStop, b == BlowStopKill, b == BlowSiteSleep, b == BlowSiteStop, b == BlowLinger && p.role == RolePlugin:
		return p.signal(syscall.SIGSTOP)
	}
	return p.signal(syscall.SIGKILL)
}

// twiceWithin is how long a second runner waits for a first one that begins an apply.
const twiceWithin = 10 * time.Second

// twice starts a runner that begins an apply once more, with its own arguments and environment, as soon as it is there.
func (s *suite) twice(ctx context.Context, d Decision) {
	var old []int
	for _, p := range processes(s.Data) {
		old = append(old, p.pid)
	}
	applies := func(p process) bool {
		return p.role == RoleRunner && !slices.Contains(old, p.pid) && slices.ContainsFunc(p.args, func(a string) bool { return strings.Contains(a, "/apply.") })
	}
	for begin := time.Now(); time.Since(begin) < twiceWithin; {
		living := processes(s.Data)
		if i := slices.IndexFunc(living, applies); i >= 0 {
			err := s.again(living[i])
			s.say("kill %d: a second runner of %s first: %v", d.Number, living[i].stack, err)
			return
		}
		if !pause(ctx, lookEvery) {
			return
		}
	}
}

// again starts the program of a process once more.
func (s *suite) again(p process) error {
	root := filepath.Join("/proc", strconv.Itoa(p.pid))
	environ, err := os.ReadFile(filepath.Join(root, "environ"))
	if err != nil {
		return err
	}
	program, err := os.Readlink(filepath.Join(root, "exe"))
	if err != nil {
		return err
	}
	cmd := exec.Command(program, p.args[1:]...)
	cmd.Env = strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Setsid: true}
	if err := s.startAt(s.siteOf(p), cmd); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // it ends by itself: there is a lock, or a result
	return nil
}

// release deals the second part: it lets stopped processes go on, or kills them. No process stays stopped, also when ctx ends.
func release(ctx context.Context, victims []process, d Decision) {
	pause(ctx, d.Hold)
	if d.Blow == BlowSiteSleep {
		for _, v := range victims {
			if v.role == RoleShim {
				v.signal(syscall.SIGCONT)
			}
		}
		pause(ctx, shimsFirst)
	}
	for _, v := range victims {
		if d.Blow == BlowStopKill {
			v.signal(syscall.SIGKILL)
		} else {
			v.signal(syscall.SIGCONT)
		}
	}
}

// shimsFirst is how much earlier shims go on than the others of a site that wakes.
const shimsFirst = time.Second

// await waits for the moment of a decision and returns the stack whose create is in flight then, or "".
func (s *suite) await(ctx context.Context, d Decision) (string, error) {
	if !d.InCreate {
		return "", nil
	}
	begin := time.Now()
	for {
		open, err := s.ledger.inFlight()
		if err != nil {
			return "", err
		}
		if stacks := creates(open, d.Pick%4 != 0 && time.Since(begin) < manyWithin); len(stacks) > 0 {
			if !pause(ctx, d.Into) {
				return "", context.Cause(ctx)
			}
			return stacks[d.Pick%uint64(len(stacks))], nil
		}
		if time.Since(begin) > createWithin {
			return "", nil
		}
		if !pause(ctx, lookEvery) {
			return "", context.Cause(ctx)
		}
	}
}

// creates lists the stacks that have a create in flight; with many, only those that make a directory: there are several of them in a stack, so
// that some are done, some half done and some not begun when the blow falls.
func creates(open []entry, many bool) (out []string) {
	for _, e := range open {
		if stack := e.stack; !slices.Contains(out, stack) && (!many || strings.Contains(filepath.Base(e.Path), ".beside.")) {
			out = append(out, stack)
		}
	}
	slices.Sort(out)
	return out
}

// victims finds a process for each role of a decision: of the stack where one is given, else all of one stack that has some. Where none of
// the roles has a process for a while, whatever works on a stack takes the blow, else the server.
func (s *suite) victims(ctx context.Context, d Decision, stack string) ([]process, error) {
	switch {
	case d.Blow.ofSite():
		return s.all(d, stack), nil
	case slices.Contains(d.Roles, RoleStore):
		return s.nodeProcesses(), nil
	case slices.Contains(d.Roles, RoleTemporal):
		return s.cassandra.process(), nil
	case len(d.Roles) == 0:
		return nil, nil
	}
	begin := time.Now()
	for {
		if out := choose(processes(s.Data), d, stack); len(out) > 0 {
			return out, nil
		}
		if time.Since(begin) > victimWithin {
			d.Roles, stack = family, ""
		}
		if time.Since(begin) > 2*victimWithin {
			d.Roles = []Role{RoleServer}
		}
		if !pause(ctx, lookEvery) {
			return nil, context.Cause(ctx)
		}
	}
}

// all is what a blow on a whole site hits: on the one where a stack's create is in flight.
func (s *suite) all(d Decision, stack string) []process {
	site := d.Site
	for _, p := range processes(s.Data) {
		if at := s.siteOf(p); stack != "" && p.stack == stack && at > 0 {
			site = at
		}
	}
	members := s.members(site)
	if d.Blow == BlowSiteStop {
		members = slices.DeleteFunc(members, func(p process) bool { return p.role == RoleShim })
	}
	return members
}

// choose is which of the living processes a decision means. It is pure.
func choose(living []process, d Decision, stack string) []process {
	if stack == "" {
		var stacks []string
		for _, p := range living {
			if p.stack != "" && slices.Contains(d.Roles, p.role) && !slices.Contains(stacks, p.stack) {
				stacks = append(stacks, p.stack)
			}
		}
		if slices.Sort(stacks); len(stacks) > 0 {
			stack = stacks[d.Pick%uint64(len(stacks))]
		}
	}
	var out []process
	for _, role := range d.Roles {
		var of []process
		for _, p := range living {
			if p.role == role && (p.stack == stack || !slices.Contains(family, role)) {
				of = append(of, p)
			}
		}
		if len(of) == 0 {
			continue
		}
		slices.SortFunc(of, func(a, b process) int { return a.pid - b.pid })
		if slices.Contains(family, role) {
			out = append(out, of...) // several runners of one stack, or plugins: all of them
		} else {
			out = append(out, of[d.Pick%uint64(len(of))])
		}
	}
	return out
}

// creating reports whether the blow falls between a create's start and its end: of the stack that it hits, or, where it hits no stack's
// family, of any.
func (s *suite) creating(victims []process) bool {
	open, err := s.ledger.inFlight()
	if err != nil {
		return false
	}
	for _, v := range victims {
		for _, e := range open {
			if v.stack == "" || v.stack == e.stack {
				return true
			}
		}
	}
	return false
}
