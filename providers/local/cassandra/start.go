package cassandra

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"meridian/providers"
	"meridian/providers/local/machine"
)

const (
	// startFor is how long a node may take from its start to its first answer: seconds on a quiet machine, and it may replay a commit log.
	startFor  = 4 * time.Minute
	pollEvery = 50 * time.Millisecond
	// startTries bounds how often a start is tried again that ended at once: another node may have taken its port for nodetool.
	startTries = 3
	// firstJMX and jmxPorts are where ports for nodetool are looked for: below those that the kernel gives away by itself.
	firstJMX, jmxPorts = 20100, 8000
)

// Info is what a running node said.
type Info struct {
	PID     int
	Version string // exact
}

// Ensure makes the node what the spec says and returns once it answers CQL: a missing one is made, one of ours is adopted, and restarted
// where its configuration changes. It may be repeated and may have been killed anywhere before. Foreign directories and addresses are
// providers.ErrForeign.
func Ensure(ctx context.Context, s Spec) (Info, error) {
	if err := s.Check(); err != nil {
		return Info{}, errors.Join(err, providers.ErrPermanent)
	}
	s.Home = filepath.Clean(s.Home)
	a, err := machine.RunAs()
	if err != nil {
		return Info{}, err
	}
	lock, m, err := s.claim(ctx, a)
	if err != nil {
		return Info{}, err
	}
	defer lock.Close() // released
	in, err := s.installation(m)
	if err != nil {
		return Info{}, err
	}
	if err := checkReach(a, in, filepath.Dir(s.Home)); err != nil {
		return Info{}, err
	}
	changed, err := s.configure(a)
	if err != nil {
		return Info{}, err
	}
	pid := processOf(s.Home)
	if pid != 0 && (changed || m.Version != in.Version || m.HeapMiB != s.HeapMiB) {
		if err := s.stop(ctx, gentle); err != nil {
			return Info{}, err
		}
		pid = 0
	}
	if pid != 0 {
		err = s.await(ctx, pid, nil, nil, 0)
	} else {
		m, err = s.start(ctx, a, in, m)
	}
	if err != nil {
		return Info{}, err
	}
	m.Spec, m.Version = s, in.Version // only now: until then the marker says what the running node was made from
	return Info{PID: processOf(s.Home), Version: in.Version}, m.write(a)
}

// claim takes the home and its lock and reads its marker, or writes the first.
func (s Spec) claim(ctx context.Context, a machine.Account) (lock *os.File, m marker, err error) {
	read := func() error { m, err = readMarker(s.Home); return err }
	lock, err = homeAt(s.Home).Claim(ctx, a, read, func() error {
		if err := read(); errors.Is(err, fs.ErrNotExist) {
			m = marker{Spec: s}
			return m.write(a)
		} else if err != nil {
			return err
		}
		if err := m.checkOwner(s.Owner); err != nil {
			return err
		}
		return m.checkSame(s)
	})
	return lock, m, err
}

// installation chooses the programs: the version that the node was last started with, while it is what is asked for; else the newest that is.
func (s Spec) installation(m marker) (Installation, error) {
	found, err := Find()
	if err != nil {
		return Installation{}, err
	}
	if Satisfies(m.Version, s.EngineVersion) {
		if in, err := Resolve(found, m.Version); err == nil {
			return in, nil
		}
	}
	return Resolve(found, s.EngineVersion)
}

// checkReach makes sure that the account can read the programs and pass to the home.
func checkReach(a machine.Account, in Installation, dir string) error {
	if !a.Switches {
		return nil
	}
	for _, path := range []string{dir, in.Dir, filepath.Dir(in.Java)} {
		if closed := a.ClosedAncestor(path); closed != "" {
			return fmt.Errorf("user %s, as whom Cassandra runs here, cannot pass %s on the way to %s: `chmod o+x %s`, or use another directory: %w",
				a.Name, closed, path, closed, providers.ErrPermanent)
		}
	}
	return nil
}

// start starts the node, detached from us, and returns once it answers CQL.
func (s Spec) start(ctx context.Context, a machine.Account, in Installation, m marker) (marker, error) {
	if err := machine.HideDescriptors(); err != nil {
		return m, err
	}
	for try := 1; ; try++ {
		for _, port := range []int{s.Port, s.StoragePort} {
			if taken, err := machine.Occupied(ctx, s.Address, port); err != nil {
				return m, err
			} else if taken {
				return m, s.taken(port)
			}
		}
		jmx, err := s.freeJMX(ctx, try)
		if err != nil {
			return m, err
		}
		m.JMXPort, m.Version = jmx, in.Version
		if err := m.write(a); err != nil {
			return m, err
		}
		ended, err := s.launch(ctx, a, in, jmx)
		if err == nil || !ended || ctx.Err() != nil || try == startTries {
			return m, err
		}
	}
}

