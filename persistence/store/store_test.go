package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/persistence/store"
)

// childDir makes TestChild the body of a second process: it opens the store in that directory and appends changes.
const childDir = "MERIDIAN_STORE_TEST_DIR"

const childWrites = 40

// TestChild runs in a process of its own: see startChild. It prints the number of each change once it is committed; with the second
// variable it does not end by itself.
func TestChild(t *testing.T) {
	dir, forever := os.Getenv(childDir), os.Getenv(childDir+"_FOREVER") != ""
	if dir == "" {
		t.Skip("the body of another test's second process")
	}
	s, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < childWrites || forever; i++ {
		if err := s.Write(context.Background(), func(tx *store.Tx) error { return tx.Notify("child", fmt.Sprintf("%d-%d", os.Getpid(), i)) }); err != nil {
			t.Fatal(err)
		}
		fmt.Println("committed", i)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func childCommand(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func startChild(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := childCommand(t, dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// What was committed outlives its writer's SIGKILL, and the next opener is not disturbed.
func TestAKilledWriterLosesNothing(t *testing.T) {
	dir := t.TempDir()
	committed := 0
	for range 4 {
		cmd := childCommand(t, dir, childDir+"_FOREVER=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 25 && lines.Scan(); n++ {
			committed++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it still said before it died
			if strings.HasPrefix(lines.Text(), "committed") {
				committed++
			}
		}
		_ = cmd.Wait()
		var n int
		var ok string
		s := open(t, dir)
		scan(t, s, "SELECT count(*) FROM changes", &n)
		scan(t, s, "PRAGMA integrity_check", &ok)
		if n < committed || ok != "ok" {
			t.Fatalf("%d changes were committed, %d are there; integrity: %s", committed, n, ok)
		}
		committed = n
		notify(t, s, "run", "x")
		committed++
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func notify(t *testing.T, s *store.Store, topic, key string) {
	t.Helper()
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Notify(topic, key) }); err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, s *store.Store, query string, dest any) {
	t.Helper()
	if err := s.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(query).Scan(dest) }); err != nil {
		t.Fatal(err)
	}
}

func TestOpenSetsWhatTheDesignPromises(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "0"} {
		for name, in := range map[string]func(context.Context, func(*store.Tx) error) error{"write": s.Write, "read": s.Read} {
			var got string
			if err := in(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("PRAGMA " + pragma).Scan(&got) }); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s in a %s transaction is %s, want %s", pragma, name, got, want)
			}
		}
	}
	notify(t, s, "run", "x")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("files %q, %v", files, err)
	}
	for _, f := range append(files, dir) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may read it", f, info.Mode())
		}
	}
}

func TestReadCannotWrite(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Read(t.Context(), func(tx *store.Tx) error { return tx.Notify("run", "x") })
	if err == nil {
		t.Fatal("a read transaction wrote")
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	s := open(t, t.TempDir())
	boom := errors.New("boom")
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.Notify("run", "x"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	var n int
	if scan(t, s, "SELECT count(*) FROM changes", &n); n != 0 {
		t.Fatalf("%d rows of a failed transaction stayed", n)
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.Write(t.Context(), func(tx *store.Tx) error { panic("x") })
	}()
	notify(t, s, "run", "after a panic") // the connection is free again
}

func TestOpenRefuses(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("root may read everything: the case of permissions is left out")
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    error
		says    string
		asUser  bool
	}{
		"newer version": {
			prepare: func(t *testing.T, dir string) {
				s := open(t, dir)
				if err := s.Write(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, 1)")
					return err
				}); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			},
			want: store.ErrNewer, says: "4711",
		},
		"no database": {
			prepare: func(t *testing.T, dir string) { write(t, dir, strings.Repeat("this is no database\n", 300)) },
			want:    store.ErrCorrupt, says: "backup",
		},
		"damaged": {
			prepare: func(t *testing.T, dir string) {
				s := open(t, dir)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				f := filepath.Join(dir, store.FileName)
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				for i := 100; i < len(b); i++ {
					b[i] = 0xff
				}
				write(t, dir, string(b))
			},
			want: store.ErrCorrupt, says: "backup",
		},
		"directory is a file": {
			prepare: func(t *testing.T, dir string) {
				if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			},
			says: "not a directory",
		},
		"not ours to write": {
			prepare: func(t *testing.T, dir string) {
				if err := os.Chmod(dir, 0o500); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
			},
			want: store.ErrUnreadable, says: "owns the directory", asUser: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.asUser && os.Getuid() == 0 {
				t.Skip("root may write everywhere")
			}
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c.prepare(t, dir)
			s, err := store.Open(t.Context(), dir)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opened")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
		})
	}
}

