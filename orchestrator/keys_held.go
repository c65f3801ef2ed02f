package orchestrator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
)

// The kinds of what holds a key of the ring; stable.
const (
	HoldGrace    = "grace"
	HoldRows     = "rows"
	HoldHead     = "head"
	HoldSpool    = "spool"
	HoldSchedule = "schedule"
	HoldWorkflow = "workflow"
	HoldWorker   = "worker"
	HoldTemporal = "temporal"
)

// KeyHold is one thing that may hold what older keys have sealed, or may still seal with one.
type KeyHold struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject"`
	What    string `json:"what"`
	Next    string `json:"next,omitempty"`
	// Keys are the IDs of the keys that it holds, oldest first.
	Keys []string `json:"keys"`
}

// keyFacts is all that decides which keys of the ring are still needed.
type keyFacts struct {
	now   time.Time
	grace time.Duration
	// began is when this server read its ring, where the ring does not say when a key was made.
	began time.Time
	keys  []keyring.Info // oldest first
	given bool           // the ring is no file of ours
	site  string         // this server's

	rows      map[string]int64 // by key
	heads     []journal.HeldHead
	sites     []journal.Site
	spools    []spoolFact
	schedules []scheduleKey
	flows     []flowFact
	workers   []workerIdentity // of every site, that have asked for work lately
	away      string           // why Temporal cannot be asked; "" where it was
}

// spoolFact is a spool of this site that no running head has, and since when its oldest part is there.
type spoolFact struct {
	dir   string
	since time.Time
}

// flowFact is an open workflow whose payloads may be sealed. key is the one that sealed what it was given, where that is known.
type flowFact struct {
	id      string
	started time.Time
	key     string
}

func (f keyFacts) newest() keyring.Info { return f.keys[len(f.keys)-1] }

// old are the IDs of all keys but the newest, oldest first.
func (f keyFacts) old() []string {
	out := make([]string, 0, len(f.keys))
	for _, k := range f.keys[:len(f.keys)-1] {
		out = append(out, k.ID)
	}
	return out
}

// since are the older keys that may have sealed something which began at a time: those whose successor was not surely in use everywhere by then.
func (f keyFacts) since(begun time.Time) (out []string) {
	for i, k := range f.keys[:len(f.keys)-1] {
		next := f.keys[i+1].Created
		if begun.IsZero() || next.IsZero() || begun.Before(next.Add(f.grace)) {
			out = append(out, k.ID)
		}
	}
	return out
}

// hold makes a hold, unless it is one on no key.
func hold(out []KeyHold, h KeyHold, keys []string) []KeyHold {
	if len(keys) == 0 {
		return out
	}
	h.Keys = keys
	return append(out, h)
}

// held lists what holds older keys of the ring, in a stable order. It is pure.
func (f keyFacts) held() []KeyHold {
	out := []KeyHold{}
	if len(f.keys) < 2 {
		return out
	}
	out = f.heldByTime(out)
	for _, id := range f.old() {
		if n := f.rows[id]; n > 0 {
			out = append(out, KeyHold{Kind: HoldRows, Subject: id, What: fmt.Sprintf("%d rows are sealed with it", n), Next: "meridian keys retire seals them again first", Keys: []string{id}})
		}
	}
	for _, h := range f.heads {
		out = hold(out, KeyHold{
			Kind: HoldHead, Subject: h.Stack.String(), What: "its step " + h.Step + " began before the newest key was in use everywhere, and its site may have sealed what it has not shipped",
			Next: "wait for its run, or cancel it: meridian run cancel " + runOf(h.Step),
		}, f.since(h.Since))
	}
	for _, s := range f.spools {
		out = hold(out, KeyHold{
			Kind: HoldSpool, Subject: s.dir, What: "it was left by an attempt from before the newest key, and what is in it may not be in the store",
			Next: "meridian fsck says what it is; move it away, with a copy of the ring of today",
		}, f.since(s.since))
	}
	out = f.heldBySchedules(out)
	for _, w := range f.flows {
		keys := f.since(w.started)
		if w.key != "" && slices.Contains(f.old(), w.key) && !slices.Contains(keys, w.key) {
			keys = append(keys, w.key)
		}
		out = hold(out, KeyHold{Kind: HoldWorkflow, Subject: w.id, What: "it is open, and its history has payloads from before the newest key was in use everywhere", Next: flowNext(w.id)}, keys)
	}
	for _, w := range f.workers {
		if w.Key == f.newest().ID || w.File && !f.given && w.Site == f.site {
			continue
		}
		out = hold(out, KeyHold{
			Kind: HoldWorker, Subject: w.Process, What: "this worker was started with " + keyNamed(w.Key) + ", so it may seal with an older one, and cannot open what the newest one sealed",
			Next: "stop it, give it the ring with the newest key, and start it again; " + forgotten(),
		}, f.old())
	}
	slices.SortStableFunc(out, func(a, b KeyHold) int { return strings.Compare(a.Kind+" "+a.Subject, b.Kind+" "+b.Subject) })
	return out
}