func (s Spec) taken(port int) error {
	who := "a process that this user may not see"
	if pid := machine.ListenerPid(s.Address, port); pid != 0 {
		who = fmt.Sprintf("process %d (%s)", pid, machine.ProgramOf(pid))
		if home := homeOf(pid); home != "" {
			who += ", the node of " + home
		}
	}
	return fmt.Errorf("%s:%d is taken by %s: stop that, or give this node another address: %w", s.Address, port, who, providers.ErrForeign)
}

// freeJMX is a port of 127.0.0.1 that is free now; where it begins to look follows from the home, so that nodes seldom meet.
func (s Spec) freeJMX(ctx context.Context, try int) (int, error) {
	h := fnv.New32a()
	_, _ = io.WriteString(h, s.Home)
	_ = binary.Write(h, binary.BigEndian, int32(try))
	for i := range 100 {
		port := firstJMX + int((h.Sum32()+uint32(i))%jmxPorts)
		taken, err := machine.Occupied(ctx, "127.0.0.1", port)
		if err != nil {
			return 0, err
		}
		if !taken {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port for nodetool on 127.0.0.1 from %d: %w", firstJMX, providers.ErrPermanent)
}

// launch starts the process and waits until it answers; ended says that it is gone already.
func (s Spec) launch(ctx context.Context, a machine.Account, in Installation, jmx int) (ended bool, err error) {
	log, from, err := a.OpenLog(filepath.Join(s.Home, logName))
	if err != nil {
		return false, err
	}
	defer log.Close() // the node has its own copy
	cmd := a.Command(filepath.Dir(in.Java), in.Java, s.nodeArgs(in, jmx)...)
	cmd.Dir = s.Home
	cmd.Stdout, cmd.Stderr = log, log // a file, never a pipe: the node outlives whoever would read it
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // collects it, should it end before we do
	err = s.await(ctx, cmd.Process.Pid, exited, log, from)
	return err != nil && machine.Zombie(cmd.Process.Pid), err
}

// await waits until the node answers CQL. exited is nil for a process that another has started.
func (s Spec) await(ctx context.Context, pid int, exited <-chan error, log io.ReaderAt, from int64) error {
	deadline := time.Now().Add(startFor)
	for {
		if speaks(ctx, s.HostPort()) {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("cassandra in %s ended at its start: %s", s.Home, reason(log, from))
		case <-ctx.Done():
			return fmt.Errorf("cassandra in %s still starts (process %d): %w", s.Home, pid, ctx.Err())
		case <-time.After(pollEvery):
		}
		switch {
		case exited == nil && machine.Zombie(pid):
			return fmt.Errorf("cassandra in %s ended at its start; its logs are in %s", s.Home, filepath.Join(s.Home, "log"))
		case time.Now().After(deadline):
			return fmt.Errorf("cassandra in %s does not answer after %s; its logs are in %s", s.Home, startFor, filepath.Join(s.Home, "log"))
		}
	}
}

// reason is what a process that ended said, without Java's stack.
func reason(log io.ReaderAt, from int64) string {
	if log == nil {
		return "it said nothing"
	}
	text := make([]byte, 16<<10)
	n, _ := log.ReadAt(text, from)
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(text[:n]), "?")), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "\tat ") || strings.HasPrefix(l, "WARNING:") || strings.TrimSpace(l) == "" || strings.Contains(l, "... ")
	})
	if len(lines) == 0 {
		return "it said nothing"
	}
	return strings.Join(lines[:min(len(lines), 4)], "; ")
}

// speaks reports whether something at the address answers in Cassandra's native protocol. It needs no password: OPTIONS comes before
// authentication (native protocol v4, section 4.1.3).
func speaks(ctx context.Context, hostPort string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", hostPort)
	if err != nil {
		return false
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok && c.SetDeadline(deadline) != nil {
		return false
	}
	const options, supported = 0x05, 0x06
	if _, err := c.Write([]byte{4, 0, 0, 0, options, 0, 0, 0, 0}); err != nil {
		return false
	}
	var head [9]byte
	_, err = io.ReadFull(c, head[:])
	return err == nil && head[0] == 0x84 && head[4] == supported
}