func write(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, store.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileOpenToOthersIsClosedToThem(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	f := filepath.Join(dir, store.FileName)
	if err := os.Chmod(f, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	info, err := os.Stat(f)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestFirstOpenByManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var children []*exec.Cmd
	for range 4 {
		children = append(children, startChild(t, dir))
	}
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			s, err := store.Open(t.Context(), dir)
			if err != nil {
				return err
			}
			return s.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	var n int
	if scan(t, open(t, dir), "SELECT count(*) FROM changes WHERE topic = 'child'", &n); n != 4*childWrites {
		t.Fatalf("%d writes arrived, want %d", n, 4*childWrites)
	}
}

func TestWritersWaitForEachOther(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	var g errgroup.Group
	for i := range 8 {
		s := []*store.Store{a, b}[i%2]
		g.Go(func() error {
			for range 25 {
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					var n int
					if err := tx.QueryRow("SELECT coalesce((SELECT value FROM meta WHERE key = 'n'), 0)").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec("INSERT INTO meta (key, value) VALUES ('n', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", fmt.Sprint(n+1))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var n string
	if scan(t, a, "SELECT value FROM meta WHERE key = 'n'", &n); n != "200" {
		t.Fatalf("200 increments gave %s", n)
	}
}

func TestBusyWriterGivesUpWithItsContext(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	release := hold(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err := b.Write(ctx, func(tx *store.Tx) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a write beside a held lock: %v", err)
	}
	var n int
	scan(t, b, "SELECT count(*) FROM changes", &n) // readers do not wait
	release()
	notify(t, b, "run", "x")
}

// hold keeps the write lock until the returned function is called.
func hold(t *testing.T, s *store.Store) (release func()) {
	t.Helper()
	held, done, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Write(context.Background(), func(tx *store.Tx) error {
			close(held)
			<-done
			return nil
		})
	}()
	<-held
	return sync.OnceFunc(func() {
		close(done)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Closing a descriptor of a file drops the locks that its process holds on it, unless they belong to the descriptor that took them.
// The -shm file is left out: its locks are always the process's.
func TestReadingTheFileDoesNotDropTheLock(t *testing.T) {
	dir := t.TempDir()
	notify(t, open(t, dir), "run", "x")
	file := filepath.Join(dir, store.FileName)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)
	for _, when := range []string{"before", "after"} {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Skip(err)
		}
		if !strings.Contains(string(locks), inode) {
			t.Fatalf("%s the file was read, this process holds no lock on it", when)
		}
		if _, err := os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
}

func next(t *testing.T, ch <-chan store.Change) store.Change {
	t.Helper()
	select {
	case c, ok := <-ch:
		if !ok {
			t.Fatal("the feed ended")
		}
		return c
	case <-time.After(5 * time.Second):
		t.Fatal("no change came")
	}
	return store.Change{}
}

func TestWatchSeesThisProcessAtOnce(t *testing.T) {
	s := open(t, t.TempDir())
	s.PollEvery(time.Hour) // so that nothing but the commit itself can wake the watcher
	notify(t, s, "run", "before")
	ch := s.Watch(t.Context(), 0)
	for i := range 10 {
		notify(t, s, "run", fmt.Sprint(i))
		if c := next(t, ch); c.Topic != "run" || c.Key != fmt.Sprint(i) {
			t.Fatalf("change %d is %+v", i, c)
		}
	}
}

func TestWatchSeesOtherProcesses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	ch := s.Watch(t.Context(), 0)
	c := startChild(t, dir)
	for i := range childWrites {
		if got := next(t, ch); got.Topic != "child" || !strings.HasSuffix(got.Key, fmt.Sprintf("-%d", i)) {
			t.Fatalf("change %d is %+v", i, got)
		}
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestWatchFromAPosition(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range 3 {
		notify(t, s, "run", fmt.Sprint(i))
	}
	var got []string
	ch := s.Watch(t.Context(), 1)
	for range 2 {
		got = append(got, next(t, ch).Key)
	}
	if !slices.Equal(got, []string{"1", "2"}) {
		t.Fatalf("changes after the first: %q", got)
	}
}

func TestWatchEnds(t *testing.T) {
	for name, end := range map[string]func(cancel func(), s *store.Store) error{
		"with its context": func(cancel func(), _ *store.Store) error { cancel(); return nil },
		"with the store":   func(_ func(), s *store.Store) error { return s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ch := s.Watch(ctx, 0)
			notify(t, s, "run", "nobody reads this") // a watcher that is stuck in a send ends too
			if err := end(cancel, s); err != nil {
				t.Fatal(err)
			}
			deadline := time.After(5 * time.Second)
			for {
				select {
				case _, ok := <-ch:
					if !ok {
						return
					}
				case <-deadline:
					t.Fatal("the feed did not end")
				}
			}
		})
	}
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-s.Watch(t.Context(), 0); ok {
		t.Fatal("a closed store feeds changes")
	}
}

func TestFeedIsPruned(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Write(t.Context(), func(tx *store.Tx) error {
		for i := range 10000 {
			if err := tx.Notify("run", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var n, last int
	scan(t, s, "SELECT count(*) FROM changes", &n)
	scan(t, s, "SELECT max(seq) FROM changes", &last)
	if n < 8000 || n > 9000 || last != 10000 {
		t.Fatalf("%d of 10000 changes are kept, the last is %d", n, last)
	}
}

func TestSealedRowsAreFoundAndRewritten(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir())
	if found, err := s.Sealed(ctx); err != nil || found {
		t.Fatalf("a new store has sealed data: %v, %v", found, err)
	}
	if err := s.Write(ctx, func(tx *store.Tx) error {
		for i := range 50 {
			if _, err := tx.Exec("INSERT INTO secrets (incarnation, name, created_at, sealed) VALUES ('inc', ?, 0, ?)", fmt.Sprint(i), []byte("old:"+fmt.Sprint(i))); err != nil {
				return err
			}
		}
		_, err := tx.Exec("INSERT INTO links (incarnation, name, phase, run_number, lag_us, sealed) VALUES ('inc', 'l', '', 0, 0, ?)", []byte("new:l"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Sealed(ctx); err != nil || !found {
		t.Fatalf("sealed data is not found: %v, %v", found, err)
	}
	prefixes := func() []string {
		p, err := s.SealedPrefixes(ctx, 4)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]string, len(p))
		for i := range p {
			out[i] = string(p[i])
		}
		return out
	}
	if p := prefixes(); !slices.Equal(p, []string{"new:", "old:"}) {
		t.Fatalf("prefixes %q", p)
	}
	boom := errors.New("boom")
	calls := 0
	rewrite := func(failAt int) error {
		return s.RewriteSealed(ctx, "secrets", []string{"incarnation", "name"}, []byte("new:"), func(key []string, sealed []byte) ([]byte, error) {
			if calls++; calls == failAt {
				return nil, boom
			}
			if key[0] != "inc" || string(sealed) != "old:"+key[1] {
				t.Errorf("row %q holds %q", key, sealed)
			}
			return []byte("new:" + key[1]), nil
		})
	}
	if err := rewrite(40); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if p := prefixes(); !slices.Equal(p, []string{"new:", "old:"}) {
		t.Fatalf("prefixes after a broken rewrite: %q", p)
	}
	calls = 0
	if err := rewrite(-1); err != nil {
		t.Fatal(err)
	}
	if calls == 0 || calls >= 50 {
		t.Errorf("the second rewrite worked on %d rows: it did not go on from the first", calls)
	}
	if p := prefixes(); !slices.Equal(p, []string{"new:"}) {
		t.Fatalf("prefixes after the rewrite: %q", p)
	}
}

func TestRewriteLeavesARowThatChangedMeanwhile(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir())
	set := func(v string) error {
		return s.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO secrets (incarnation, name, created_at, sealed) VALUES ('i', 'n', 0, ?) ON CONFLICT DO UPDATE SET sealed = excluded.sealed", []byte(v))
			return err
		})
	}
	if err := set("old:1"); err != nil {
		t.Fatal(err)
	}
	err := s.RewriteSealed(ctx, "secrets", []string{"incarnation", "name"}, []byte("new:"), func([]string, []byte) ([]byte, error) {
		return []byte("new:1"), set("new:2")
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	if scan(t, s, "SELECT sealed FROM secrets", &got); string(got) != "new:2" {
		t.Fatalf("the row is %q: a newer value was overwritten", got)
	}
}

func TestIsConflict(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO meta (key) VALUES ('epoch')")
		return err
	})
	if !store.IsConflict(err) || store.IsConflict(sql.ErrNoRows) || store.IsConflict(nil) {
		t.Fatalf("conflict %v", err)
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := store.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for b.Loop() {
		s, err := store.Open(b.Context(), dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := store.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for b.Loop() {
		var v string
		if err := s.Read(b.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT value FROM meta WHERE key = 'epoch'").Scan(&v) }); err != nil {
			b.Fatal(err)
		}
	}
}
