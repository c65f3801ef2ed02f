package runner

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// family is the processes of one attempt: the shim, terraform, what shares terraform's process group, and the plugin that shares the
// shim's. It is found by the spool's records, so an adopter sees the same as the runner that started it.
type family struct {
	spool spool
	// lock is the path of the stack's lock, which everything of an attempt holds.
	lock string
	// gone says that the attempt was of another boot: every pid in the spool means nothing now.
	gone bool
}

// shim reads the shim's record; ok is false before it wrote one.
func (f family) shim() (shimRecord, bool) {
	var s shimRecord
	if f.gone {
		return s, false
	}
	ok, err := f.spool.get(shimFile, &s)
	return s, ok && err == nil
}

// terraform finds terraform's process, dead or alive: by its record, or, where the shim died before it could write one, as the
// oldest leader of a process group in the shim's session.
func (f family) terraform() (process, bool) {
	var p process
	if f.gone {
		return p, false
	}
	if ok, err := f.spool.get(terraformFile, &p); ok && err == nil {
		return p, true
	}
	shim, ok := f.shim()
	if !ok {
		return p, false
	}
	for _, m := range f.unrecorded(shim) {
		if m.PID == m.Group {
			return m.process, true
		}
	}
	return p, false
}

// unrecorded lists what the shim started, oldest first, where it died before it wrote a record: its session's processes that hold the
// stack's lock. Nothing is listed when the session's number belongs to somebody else by now.
func (f family) unrecorded(shim shimRecord) []procStat {
	if leader, err := readStat(shim.PID); err == nil && leader.Start != shim.Start {
		return nil
	}
	members := sessionMembers(shim.Session)
	if len(members) == 0 {
		return nil
	}
	holding := map[int]bool{}
	for _, h := range holders(f.lock) {
		holding[h.PID] = true
	}
	var out []procStat
	for _, m := range members {
		if m.PID != shim.PID && m.Group != shim.PID && m.Start >= shim.Start && holding[m.PID] {
			out = append(out, m)
		}
	}
	return out
}

// lives reports whether the shim or terraform runs. A stopped shim is woken: nobody else can write down how terraform ended.
func (f family) lives() bool {
	shim, ok := f.shim()
	if ok {
		if s, alive := shim.look(); alive {
			if s.State == 'T' {
				_ = shim.signal(syscall.SIGCONT)
			}
			return true
		}
	}
	tf, ok := f.terraform()
	if !ok || !tf.alive() {
		return false
	}
	if !f.spool.has(terraformFile) {
		_ = f.spool.put(terraformFile, tf, false) // what the shim could not do any more
	}
	return true
}

// interrupt sends SIGINT to terraform's own process and to no other: a plugin that got it would lose what it is making.
func (f family) interrupt() error {
	tf, ok := f.terraform()
	if !ok {
		return os.ErrProcessDone
	}
	return tf.signal(syscall.SIGINT)
}

// reap kills what is left of terraform's process group and, in the shim's, of the plugin. The caller has proven terraform dead, or its
// time to stop over. A member must share the shim's session and one of the groups and be no older than their first, so that no other
// process of a reused number is met.
func (f family) reap() (killed int) {
	shim, ok := f.shim()
	if !ok {
		return 0
	}
	var group []procStat
	var tf process
	if ok, err := f.spool.get(terraformFile, &tf); ok && err == nil {
		for _, m := range sessionMembers(shim.Session) {
			if m.Group == tf.PID && m.Start >= tf.Start {
				group = append(group, m)
			}
		}
	} else {
		group = f.unrecorded(shim)
	}
	for _, m := range append(group, f.plugins(shim)...) {
		if (m.Group == shim.PID || m.Group == group[0].Group) && m.signal(syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// plugins lists the plugin that the shim started: a process of the shim's own group, not the shim, that holds the stack's lock.
func (f family) plugins(shim shimRecord) []procStat {
	if leader, err := readStat(shim.PID); err == nil && leader.Start != shim.Start {
		return nil
	}
	var holding []procStat
	var out []procStat
	for _, m := range sessionMembers(shim.Session) {
		if m.PID == shim.PID || m.Group != shim.PID || m.Start < shim.Start {
			continue
		}
		if holding == nil {
			holding = holders(f.lock)
		}
		if slices.ContainsFunc(holding, func(h procStat) bool { return h.process == m.process }) {
			out = append(out, m)
		}
	}
	return out
}

// reapPoll is how often a lock that must become free is tried.
const reapPoll = 5 * time.Millisecond

// settleLock waits until the stack's lock is free, killing what is left of the group after the grace, and takes it. It is nil when
// the lock is still held after the limit: something that is not of terraform's group holds it.
func (f family) settleLock(ctx context.Context, grace, limit time.Duration) (*lock, error) {
	begin := time.Now()
	for {
		l, err := tryLock(f.lock)
		if l != nil || err != nil {
			return l, err
		}
		waited := time.Since(begin)
		if waited >= grace {
			f.reap()
		}
		if waited >= limit || !pause(ctx, reapPoll) {
			return nil, nil
		}
	}
}

// name tells people which processes they are: never their arguments, which may hold a secret.
func name(procs []procStat) string {
	if len(procs) == 0 {
		return "a process that this user may not look at"
	}
	var names []string
	for _, p := range procs {
		names = append(names, fmt.Sprintf("%s (pid %d)", p.Name, p.PID))
	}
	return strings.Join(names, ", ")
}
