package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// Sweep has a runner clean what others left that died between their result and their cleaning. It is worth once a start.
func (a *Activities) Sweep() error {
	_, err := a.start("sweep", terraform.VerbSweep)
	return err
}

// Adopt starts a runner for each head of this site whose runner has not been heard of for three beats: it takes up what still runs, or ships
// and settles what was left, also when nobody waits for that step any more. Where the runner lives after all, it ends at once. What an
// attempt has left whose stack was taken over by another site is swept: a state in clear is in it.
func (a *Activities) Adopt(ctx context.Context) error {
	heads, err := a.Journal.HeadsRunning(ctx)
	if err != nil {
		return fmt.Errorf("running heads: %w", err)
	}
	site, err := a.Site.ID()
	if err != nil {
		return err
	}
	heads = slices.DeleteFunc(heads, func(h journal.Head) bool { return h.Site != site })
	spools, err := a.Site.Spools()
	if err != nil {
		return fmt.Errorf("spools: %w", err)
	}
	if left(spools, a.Site, heads) {
		if err := a.Sweep(); err != nil {
			return err
		}
	}
	for _, h := range heads {
		if !a.Clock.Past(h.BeatAt, 3*a.Timing.BeatEvery) {
			continue
		}
		if err := a.adopt(h); err != nil {
			return err
		}
	}
	return nil
}

// left reports whether a spool is of a stack that has no running head of this site.
func left(spools []string, site terraform.Site, heads []journal.Head) bool {
	return slices.ContainsFunc(spools, func(spool string) bool {
		return !slices.ContainsFunc(heads, func(h journal.Head) bool { return site.SpoolDir(h.Stack) == spool })
	})
}

func (a *Activities) adopt(h journal.Head) error {
	name := strings.ReplaceAll(h.Step, "/", "-")
	_, err := a.start("adopt-"+name, terraform.VerbStep, "--step", h.Step, "--attempt", "adopt", "--adopt")
	return err
}
