package activities

import (
	"testing"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

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
