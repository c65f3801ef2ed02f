package runner

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks"
)

func TestParseStat(t *testing.T) {
	tail := " S 10 20 30 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"
	for name, c := range map[string]struct {
		line string
		want procStat
		bad  bool
	}{
		"plain":      {line: "42 (sleep)" + tail, want: procStat{process: process{42, 987654}, Name: "sleep", State: 'S', Parent: 10, Group: 20, Session: 30}},
		"odd name":   {line: "42 (a) S (b c)" + tail, want: procStat{process: process{42, 987654}, Name: "a) S (b c", State: 'S', Parent: 10, Group: 20, Session: 30}},
		"cut":        {line: "42 (sleep) S 10", bad: true},
		"no name":    {line: "42 sleep S", bad: true},
		"no numbers": {line: "x (sleep)" + tail, bad: true},
		"empty":      {bad: true},
	} {
		got, err := parseStat(c.line)
		if (err != nil) != c.bad || (!c.bad && got != c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	me, err := self()
	if err != nil || me.PID != os.Getpid() || !me.alive() {
		t.Errorf("self: %+v, %v", me, err)
	}
	if (process{me.PID, me.Start + 1}).alive() {
		t.Error("a later process of the same pid is taken for the same")
	}
}

// TestGraceByTheBootClock: a wall clock that jumps neither cuts the grace of a stop short nor prolongs it.
func TestGraceByTheBootClock(t *testing.T) {
	at := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	c := cancelRecord{At: at, Boot: 100 * time.Second}
	for name, wall := range map[string]time.Time{"hours ahead": at.Add(5 * time.Hour), "hours back": at.Add(-5 * time.Hour), "as ever": at.Add(7 * time.Second)} {
		if got := c.age(wall, 107*time.Second, nil); got != 7*time.Second {
			t.Errorf("%s: told to stop %s ago, want 7s", name, got)
		}
	}
	if got := (cancelRecord{At: at}).age(at.Add(3*time.Second), 107*time.Second, nil); got != 3*time.Second {
		t.Errorf("a record of before: %s", got)
	}
	if got := c.age(at.Add(3*time.Second), 0, os.ErrInvalid); got != 3*time.Second {
		t.Errorf("without a boot clock: %s", got)
	}
}

func TestOutcomeOf(t *testing.T) {
	plan, apply := journal.StepPlan, journal.StepApply
	for name, c := range map[string]struct {
		kind    journal.StepKind
		exit    exitRecord
		known   bool
		stopped *cancelRecord
		want    journal.Outcome
	}{
		"plan, nothing changes":        {kind: plan, known: true, want: journal.OutcomeUnchanged},
		"plan, changes":                {kind: plan, exit: exitRecord{Code: 2}, known: true, want: journal.OutcomeChanges},
		"plan, error":                  {kind: plan, exit: exitRecord{Code: 1}, known: true, want: journal.OutcomeFailed},
		"check, changes":               {kind: journal.StepCheck, exit: exitRecord{Code: 2}, known: true, want: journal.OutcomeChanges},
		"apply":                        {kind: apply, known: true, want: journal.OutcomeApplied},
		"apply, error":                 {kind: apply, exit: exitRecord{Code: 1}, known: true, want: journal.OutcomeFailed},
		"apply, odd code":              {kind: apply, exit: exitRecord{Code: 2}, known: true, want: journal.OutcomeFailed},
		"killed":                       {kind: apply, exit: exitRecord{Code: -1, Signal: "killed"}, known: true, want: journal.OutcomeInterrupted},
		"unknown":                      {kind: apply, want: journal.OutcomeInterrupted},
		"could not be started":         {kind: apply, exit: exitRecord{Code: -1, Error: "no such file"}, known: true, want: journal.OutcomeFailed},
		"stopped":                      {kind: apply, exit: exitRecord{Code: 1}, known: true, stopped: &cancelRecord{}, want: journal.OutcomeCancelled},
		"stopped by force":             {kind: apply, exit: exitRecord{Code: -1, Signal: "killed"}, known: true, stopped: &cancelRecord{}, want: journal.OutcomeCancelled},
		"stopped too late: it is done": {kind: apply, known: true, stopped: &cancelRecord{}, want: journal.OutcomeApplied},
		"stopped by its lease":         {kind: apply, exit: exitRecord{Code: 1}, known: true, stopped: &cancelRecord{Lease: true}, want: journal.OutcomeInterrupted},
		"its lease was over":           {kind: apply, exit: exitRecord{Code: -1, Error: errLeaseOver}, known: true, want: journal.OutcomeInterrupted},
		"stopped by a shutdown":        {kind: apply, exit: exitRecord{Code: 1}, known: true, stopped: &cancelRecord{Shutdown: true}, want: journal.OutcomeInterrupted},
		"killed by its lease":          {kind: plan, exit: exitRecord{Code: -1, Signal: "killed"}, known: true, stopped: &cancelRecord{Lease: true}, want: journal.OutcomeInterrupted},
	} {
		if got := outcomeOf(c.kind, c.exit, c.known, c.stopped); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	read := func(tl *tail, rest bool) string {
		t.Helper()
		events, err := tl.next(rest)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, e := range events {
			lines = append(lines, string(e.Payload))
		}
		return strings.Join(lines, "|")
	}
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	tl := &tail{path: path}
	defer tl.close()
	if got := read(tl, false); got != "" || !tl.eof {
		t.Errorf("no file yet: %q", got)
	}
	write("one\ntwo\nthr")
	if got := read(tl, false); got != "one|two" {
		t.Errorf("whole lines: %q", got)
	}
	write("ee\n\nlast")
	if got := read(tl, false); got != "three|" {
		t.Errorf("the rest of a line: %q", got)
	}
	if got := read(tl, true); got != "last" || tl.seq != 5 {
		t.Errorf("a last line without an end: %q, %d", got, tl.seq)
	}
	write("\n" + strings.Repeat("x", 3*maxLine) + "\nnext\n")
	if got := read(tl, true); len(got) != len("|")+maxLine+len("|next") {
		t.Errorf("an overlong line is cut: %d bytes", len(got))
	}
}

func TestLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "lock")
	first, err := tryLock(path)
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	if second, err := tryLock(path); err != nil || second != nil {
		t.Fatalf("held twice: %v, %v", second, err)
	}
	// A holder may remove the file: whoever opened it before must not take the lock of a file that is gone.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	third, err := tryLock(path)
	if err != nil || third == nil {
		t.Fatal(third, err)
	}
	first.close()
	if fourth, err := tryLock(path); err != nil || fourth != nil {
		t.Fatalf("held twice: %v, %v", fourth, err)
	}
	third.close()
	var none *lock
	none.close()
}

func TestLaunches(t *testing.T) {
	for name, c := range map[string]struct {
		setting string
		cores   int
		want    int
	}{
		"default": {"", 4, 8}, "one core": {"", 1, 2}, "set": {"3", 4, 3}, "too few": {"1", 4, 0}, "no number": {"many", 4, 0},
	} {
		got, err := launches(c.setting, c.cores)
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

// testRing is a ring of its own.
func testRing(t testing.TB) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.Open(keyring.Source{Dir: t.TempDir()}, true)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSpool(t *testing.T) {
	s := spool{filepath.Join(t.TempDir(), "spool")}
	if err := s.begin(attempt{ID: "a", Stack: stacks.StackID{Region: "r"}}); err != nil {
		t.Fatal(err)
	}
	keys, id := testRing(t), stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "r"}
	if err := s.putSnapshot(keys, id, []byte("the state")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.snapshot(keys, id); string(got) != "the state" || err != nil {
		t.Errorf("snapshot %q, %v", got, err)
	}
	if got, err := s.snapshot(keys, stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "other"}); got != nil || err != nil {
		t.Errorf("another stack's snapshot is taken: %q, %v", got, err)
	}
	if got, err := s.snapshot(testRing(t), id); got != nil || !errors.Is(err, keyring.ErrLost) || !strings.Contains(err.Error(), "nothing was touched") {
		t.Errorf("without its key: %q, %v", got, err)
	}
	data, err := os.ReadFile(s.path(snapshotFile))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("the state")) {
		t.Error("the snapshot is in clear")
	}
	data[len(data)-1]++
	if err := os.WriteFile(s.path(snapshotFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.snapshot(keys, id); got != nil || err != nil {
		t.Errorf("a damaged snapshot is taken: %q, %v", got, err)
	}
	if err := s.begin(attempt{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	var a attempt
	if ok, err := s.get(attemptFile, &a); !ok || err != nil || a.ID != "b" || s.has(snapshotFile) {
		t.Errorf("begun again: %+v, %v, %v", a, ok, err)
	}
	info, err := os.Stat(s.path(attemptFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info.Mode(), err)
	}
	if err := s.remove(); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.get(attemptFile, &a); ok || err != nil {
		t.Errorf("removed: %v, %v", ok, err)
	}
}