// heldByTime holds all older keys until the newest was there for the grace, and while Temporal cannot be asked.
func (f keyFacts) heldByTime(out []KeyHold) []KeyHold {
	newest := f.newest()
	made := newest.Created
	if made.IsZero() {
		made = f.began
	}
	if age := f.now.Sub(made); age < f.grace {
		out = hold(out, KeyHold{
			Kind: HoldGrace, Subject: newest.ID, What: fmt.Sprintf("the newest key was there for %s, and what was sealed before it may still be on its way", age.Round(time.Second)),
			Next: fmt.Sprintf("wait %s", max((f.grace-age).Round(time.Second), time.Second)),
		}, f.old())
	}
	if f.away != "" {
		out = hold(out, KeyHold{Kind: HoldTemporal, Subject: "Temporal", What: "it cannot be asked what it holds: " + f.away, Next: "wait until it answers"}, f.old())
	}
	return out
}

// heldBySchedules holds the keys that sealed what schedules give, as one: there may be as many as databases.
func (f keyFacts) heldBySchedules(out []KeyHold) []KeyHold {
	var keys, ids []string
	for _, s := range f.schedules {
		if s.unknown || slices.Contains(f.old(), s.key) {
			ids = append(ids, s.id)
		}
		if s.unknown {
			keys = f.old()
		} else if slices.Contains(f.old(), s.key) && !slices.Contains(keys, s.key) {
			keys = append(keys, s.key)
		}
	}
	if len(ids) == 0 {
		return out
	}
	slices.SortFunc(keys, func(a, b string) int { return slices.Index(f.old(), a) - slices.Index(f.old(), b) })
	return hold(out, KeyHold{
		Kind: HoldSchedule, Subject: slices.Min(ids), What: fmt.Sprintf("%d schedules of checks for drift, this one among them, give what was sealed before the newest key", len(ids)),
		Next: "wait: the server makes them anew by itself",
	}, keys)
}

// elsewhere says who works with this store on other sites, in a stable order: they do not have a key that is made here. Sites that were declared
// dead do not count. It is pure.
func (f keyFacts) elsewhere() (out []string) {
	for _, w := range f.workers {
		switch {
		case w.Site == "":
			out = append(out, "worker "+w.Process+", which does not say of which site it is")
		case w.Site != f.site:
			out = append(out, "worker "+w.Process+" of site "+w.Site)
		}
	}
	for _, h := range f.heads {
		i := slices.IndexFunc(f.sites, func(s journal.Site) bool { return s.ID == h.Site })
		if h.Site == f.site || i >= 0 && f.sites[i].Dead() {
			continue
		}
		where := "site " + h.Site
		if i >= 0 {
			where += " (" + f.sites[i].Host + ")"
		}
		out = append(out, where+", whose attempt at "+h.Stack.String()+" is not known to be over")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// runOf is the run of a step: "<run>/<region>/<kind>.<n>".
func runOf(step string) string {
	run, _, _ := strings.Cut(step, "/")
	return run
}

// flowNext is what can be done about an open workflow.
func flowNext(id string) string {
	parts := strings.Split(id, "/")
	switch {
	case parts[0] == "run" && len(parts) > 2:
		return "wait for its run, or cancel it: meridian run cancel " + parts[2]
	case parts[0] == "database" && len(parts) > 3:
		return "wait for the runs of " + parts[2] + "/" + parts[3] + ": meridian run list " + parts[3] + " -n " + parts[2]
	}
	return "wait: a check for drift takes as long as a plan"
}

func keyNamed(id string) string {
	if id == "" {
		return "an unknown key"
	}
	return "key " + id
}

// forgotten says how long who has stopped still counts.
func forgotten() string {
	return fmt.Sprintf("one that has stopped is forgotten within %s", workerForgotten)
}
