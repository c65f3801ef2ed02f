package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// lines makes entries from texts like "1 create begin x": process, change, phase and path; a fifth word is an error.
func lines(texts ...string) (out []entry) {
	at := time.Unix(1000, 0)
	for _, text := range texts {
		var e entry
		_, _ = fmt.Sscan(text, &e.PID, &e.Op, &e.Phase, &e.Path, &e.Error)
		at, e.stack = at.Add(time.Second), stackOfPath(e.Path, nil)
		e.At = at
		out = append(out, e)
	}
	return out
}

func TestJudge(t *testing.T) {
	t.Parallel()
	made := []string{"1 create begin x", "1 create end x"}
	for name, c := range map[string]struct {
		lines []string
		mayGo bool
		want  []string
	}{
		"made, changed, removed":      {append(slices.Clone(made), "2 update begin x", "2 update end x", "3 delete begin x", "3 delete end x"), true, nil},
		"made again after a removal":  {append(slices.Clone(made), "3 delete begin x", "3 delete end x", "4 create begin x", "4 create end x"), true, nil},
		"killed and made":             {[]string{"1 create begin x", "2 create begin x", "2 create end x"}, false, nil},
		"failed and made":             {[]string{"1 create begin x", "1 create end x no", "2 create begin x", "2 create end x"}, false, nil},
		"made twice":                  {append(slices.Clone(made), "2 create begin x", "2 create end x"), false, []string{"duplicates"}},
		"tried again though made":     {append(slices.Clone(made), "2 create begin x", "2 create end x exists"), false, []string{"duplicates"}},
		"made by two at once":         {[]string{"1 create begin x", "2 create begin x", "1 create end x", "2 create end x exists"}, false, []string{"duplicates"}},
		"two objects at once":         {[]string{"1 create begin x", "1 create begin y", "1 create end x", "1 create end y"}, false, nil},
		"removed without an approval": {append(slices.Clone(made), "3 delete begin x", "3 delete end x"), false, []string{"lost"}},
	} {
		var got []string
		for _, f := range judge(lines(c.lines...), func(entry) bool { return c.mayGo }) {
			got = append(got, f.kind)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestLedgerIsReadAsItGrows(t *testing.T) {
	t.Parallel()
	l := newLedger(filepath.Join(t.TempDir(), "ledger"))
	want := func(n int) {
		t.Helper()
		if got, err := l.read(); err != nil || len(got) != n {
			t.Fatalf("%d entries, %v, want %d", len(got), err, n)
		}
	}
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(l.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	want(0)
	text, err := json.Marshal(lines("1 create begin x")[0])
	if err != nil {
		t.Fatal(err)
	}
	add(string(text[:10]))
	want(0)
	add(string(text[10:]) + "\n")
	want(1)
	if open, err := l.inFlight(); err != nil || len(open) != 0 {
		t.Errorf("%v in flight, %v: process 1 is no plugin", open, err)
	}
}

func TestStackOfPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/srv/servers/default.c1.inc.ankara":           "inc/ankara",
		"/srv/servers/default.c1.inc.ankara.beside.07": "inc/ankara",
		"/srv/servers/default.m1.word.izmir.beside.01": "of-word/izmir",
		"/srv/elsewhere": "",
	} {
		if got := stackOfPath(path, map[string]string{"word": "of-word"}); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestFinished(t *testing.T) {
	t.Parallel()
	const home = "/s/default.c1.one.ankara"
	entries := lines("1 create begin "+home, "1 create begin "+home+".beside.01", "1 create end "+home+".beside.01", "1 create begin "+home+".beside.02",
		"1 create end "+home+".beside.02", "1 delete begin "+home+".beside.02", "2 create end /s/default.c1.two.ankara")
	if got := finished(entries, "one"); !slices.Equal(got, []string{home + ".beside.01"}) {
		t.Errorf("finished: %v", got)
	}
}
