package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// account counts the CPU time of all descendants of this process but PostgreSQL's programs: what the kernel has added up of those that
// were waited for, and /proc of the others, dead ones that nobody has waited for included. This process adopts what loses its parent, so
// nothing gets away.
type account struct {
	t     testing.TB
	meter *meter
	// reaped is the CPU time of the servers that this process has waited for: it is in our children's, and is PostgreSQL's.
	reaped time.Duration
}

// clockTick is the unit of times in /proc: USER_HZ, which Linux fixes at 100 for programs.
const clockTick = 10 * time.Millisecond

func openAccount(t testing.TB, m *meter) *account {
	t.Helper()
	adopt := func(on uintptr) {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, on, 0, 0, 0); err != nil {
			t.Fatalf("subreaper: %v", err)
		}
	}
	adopt(1)
	a := &account{t: t, meter: m}
	t.Cleanup(func() {
		a.reap()
		adopt(0)
	})
	return a
}

// stat is what /proc says of a process.
type stat struct {
	pid, parent int
	name        string
	state       byte
	start       string
	cpu         time.Duration // its own and that of the children that it has waited for
	own         time.Duration // its own
}

func (s stat) postgres() bool { return s.name == "postgres" || s.name == "initdb" }

// used is the CPU time so far. Nothing may be counted twice or not at all: a look counts when the next one sees the same processes, so
// that none was waited for while it lasted.
func (a *account) used() time.Duration {
	a.t.Helper()
	last, before := a.look()
	for range 1000 {
		sum, seen := a.look()
		if seen == before {
			return last
		}
		last, before = sum, seen
	}
	a.t.Fatal("processes come and go too quickly to be counted")
	return 0
}

// look sums up once, and names the processes that it saw.
func (a *account) look() (time.Duration, string) {
	a.t.Helper()
	var waited unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &waited); err != nil {
		a.t.Fatal(err)
	}
	own := time.Duration(waited.Utime.Nano() + waited.Stime.Nano())
	sum := own - a.reaped - a.meter.cpu()
	seen := []string{own.String()}
	for _, s := range descendants() {
		seen = append(seen, fmt.Sprint(s.pid, " ", s.start))
		sum += s.cpu
	}
	slices.Sort(seen)
	return sum, strings.Join(seen, "\n")
}

// descendants lists this process's descendants, without PostgreSQL's programs and what is below them.
func descendants() []stat {
	children := map[int][]stat{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if s, ok := readStat(pid); ok {
				children[s.parent] = append(children[s.parent], s)
			}
		}
	}
	var out []stat
	for next := []int{os.Getpid()}; len(next) > 0; {
		pid := next[0]
		next = next[1:]
		for _, s := range children[pid] {
			if !s.postgres() {
				out = append(out, s)
				next = append(next, s.pid)
			}
		}
	}
	return out
}

func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if err != nil || open < 0 || end < open {
		return stat{}, false
	}
	// From field 3 of proc(5): state, ppid, ...; utime, stime, cutime, cstime are 14 to 17, starttime is 22.
	fields := strings.Fields(string(text[end+1:]))
	const first, utime, stime, cstime, starttime = 3, 14, 15, 17, 22
	if len(fields) <= starttime-first {
		return stat{}, false
	}
	s := stat{pid: pid, name: string(text[open+1 : end]), state: fields[0][0], start: fields[starttime-first]}
	s.parent, _ = strconv.Atoi(fields[1])
	for i := utime; i <= cstime; i++ {
		ticks, _ := strconv.ParseInt(fields[i-first], 10, 64)
		s.cpu += time.Duration(ticks) * clockTick
		if i <= stime {
			s.own += time.Duration(ticks) * clockTick
		}
	}
	return s, true
}

// reap waits for the dead servers that were left to us.
func (a *account) reap() {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, ok := readStat(pid); ok && s.parent == os.Getpid() && s.state == 'Z' && s.postgres() {
			var u unix.Rusage
			if _, err := unix.Wait4(pid, nil, 0, &u); err == nil {
				a.reaped += time.Duration(u.Utime.Nano() + u.Stime.Nano())
			}
		}
	}
}

// TestAccount burns known amounts of CPU time in every way that counts, and in every way that does not.
func TestAccount(t *testing.T) {
	burners := t.TempDir()
	burner := filepath.Join(burners, "burner")
	buildMeter(t, burner)
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.Link(burner, filepath.Join(burners, name)); err != nil {
			t.Fatal(err)
		}
	}
	m := &meter{t: t, postgres: layMeter(t, burners, "initdb")}
	a := openAccount(t, m)
	before := a.used()
	counted := func(want, slack time.Duration) {
		t.Helper()
		least := want - 2*clockTick // of one that lives or that nobody has waited for, whole ticks are known
		if got := a.used() - before; got < least || got > want+slack {
			t.Errorf("counted %s so far, want %s to %s", got, least, want+slack)
		}
	}
	run := func(script string) {
		t.Helper()
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	run(burner + " 100ms; true")
	counted(100*time.Millisecond, 50*time.Millisecond)

	run(filepath.Join(m.postgres, "initdb") + " 300ms; true")
	counted(100*time.Millisecond, 80*time.Millisecond)

	holding := func(path string) *exec.Cmd {
		t.Helper()
		cmd := exec.Command(path, "100ms", "hold")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close()
			_ = cmd.Wait()
		})
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	holding(burner)
	counted(200*time.Millisecond, 100*time.Millisecond)
	holding(filepath.Join(burners, "postgres"))
	counted(200*time.Millisecond, 100*time.Millisecond)

	// Its parent ends before it: it is ours then, and dies unwaited for.
	run("sh -c '" + burner + " 100ms & echo $! > " + filepath.Join(burners, "orphan") + "'")
	text, err := os.ReadFile(filepath.Join(burners, "orphan"))
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	(&site{t: t}).eventually("the orphan dies", func() error {
		if s, ok := readStat(orphan); !ok || s.state != 'Z' || s.parent != os.Getpid() {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
	counted(300*time.Millisecond, 120*time.Millisecond)
	if _, err := syscall.Wait4(orphan, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	counted(300*time.Millisecond, 120*time.Millisecond)
}
