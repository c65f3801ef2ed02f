package main

import (
	"github.com/spf13/cobra"

	"meridian/orchestrator/api"
)

func newOpen(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "open [RUN]",
		Short: "Print a one-time URL of the Web UI",
		Long:  "Print a URL that logs one browser in, once and soon. With a run, the browser ends at that run's steps.",
		Args:  arguments(0, 1, "at most the ID of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			next := "/"
			if len(args) == 1 {
				v, err := client.Run(c.Context(), args[0])
				if err != nil {
					return err
				}
				if v.TemporalPath != "" {
					next = v.TemporalPath
				}
			}
			login, err := client.Login(c.Context(), next)
			if err != nil {
				return err
			}
			return a.print(api.Login{URL: login.URL}, func(t *table) { t.line("%s", login.URL) })
		},
	}
}
