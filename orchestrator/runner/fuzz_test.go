package runner

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"meridian/persistence/keyring"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// FuzzArguments gives the runner any arguments: it refuses what it does not know, and never takes one for another.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		"find --data /d", "step --data /d --step r-1/a/plan.1 --attempt x --adopt", "template --data /d --step s", "show --data=/d --artifact=a",
		"sweep --data d", "step --step s", "find --data /d extra", "step --data \x00", "-h", "shim --spool /s -- x", "",
	} {
		f.Add(strings.ReplaceAll(seed, " ", "\n"))
	}
	f.Fuzz(func(t *testing.T, lines string) {
		args := strings.Split(lines, "\n")
		o, err := parse(args[0], args[1:], io.Discard)
		if err == nil && (o.site.Root == "" || o.site.Root[0] != '/') {
			t.Errorf("%q was taken without an absolute data directory: %+v", args, o)
		}
	})
}

// FuzzHandshake gives it any first line of a plugin.
func FuzzHandshake(f *testing.F) {
	for _, seed := range []string{"1|6|unix|.terraform/plugin1|grpc|", "1|5|tcp|127.0.0.1:1|grpc", "1|6|unix||grpc", "", "|||||", "1|6|unix|a|grpc|cert"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if protocol, address, err := parseHandshake(line); err == nil && (protocol == 0 || address == "" || strings.Contains(address, "|")) {
			t.Errorf("%q gave %d and the address %q", line, protocol, address)
		}
	})
}

// FuzzStat gives it any line of /proc/PID/stat.
func FuzzStat(f *testing.F) {
	f.Add("1 (a) S 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 77 1 1")
	f.Add("7 (a) b) ) T 1 2 3")
	f.Add(") (")
	f.Fuzz(func(t *testing.T, line string) {
		if s, err := parseStat(line); err == nil && s.State == 0 {
			t.Errorf("%q is a process without a state", line)
		}
	})
}

// FuzzTail gives it any output of terraform, in two pieces: nothing is lost, and a later reader counts the same.
func FuzzTail(f *testing.F) {
	for _, seed := range [][2]string{{"{\"type\":\"version\"}\nplain\n", "half"}, {"", ""}, {"\r\n\n", "\r"}, {"a", "\nb\n"}, {strings.Repeat("x", 1<<16), "\n"}} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		path := t.TempDir() + "/out"
		live, late := &tail{path: path}, &tail{path: path}
		defer live.close()
		defer late.close()
		var got [][]byte
		for _, piece := range [][]byte{first, second} {
			appendTo(t, path, piece)
			for done := false; !done; done = live.eof {
				events, err := live.next(false)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					got = append(got, e.Payload)
				}
			}
		}
		events, err := live.next(true)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			got = append(got, e.Payload)
		}
		again, err := late.next(true)
		if err != nil || late.seq != live.seq || len(again) != len(got) {
			t.Fatalf("read at once there are %d lines, in pieces %d: %v", late.seq, live.seq, err)
		}
		all := append(bytes.Clone(first), second...)
		if len(all) > maxLine {
			return // a line may have been cut
		}
		for i := range got {
			if !bytes.Equal(got[i], again[i].Payload) || again[i].Seq != int64(i+1) {
				t.Errorf("line %d is %q in pieces, %q at once", i+1, got[i], again[i].Payload)
			}
		}
		var want []string
		for line := range strings.Lines(string(all)) {
			want = append(want, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
		}
		if len(want) != len(got) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		for i := range want {
			if string(got[i]) != want[i] {
				t.Errorf("line %d is %q, want %q", i+1, got[i], want[i])
			}
		}
	})
}

func appendTo(t *testing.T, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
}

// FuzzSpool gives it a spool with any content, as a torn or damaged disk leaves it: a state is read only where it is whole, and a lease
// that cannot be read never lets terraform go on.
func FuzzSpool(f *testing.F) {
	for _, seed := range []string{
		"", "{", "null", "[]", `{"pid":1,"start":2,"session":3}`, `{"code":1,"signal":"killed"}`, `{"until":1,"stop":2,"kill":3}`,
		`{"id":"a","fence":{"Epoch":1}}`, "\x00\x00\x00\x00", `{"until":-9223372036854775808,"stop":9223372036854775807}`,
	} {
		f.Add([]byte(seed))
	}
	keys, id := testRing(f), stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "r"}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := spool{t.TempDir()}
		for _, name := range []string{attemptFile, shimFile, terraformFile, exitFile, cancelFile, deadlineFile, snapshotFile, terraform.StateInClear, terraform.OutputInClear} {
			if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var a attempt
		begun, attemptErr := s.get(attemptFile, &a)
		if begun && attemptErr != nil {
			t.Errorf("an attempt that cannot be read is taken: %v", attemptErr)
		}
		r := &run{spool: s, family: family{spool: s, gone: true}}
		r.exit()
		r.stopped()
		if _, known := r.family.shim(); known {
			t.Error("a process of another boot is known")
		}
		readOutput(s.path(terraform.OutputInClear), func(line []byte) []byte { return line })
		var d deadline
		if _, err := s.get(deadlineFile, &d); err != nil {
			if _, act := leaseNow(terraform.Clock{}, s); act == leaseRuns {
				t.Error("a lease that cannot be read runs on")
			}
		}
		if every := d.look(); every <= 0 || every > time.Second {
			t.Errorf("the shim would look every %s", every)
		}
		if state, err := s.snapshot(keys, id); state != nil || err != nil && !errors.Is(err, keyring.ErrLost) {
			t.Errorf("a state of %d bytes out of %d, %v", len(state), len(data), err)
		}
		if state := s.snapshotInClear(); state != nil && len(state) != len(data)-4 {
			t.Errorf("a state in clear of %d bytes out of %d", len(state), len(data))
		}
		if err := s.putSnapshot(keys, id, data); err != nil {
			t.Fatal(err)
		}
		if state, err := s.snapshot(keys, id); err != nil || !bytes.Equal(state, data) {
			t.Errorf("a state that was kept is another one: %v", err)
		}
		if kept, err := os.ReadFile(s.path(snapshotFile)); err == nil && len(kept) > 4 { // one bit of it flips
			kept[len(kept)-1] ^= 1
			if err := os.WriteFile(s.path(snapshotFile), kept, 0o600); err != nil {
				t.Fatal(err)
			}
			if state, err := s.snapshot(keys, id); state != nil || err != nil {
				t.Errorf("a damaged state is read: %q, %v", state, err)
			}
		}
	})
}
