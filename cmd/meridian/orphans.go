package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

const orphanVerbs = "a verb: list, adopt or remove"

func newOrphans(a *app) *cobra.Command {
	c := &cobra.Command{Use: "orphans", Short: "List, adopt and remove what carries our mark and is in no state", Args: arguments(0, 0, orphanVerbs)}
	c.RunE = func(*cobra.Command, []string) error {
		return &exitError{Code: exitFailed, What: "meridian orphans wants " + orphanVerbs, Next: "see `meridian orphans --help`"}
	}
	c.AddCommand(newOrphansList(a), newOrphansAdopt(a), newOrphansRemove(a))
	return c
}

func newOrphansList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List what carries our owner mark and is in no state",
		Args:  arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			all, err := client.Orphans(c.Context())
			if err != nil {
				return err
			}
			return a.print(list(all), func(t *table) {
				if len(all) == 0 {
					a.progress("no orphans: everything with our mark is in a state")
					return
				}
				t.row("ID", "PROVIDER", "MARKED AS", "WHAT", "ADOPTABLE")
				for _, o := range all {
					t.row(o.ID, o.Provider, o.Stack.String(), o.Detail, map[bool]string{true: "yes", false: "no: its stack is not there"}[o.Adoptable])
				}
			})
		},
	}
}

func newOrphansAdopt(a *app) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "adopt ID",
		Short: "Import an orphan into its stack",
		Long: `Import an orphan into the state of the stack that its mark names, after what it would look like there was shown. It is audited, and refused
while a run works on the database. The object itself is not touched; the next apply changes it where the spec wants it otherwise.`,
		Args: arguments(1, 1, "the ID of an orphan"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			in := orchestrator.OrphanRequest{ID: args[0], Actor: a.actor()}
			v, err := client.AdoptOrphan(c.Context(), in)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stderr, stateDiffText(orchestrator.StateDiffView{From: v.Version, To: "what it would leave", Changes: v.Changes}, a.style))
			if err := a.sure(c.Context(), yes, "Adopt it?"); err != nil {
				return err
			}
			in.Approve = v.Digest
			if v, err = client.AdoptOrphan(c.Context(), in); err != nil {
				return err
			}
			return a.print(v, func(t *table) { t.line("adopted %s: %s became %s", args[0], v.Version, v.NewVersion) })
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func newOrphansRemove(a *app) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "remove ID --id ID",
		Short: "Remove exactly one orphan from the world, with its data",
		Long: `Remove exactly one orphan from the world, with its data: the ID is typed again on a terminal, or given again with --id. It is audited. What a
state knows is no orphan, and is never removed by this.`,
		Args: arguments(1, 1, "the ID of an orphan"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			if id == "" && a.interactive() {
				fmt.Fprintf(a.stderr, "This removes it with its data. Type its ID again: ")
				if id, err = a.readAnswer(c.Context()); err != nil {
					return err
				}
				id = strings.TrimSpace(id)
			}
			if id != args[0] {
				return &exitError{Code: exitNeedsApproval, What: "nothing was removed: the ID was not given twice", Next: a.call("orphans remove " + args[0] + " --id " + args[0])}
			}
			o, err := client.RemoveOrphan(c.Context(), orchestrator.OrphanRequest{ID: id, Actor: a.actor()})
			if err != nil {
				return err
			}
			return a.print(o, func(t *table) { t.line("removed %s", o.ID) })
		},
	}
	c.Flags().StringVar(&id, "id", "", "the ID again: yes, exactly this one, with its data")
	return c
}
