package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"meridian/providers"
	"meridian/providers/local/machine"
)

func TestEnsureIsIdempotent(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	first := mustEnsure(t, s)
	sql(t, s, "create table kept (id int primary key)", "insert into kept values (1)")
	if again := mustEnsure(t, s); again.PID != first.PID || again.SystemIdentifier != first.SystemIdentifier || again.PasswordStamp != first.PasswordStamp {
		t.Fatalf("a second Ensure changed something: %+v, then %+v", first, again)
	}
	if err := Stop(t.Context(), s.Home, s.Owner); err != nil {
		t.Fatal(err)
	}
	wantState(t, s, StateStopped)
	if started := mustEnsure(t, s); started.SystemIdentifier != first.SystemIdentifier {
		t.Fatal("a stopped server was made anew")
	}
	sql(t, s, "insert into kept values (2)")
	for range 2 {
		if err := Destroy(t.Context(), s.Home, s.Owner); err != nil {
			t.Fatal(err)
		}
	}
	wantState(t, s, StateAbsent)
	if _, err := os.Stat(s.Home); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the home stays: %v", err)
	}
	if left := residents(s.dataDir()); len(left) > 0 {
		t.Fatalf("processes %v stay", left)
	}
}

// TestEnsureAdopts puts a home into every state in which a killed create may leave it.
func TestEnsureAdopts(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, s Spec){
		"an empty directory":    func(t *testing.T, s Spec) { must(t, os.Mkdir(s.Home, 0o700)) },
		"a marker half-written": func(t *testing.T, s Spec) { must(t, os.Mkdir(s.Home, 0o700)); write(t, s.Home, markerName+".123", "{") },
		"only the marker":       func(t *testing.T, s Spec) { mark(t, s) },
		"a cluster half-made": func(t *testing.T, s Spec) {
			mark(t, s)
			must(t, os.MkdirAll(s.dataDir()+".new/base", 0o700))
			write(t, s.dataDir()+".new", "PG_VERSION", "15\n")
		},
		"a cluster that never ran": func(t *testing.T, s Spec) {
			mark(t, s)
			a, err := machine.RunAs()
			must(t, err)
			b, err := s.binaries(t.Context(), marker{})
			must(t, err)
			lock, err := machine.LockHome(t.Context(), s.Home)
			must(t, err)
			must(t, s.initdb(t.Context(), a, b, lock))
			must(t, lock.Close())
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testSpec(t)
			prepare(t, s)
			mustEnsure(t, s)
			sql(t, s, "select 1")
			if left, err := filepath.Glob(filepath.Join(s.Home, "*.new")); err != nil || len(left) > 0 {
				t.Fatalf("leftovers: %v, %v", left, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

// mark makes a home of ours with nothing but its marker.
func mark(t *testing.T, s Spec) {
	t.Helper()
	a, err := machine.RunAs()
	must(t, err)
	must(t, machine.TakeHome(a, s.Home, filepath.Dir(s.Home)))
	must(t, marker{Spec: s}.write(a))
}

func TestForeignIsRefusedAndUntouched(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		prepare func(t *testing.T, s Spec)
		says    string
	}{
		"somebody's directory": {func(t *testing.T, s Spec) { must(t, os.Mkdir(s.Home, 0o755)); write(t, s.Home, "thesis.tex", "dear") }, "thesis.tex"},
		"another owner's":      {func(t *testing.T, s Spec) { s.Owner = "somebody/else"; mark(t, s) }, "belongs to somebody/else"},
		"a marker of the future": {func(t *testing.T, s Spec) {
			must(t, os.Mkdir(s.Home, 0o755))
			write(t, s.Home, markerName, `{"format": 99}`)
		}, "format 99"},
		"a marker that is none": {func(t *testing.T, s Spec) { must(t, os.Mkdir(s.Home, 0o755)); write(t, s.Home, markerName, `hello`) }, "cannot be read"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testSpec(t)
			c.prepare(t, s)
			before := list(t, s.Home)
			_, err := Ensure(t.Context(), s, testPassword)
			if !errors.Is(err, providers.ErrForeign) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("Ensure: %v", err)
			}
			if err := Destroy(t.Context(), s.Home, s.Owner); !errors.Is(err, providers.ErrForeign) {
				t.Fatalf("Destroy: %v", err)
			}
			wantState(t, s, StateForeign)
			if after := list(t, s.Home); after != before {
				t.Fatalf("before %s, after %s", before, after)
			}
		})
	}
}

// list describes a directory: names, modes, owners.
func list(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		b.WriteString(path + info.Mode().String() + strconv.Itoa(int(st.Uid)) + "\n")
		return nil
	}))
	return b.String()
}

