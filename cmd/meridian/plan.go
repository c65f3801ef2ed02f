package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

func newPlan(a *app) *cobra.Command {
	var files []string
	var detailed bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show what an apply would change, and change nothing",
		Args:  arguments(0, 0, "no arguments but -f"),
		RunE: func(c *cobra.Command, _ []string) error {
			docs, err := a.readDocuments(files)
			if err != nil {
				return err
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			runs, err := a.submit(c.Context(), client, orchestrator.SubmitRequest{Documents: docs, Namespace: a.namespace, Check: true, Actor: a.actor()})
			if err != nil {
				return err
			}
			views, err := a.follow(c.Context(), client, runs, followOptions{Timeout: timeout, Passive: true})
			if err != nil {
				return err
			}
			if err := a.outcome(views); err != nil {
				return err
			}
			err = a.print(list(views), func(t *table) {
				for _, v := range views {
					fmt.Fprint(t.w, diffText(v, style{}))
				}
			})
			if err != nil {
				return err
			}
			for _, v := range views {
				if v.HasChanges && detailed {
					return &exitError{Code: exitChanges}
				}
			}
			return nil
		},
	}
	addFiles(c, &files)
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "end with exit code 2 where something would change")
	c.Flags().DurationVar(&timeout, "timeout", 0, "stop waiting after this long, with exit code 9")
	return c
}
