package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

const keysVerbs = "a verb: list, rotate or retire"

func newKeys(a *app) *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "List, rotate and retire the keys that seal what is stored", Args: arguments(0, 0, keysVerbs)}
	c.RunE = func(*cobra.Command, []string) error {
		return &exitError{Code: exitFailed, What: "meridian keys wants " + keysVerbs, Next: "see `meridian keys --help`"}
	}
	c.AddCommand(newKeysList(a), newKeysRotate(a), newKeysRetire(a))
	return c
}

func newKeysList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the ring's keys, and what each is still needed for",
		Long: `List the ring's keys by their IDs, oldest first: when each was made, which one seals, how many rows each has sealed, and what else may still
need an older one. No key is ever shown.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.Keys(c.Context())
			if err != nil {
				return err
			}
			return a.print(v, func(t *table) { printKeys(t, v) })
		},
	}
}

func printKeys(t *table, v orchestrator.KeysView) {
	t.row("KEY", "MADE", "SEALS", "ROWS", "TABLES")
	for _, k := range v.Keys {
		made, seals := "unknown", ""
		if !k.Created.IsZero() {
			made = since(k.Created, time.Now()) + " ago"
		}
		if k.Seals {
			seals = "yes"
		}
		t.row(k.ID, made, seals, fmt.Sprint(k.Rows), tablesOf(k))
	}
	for _, k := range v.Lost {
		t.row(k.ID, "not in the ring", "", fmt.Sprint(k.Rows), tablesOf(k))
	}
	payloads := "what Temporal is given is not sealed"
	if v.Payloads {
		payloads = "what Temporal is given is sealed too"
	}
	t.line("the ring is %s; %s", v.Source, payloads)
	for _, other := range v.Elsewhere {
		t.line("not rotated while others work with this store: %s", other)
	}
	printHolds(t, v.Held)
}

func tablesOf(k orchestrator.KeyView) string {
	out := make([]string, len(k.Tables))
	for i, n := range k.Tables {
		out[i] = fmt.Sprintf("%s %d", n.Table, n.Rows)
	}
	return strings.Join(out, ", ")
}

// shownHolds is how many of them are printed: open workflows may be as many as runs.
const shownHolds = 20

func printHolds(t *table, held []orchestrator.KeyHold) {
	if len(held) == 0 {
		return
	}
	t.line("older keys are needed, or may be:")
	for i, h := range held {
		if i == shownHolds {
			t.line("  and %d more: -o json lists all", len(held)-i)
			return
		}
		t.row("  "+h.Kind, h.Subject, h.What)
		if h.Next != "" {
			t.line("      next: %s", h.Next)
		}
	}
}

func newKeysRotate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Make a key that seals from now on, and seal all rows again",
		Long: `Make a key that seals from now on, and seal everything that is stored again, while the server works. It may be ended at any moment: done
again, it finishes that before it makes another key.

The older keys stay in the ring until "meridian keys retire". It is refused while another machine works with this store, which would not
have the new key; a ring that comes from a variable is changed there.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.RotateKeys(c.Context(), a.actor())
			if err != nil {
				return err
			}
			if err := a.print(v, func(t *table) { printRotation(t, v) }); err != nil {
				return err
			}
			if len(v.Old) > 0 {
				a.progress("to take %s out of the ring: %s", strings.Join(v.Old, ", "), a.call("keys retire"))
			}
			return nil
		},
	}
}

func printRotation(t *table, v orchestrator.RotateView) {
	if v.Finished {
		t.line("no key was made: the rotation to %s is finished now", v.Key)
	} else {
		t.line("%s seals from now on", v.Key)
	}
	t.line("rows sealed again: %d", v.Resealed)
	printHolds(t, v.Held)
}

func newKeysRetire(a *app) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "retire",
		Short: "Take the older keys out of the ring, where nothing needs one",
		Long: `Seal everything again that the newest key did not seal, and take the older keys out of the ring: all of them where nothing needs one, and
none otherwise. What needs one is listed, with what to do; the verb then ends with 3.

What is not in the store is lost with a key: backups from before can only be put back with the ring of before, so keep that with them; and
Temporal's Web UI no longer opens what was sealed in histories that have ended.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			if err := a.sure(c.Context(), yes, "Take the older keys out of the ring? Backups from before can then only be put back with the ring of before."); err != nil {
				return err
			}
			v, err := client.RetireKeys(c.Context(), a.actor())
			if err != nil {
				return err
			}
			if err := a.print(v, func(t *table) { printRetirement(t, v) }); err != nil {
				return err
			}
			if len(v.Held) > 0 {
				return &exitError{Code: exitRefused, What: "nothing was taken out of the ring", Next: "do what is said beside each, then again: " + a.call("keys retire")}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func printRetirement(t *table, v orchestrator.RetireView) {
	if v.Resealed > 0 {
		t.line("rows sealed again: %d", v.Resealed)
	}
	switch {
	case len(v.Held) > 0:
		printHolds(t, v.Held)
	case len(v.TakeOut) > 0:
		t.line("nothing needs %s any more: take them out of %s, then start the server and every worker again", strings.Join(v.TakeOut, ", "), v.Source)
		t.line("keep the ring of before with the backups of before: they can be put back with nothing else")
	case len(v.Retired) > 0:
		t.line("taken out of the ring: %s; %s is left", strings.Join(v.Retired, ", "), v.Key)
		t.line("keep the ring of before with the backups of before: they can be put back with nothing else")
	default:
		t.line("there is nothing to retire: %s is the only key", v.Key)
	}
}
