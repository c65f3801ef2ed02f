package orchestrator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks"
)

// ringOf is a ring whose keys were made an hour apart, the last one so long ago.
func ringOf(now time.Time, newest time.Duration, ids ...string) (out []keyring.Info) {
	for i, id := range ids {
		out = append(out, keyring.Info{ID: id, Created: now.Add(-newest - time.Duration(len(ids)-1-i)*time.Hour)})
	}
	return out
}

// TestHeld: what holds which keys, each fact alone.
func TestHeld(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	stack := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "ankara"}
	plain := func() keyFacts {
		return keyFacts{now: now, grace: time.Minute, began: now.Add(-time.Hour), site: "here", keys: ringOf(now, 10*time.Minute, "one", "two", "new"), rows: map[string]int64{"new": 7}}
	}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		change func(f *keyFacts)
		want   []string // kind subject: keys
	}{
		"nothing":  {func(*keyFacts) {}, nil},
		"one key":  {func(f *keyFacts) { f.keys, f.away = f.keys[2:], "it is away" }, nil},
		"rows":     {func(f *keyFacts) { f.rows["two"] = 3 }, []string{"rows two: two"}},
		"the lost": {func(f *keyFacts) { f.rows["gone"] = 3 }, nil},
		"too new": {func(f *keyFacts) { f.keys = ringOf(now, 59*time.Second, "one", "new") }, []string{
			"grace new: one",
		}},
		"just old enough": {func(f *keyFacts) { f.keys = ringOf(now, time.Minute, "one", "new") }, nil},
		"away":            {func(f *keyFacts) { f.away = "no answer" }, []string{"temporal Temporal: one two"}},

		"head of before two": {func(f *keyFacts) { f.heads = []journal.HeldHead{{Stack: stack, Since: ago(2 * time.Hour)}} }, []string{"head " + stack.String() + ": one two"}},
		"head of before new": {func(f *keyFacts) { f.heads = []journal.HeldHead{{Stack: stack, Since: ago(30 * time.Minute)}} }, []string{"head " + stack.String() + ": two"}},
		"head within the grace": {func(f *keyFacts) {
			f.heads = []journal.HeldHead{{Stack: stack, Since: ago(10*time.Minute - 59*time.Second)}}
		}, []string{"head " + stack.String() + ": two"}},
		"head of after":         {func(f *keyFacts) { f.heads = []journal.HeldHead{{Stack: stack, Since: ago(9 * time.Minute)}} }, nil},
		"head of no known time": {func(f *keyFacts) { f.heads = []journal.HeldHead{{Stack: stack}} }, []string{"head " + stack.String() + ": one two"}},
		"keys of no known time": {func(f *keyFacts) {
			f.keys = []keyring.Info{{ID: "one"}, {ID: "new"}}
			f.heads = []journal.HeldHead{{Stack: stack, Since: ago(time.Second)}}
		}, []string{"head " + stack.String() + ": one"}},
		"keys of no known time, read just now": {func(f *keyFacts) {
			f.keys, f.began = []keyring.Info{{ID: "one"}, {ID: "new"}}, ago(time.Second)
		}, []string{"grace new: one"}},

		"spool of before": {func(f *keyFacts) { f.spools = []spoolFact{{"/data/spool/x", ago(time.Hour)}} }, []string{"spool /data/spool/x: two"}},
		"spool of after":  {func(f *keyFacts) { f.spools = []spoolFact{{"/data/spool/x", ago(time.Minute)}} }, nil},

		"schedules": {func(f *keyFacts) {
			f.schedules = []scheduleKey{{id: "c", key: "two"}, {id: "a", key: "new"}, {id: "b", key: "one"}, {id: "d"}}
		}, []string{"schedule b: one two"}},
		"schedule that says nothing": {func(f *keyFacts) { f.schedules = []scheduleKey{{id: "a", unknown: true}} }, []string{"schedule a: one two"}},

		"workflow of before": {func(f *keyFacts) { f.flows = []flowFact{{id: "run/i/r-1", started: ago(time.Hour)}} }, []string{"workflow run/i/r-1: two"}},
		"workflow of after":  {func(f *keyFacts) { f.flows = []flowFact{{id: "run/i/r-1", started: ago(time.Minute)}} }, nil},
		"check that an old schedule began": {func(f *keyFacts) {
			f.flows = []flowFact{{id: "drift/i/schedule/x", started: ago(time.Minute), key: "one"}}
		}, []string{"workflow drift/i/schedule/x: one"}},
		"check that a new schedule began": {func(f *keyFacts) {
			f.flows = []flowFact{{id: "drift/i/schedule/x", started: ago(time.Minute), key: "new"}}
		}, nil},

		"worker here, its file": {func(f *keyFacts) {
			f.workers = []workerIdentity{{Process: "1@h", Site: "here", Key: "one", File: true}}
		}, nil},
		"worker here, its own ring": {func(f *keyFacts) { f.workers = []workerIdentity{{Process: "1@h", Site: "here", Key: "one"}} }, []string{"worker 1@h: one two"}},
		"worker here, the ring given": {func(f *keyFacts) {
			f.given, f.workers = true, []workerIdentity{{Process: "1@h", Site: "here", Key: "one", File: true}}
		}, []string{"worker 1@h: one two"}},
		"worker there, the ring of old": {func(f *keyFacts) {
			f.workers = []workerIdentity{{Process: "1@h", Site: "there", Key: "two", File: true}}
		}, []string{"worker 1@h: one two"}},
		"worker there, the ring of now": {func(f *keyFacts) {
			f.workers = []workerIdentity{{Process: "1@h", Site: "there", Key: "new", File: true}}
		}, nil},
		"worker that says nothing": {func(f *keyFacts) { f.workers = []workerIdentity{{Process: "1@h"}} }, []string{"worker 1@h: one two"}},
	} {
		f := plain()
		c.change(&f)
		var got []string
		for _, h := range f.held() {
			got = append(got, h.Kind+" "+h.Subject+": "+strings.Join(h.Keys, " "))
			if h.What == "" || h.Next == "" {
				t.Errorf("%s: %s does not say what, or what to do", name, h.Kind)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestElsewhere: who would not have a key that is made here.
func TestElsewhere(t *testing.T) {
	stack := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "ankara"}
	sites := []journal.Site{{ID: "dead", Host: "ankara-1", DeadAt: time.Now()}, {ID: "here", Host: "ankara-2"}, {ID: "there", Host: "ankara-3"}}
	for name, c := range map[string]struct {
		worker workerIdentity
		head   string
		want   string
	}{
		"nobody else":                {workerIdentity{Process: "1@h", Site: "here"}, "here", ""},
		"a worker":                   {workerIdentity{Process: "1@h", Site: "there"}, "here", "worker 1@h of site there"},
		"a worker that says nothing": {workerIdentity{Process: "1@h"}, "here", "worker 1@h, which does not say of which site it is"},
		"a head":                     {workerIdentity{Process: "1@h", Site: "here"}, "there", "site there (ankara-3), whose attempt at " + stack.String() + " is not known to be over"},
		"a head of the dead":         {workerIdentity{Process: "1@h", Site: "here"}, "dead", ""},
		"a head of nobody known":     {workerIdentity{Process: "1@h", Site: "here"}, "gone", "site gone, whose attempt at " + stack.String() + " is not known to be over"},
	} {
		f := keyFacts{site: "here", sites: sites, workers: []workerIdentity{c.worker}, heads: []journal.HeldHead{{Stack: stack, Site: c.head}}}
		if got := strings.Join(f.elsewhere(), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestIdentity: what a worker says of itself is read as it was said; what others say is a process and nothing more.
func TestIdentity(t *testing.T) {
	for _, w := range []workerIdentity{
		{Process: "12@ankara-7", Site: "4f1c", Key: "abcdefgh", File: true},
		{Process: "12@ankara-7", Site: "4f1c", Key: "abcdefgh"},
		{Process: "12@ankara-7"},
	} {
		if got := readIdentity(w.String()); got != w {
			t.Errorf("%q is read as %+v", w, got)
		}
	}
	if got := readIdentity("12@ankara-7@meridian/abc"); got != (workerIdentity{Process: "12@ankara-7@meridian/abc"}) {
		t.Errorf("a foreign one is read as %+v", got)
	}
}

// TestFlowNext: each kind of workflow has something that a person can do.
func TestFlowNext(t *testing.T) {
	for id, want := range map[string]string{
		"run/inst/r-1":                "meridian run cancel r-1",
		"run/inst/r-1/ankara":         "meridian run cancel r-1",
		"database/inst/shop/orders":   "meridian run list orders -n shop",
		"drift/inst/check/d-1":        "wait: ",
		"drift/inst/schedule/abc-1-1": "wait: ",
	} {
		if got := flowNext(id); !strings.Contains(got, want) {
			t.Errorf("%s: %q", id, got)
		}
	}
}
