package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
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
	cmd.Env = append(append(os.Environ(), childDir+"="+storetest.Where(t, dir)), env...)
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
		ok := "ok"
		s := open(t, dir)
		scan(t, s, "SELECT count(*) FROM changes", &n)
		if !storetest.OnPostgres() {
			scan(t, s, "PRAGMA integrity_check", &ok)
		}
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

// Closing a descriptor of a file drops the locks that its process holds on it, unless they belong to the descriptor that took them.
// The -shm file is left out: its locks are always the process's.
func TestReadingTheFileDoesNotDropTheLock(t *testing.T) {
	storetest.SQLiteOnly(t)
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
