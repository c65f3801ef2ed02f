package main

import (
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

func newDestroy(a *app) *cobra.Command {
	var detach, noWaitApproval bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "destroy NAME",
		Short: "Remove a database from all its regions, with its data",
		Long: `Submit a destroy run and follow it. Its plan is always shown, and always needs an approval of its own: on a terminal by
typing the database's name, elsewhere by "meridian run approve RUN --plan DIGEST".

A database whose spec does not say "deletion: {protect: false}" is refused.`,
		Args: arguments(1, 1, "the name of a database"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.Destroy(c.Context(), a.ns(), args[0], a.actor())
			if err != nil {
				return err
			}
			runs := []orchestrator.RunView{v}
			if detach {
				a.progress("run %s plans and then waits for an approval; see it with: %s", v.ID, a.call("run watch "+v.ID))
				return a.printRuns(runs)
			}
			return a.followAndPrint(c.Context(), client, runs, followOptions{NoWaitApproval: noWaitApproval, Timeout: timeout})
		},
	}
	c.Flags().BoolVar(&detach, "detach", false, "return at once; the run plans and waits for an approval")
	addWaiting(c, &noWaitApproval, &timeout)
	return c
}
