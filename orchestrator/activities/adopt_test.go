package activities

import (
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

func TestSilent(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		beat time.Duration
		want bool
	}{
		"just now": {0, false}, "a beat ago": {-5 * time.Second, false}, "too long ago": {-15 * time.Second, true},
		"a little ahead, by another machine's clock": {time.Second, false}, "the clock was set back a day": {24 * time.Hour, true},
	} {
		if got := silent(now, now.Add(c.beat), 15*time.Second); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLeft(t *testing.T) {
	site := terraform.Site{Root: "/m"}
	runs, over := stacks.StackID{Namespace: "n", Name: "a", Incarnation: "i", Region: "ankara"}, stacks.StackID{Namespace: "n", Name: "a", Incarnation: "i", Region: "istanbul"}
	heads := []journal.Head{{Stack: runs}}
	for name, c := range map[string]struct {
		spools []string
		want   bool
	}{
		"nothing is there":                      {nil, false},
		"of an attempt that runs":               {[]string{site.SpoolDir(runs)}, false},
		"of one that was overtaken, or is over": {[]string{site.SpoolDir(runs), site.SpoolDir(over)}, true},
	} {
		if got := left(c.spools, site, heads); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