func TestForeignListenerIsNamed(t *testing.T) {
	t.Parallel()
	s, other := testSpec(t), testSpec(t)
	other.Address, other.Owner = s.Address, "somebody/else"
	there := mustEnsure(t, other)
	_, err := Ensure(t.Context(), s, testPassword)
	if !errors.Is(err, providers.ErrForeign) || !strings.Contains(err.Error(), strconv.Itoa(there.PID)) {
		t.Fatalf("want an error that names process %d, have %v", there.PID, err)
	}
	if made, err := s.hasCluster(); err != nil || made {
		t.Fatalf("a cluster was made for an address that is taken: %v", err)
	}
	sql(t, other, "select 1")
}

func TestKilledServerStartsAgain(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	first := mustEnsure(t, s)
	sql(t, s, "create table kept (id int primary key)", "insert into kept values (1)")
	must(t, syscall.Kill(first.PID, syscall.SIGKILL))
	eventually(t, "stopped", func() bool { return wantOneOf(t, s, StateStopped, StateForeign, StateRunning) == StateStopped }) // its children may hold the address for a moment
	again := mustEnsure(t, s)
	if again.SystemIdentifier != first.SystemIdentifier || again.PID == first.PID {
		t.Fatalf("%+v, then %+v", first, again)
	}
	sql(t, s, "insert into kept values (2)")
}

func wantOneOf(t *testing.T, s Spec, states ...State) State {
	t.Helper()
	sight, err := Look(t.Context(), s.Home, s.Owner)
	must(t, err)
	for _, w := range states {
		if sight.State == w {
			return w
		}
	}
	t.Fatalf("the server is %s (%s)", sight.State, sight.Message)
	return ""
}

func TestRemovedDirectoryIsMadeAnew(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	first := mustEnsure(t, s)
	must(t, os.RemoveAll(s.Home)) // and the processes live on, for up to a minute
	wantState(t, s, StateAbsent)
	if err := Vacant(t.Context(), s); err != nil {
		t.Fatalf("what is left of it is in its way: %v", err)
	}
	again := mustEnsure(t, s)
	if again.SystemIdentifier == first.SystemIdentifier {
		t.Fatal("the data were gone and the cluster is the same")
	}
	if !machine.Zombie(first.PID) {
		t.Fatal("the old server lives on")
	}
	sql(t, s, "select 1")
}

func TestDestroyAfterTheDirectoryWentEndsTheProcesses(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	first := mustEnsure(t, s)
	must(t, os.RemoveAll(s.Home))
	must(t, Destroy(t.Context(), s.Home, s.Owner))
	if !machine.Zombie(first.PID) || len(residents(s.dataDir())) > 0 {
		t.Fatal("the old server lives on")
	}
}

func TestFrozenServerIsDestroyed(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	info := mustEnsure(t, s)
	must(t, syscall.Kill(info.PID, syscall.SIGSTOP))
	must(t, Destroy(t.Context(), s.Home, s.Owner))
	if left := residents(s.dataDir()); len(left) > 0 {
		t.Fatalf("processes %v stay", left)
	}
}

