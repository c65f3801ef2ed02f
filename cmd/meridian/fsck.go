package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

func newFsck(a *app) *cobra.Command {
	var in orchestrator.FsckRequest
	c := &cobra.Command{
		Use:   "fsck",
		Short: "Look whether catalog, journal, Temporal and the world agree",
		Long: `Look whether catalog, journal, Temporal and the world agree: every invariant has a name, and everything that is not as one says is
printed with what to do. --repair does what is proven safe, and nothing else.

It ends with 0 where everything agrees, and with 2 where something is left. A store that was restored is read-only until a look finds that
everything agrees, or until what is left is accepted by its digest with --accept.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			in.Actor = a.actor()
			v, err := client.Fsck(c.Context(), in)
			if err != nil {
				return err
			}
			if err := a.print(v, func(t *table) { printFindings(t, v) }); err != nil {
				return err
			}
			if v.Ended {
				a.progress("the store is no longer read-only")
			}
			if v.ReadOnly != "" {
				a.progress("nothing is applied for now: %s\n  next: put right what is found, or accept it: %s", v.ReadOnly, a.call("fsck --accept "+v.Digest))
			}
			if !v.Agree() {
				return &exitError{Code: exitChanges}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&in.Repair, "repair", false, "do what is proven safe")
	c.Flags().StringVar(&in.Accept, "accept", "", "end a restored store's being read-only although the findings of this digest are left")
	return c
}

func printFindings(t *table, v orchestrator.FsckView) {
	left := 0
	for _, f := range v.Findings {
		state := "found"
		if f.Repaired != "" {
			state = "repaired"
		} else {
			left++
		}
		t.row(state, f.Check, f.Subject, f.What)
		switch {
		case f.Repaired != "":
			t.line("      done: %s", f.Repaired)
		case f.Next != "":
			t.line("      next: %s", f.Next)
		}
	}
	what := "everything agrees"
	if left > 0 {
		what = fmt.Sprintf("%d left, digest %s", left, v.Digest)
	}
	t.line("%d invariants held: %s", len(v.Checks), what)
}
