package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

const siteVerbs = "a verb: list or declare-dead"

func newSite(a *app) *cobra.Command {
	c := &cobra.Command{Use: "site", Short: "List the machines that work with this store, or declare one dead", Args: arguments(0, 0, siteVerbs)}
	c.RunE = func(*cobra.Command, []string) error {
		return &exitError{Code: exitFailed, What: "meridian site wants " + siteVerbs, Next: "see `meridian site --help`"}
	}
	c.AddCommand(newSiteList(a), newSiteDeclareDead(a))
	return c
}

func newSiteList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the sites that have worked with this store",
		Args:  arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			all, err := client.Sites(c.Context())
			if err != nil {
				return err
			}
			return a.print(list(all), func(t *table) { printSites(t, all) })
		},
	}
}

func printSites(t *table, all []orchestrator.SiteView) {
	t.row("SITE", "HOST", "BOOT SEEN", "WORKED", "RUNNING", "")
	for _, s := range all {
		worked, dead := "never", ""
		if !s.Seen.IsZero() {
			worked = since(s.Seen, time.Now())
		}
		if !s.DeadAt.IsZero() {
			dead = "dead, says " + s.DeadBy
		}
		t.row(s.ID, s.Host, since(s.Since, time.Now()), worked, fmt.Sprint(len(s.Running)), dead)
	}
}

func newSiteDeclareDead(a *app) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "declare-dead SITE",
		Short: "Declare that nothing runs on a site any more, so that others take its stacks over at once",
		Long: `Declare that nothing runs on a site any more, so that others take its stacks over at once, and not only when its leases are over.

You answer for it: see first that its machine is off, or that no meridian-runner, terraform or plugin runs there. If one did, two
terraforms could work on one stack. The site itself may work again once its machine has booted.`,
		Args: arguments(1, 1, "the ID of a site"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			if err := a.sure(c.Context(), yes, fmt.Sprintf("Does nothing of Meridian run on site %s any more?", args[0])); err != nil {
				return err
			}
			v, err := client.DeclareSiteDead(c.Context(), args[0], a.actor())
			if err != nil {
				return err
			}
			return a.print(v, func(t *table) { printSites(t, []orchestrator.SiteView{v}) })
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