func TestStalePidFileOfALivingProcess(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	mustEnsure(t, s)
	must(t, Stop(t.Context(), s.Home, s.Owner))
	// As after a reboot: the number in the file is another process's now.
	write(t, s.dataDir(), "postmaster.pid", strconv.Itoa(os.Getpid())+"\n"+s.dataDir()+"\n1\n5432\n.\n"+s.Address+"\n1 1\nready\n")
	wantState(t, s, StateStopped)
	mustEnsure(t, s)
}

func TestTwoHandsAtOnce(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	var wg sync.WaitGroup
	pids := make([]int, 4)
	for i := range pids {
		wg.Go(func() {
			info, err := Ensure(context.Background(), s, testPassword)
			if err != nil {
				t.Error(err)
			}
			pids[i] = info.PID
		})
	}
	wg.Wait()
	for _, pid := range pids {
		if pid != pids[0] {
			t.Fatalf("several servers: %v", pids)
		}
	}
}

func TestServerInheritsNothing(t *testing.T) {
	s := testSpec(t)
	t.Setenv("SECRET_OF_THE_PARENT", "must-not-be-inherited")
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	flags, err := unix.FcntlInt(w.Fd(), unix.F_SETFD, 0) // as a lock that our parents handed down
	if err != nil {
		t.Fatal(flags, err)
	}
	pipe, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(w.Fd())))
	must(t, err)
	info := mustEnsure(t, s)
	proc := "/proc/" + strconv.Itoa(info.PID)
	text, err := os.ReadFile(proc + "/environ")
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("this root may not see other users' processes")
	}
	must(t, err)
	if env := string(text); strings.Contains(env, "SECRET_OF_THE_PARENT") || strings.Contains(env, "GO") {
		t.Fatalf("environment: %q", env)
	}
	fds, err := os.ReadDir(proc + "/fd")
	must(t, err)
	for _, fd := range fds {
		link, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if err == nil && (link == pipe || link == s.Home) {
			t.Errorf("descriptor %s is %s, ours", fd.Name(), link)
		}
	}
	sid, err := unix.Getsid(info.PID)
	if err != nil || sid != info.PID {
		t.Errorf("session %d, %v: want its own", sid, err)
	}
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	s.Home = filepath.Join(s.Home, strings.Repeat("long-", 30), "db") // a socket's address has 107 bytes
	t.Cleanup(func() { must(t, Destroy(context.Background(), s.Home, s.Owner)) })
	mustEnsure(t, s)
}

func TestUnreachablePathSaysWhatToDo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root's servers run as another user")
	}
	s := testSpec(t)
	closed := filepath.Join(filepath.Dir(s.Home), "closed")
	must(t, os.Mkdir(closed, 0o700))
	s.Home = filepath.Join(closed, "db")
	_, err := Ensure(t.Context(), s, testPassword)
	if !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Fatal(err)
	}
	if ok, err := machine.CanReach(s.Home); ok || err != nil {
		t.Fatalf("CanReach: %v, %v", ok, err)
	}
}

// TestDamagedDataIsNeverReplaced: a data directory that lost PG_VERSION, or cannot be looked at, is an error for everybody who asks, and
// every file in it stays.
func TestDamagedDataIsNeverReplaced(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	mustEnsure(t, s)
	sql(t, s, "create table kept (id int primary key)", "insert into kept values (1)")
	must(t, Stop(t.Context(), s.Home, s.Owner))
	version := filepath.Join(s.dataDir(), versionFile)
	text, err := os.ReadFile(version)
	must(t, err)
	must(t, os.Remove(version))
	if sight, err := Look(t.Context(), s.Home, s.Owner); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("Look says %+v, %v; want an error that says that the data is damaged", sight, err)
	}
	if _, err := Ensure(t.Context(), s, testPassword); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("Ensure says %v; want a refusal", err)
	}
	must(t, os.WriteFile(version, text, 0o600))
	a, err := machine.RunAs()
	must(t, err)
	must(t, os.Chown(version, a.UID, a.GID))
	mustEnsure(t, s)
	sql(t, s, "insert into kept values (2)")
}
