package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

func newGet(a *app) *cobra.Command {
	var all bool
	var limit int
	var search string
	c := &cobra.Command{
		Use:       "get [databases|runs]",
		Short:     "List databases or runs",
		ValidArgs: []string{"databases", "runs"},
		Args:      arguments(0, 1, "databases or runs"),
		RunE: func(c *cobra.Command, args []string) error {
			what := "databases"
			if len(args) == 1 {
				what = args[0]
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			namespace := a.ns()
			if all {
				namespace = ""
			}
			switch what {
			case "databases", "database", "db":
				dbs, err := client.FindDatabases(c.Context(), orchestrator.DatabaseQuery{Namespace: namespace, Search: search})
				if err != nil {
					return err
				}
				return a.printDatabases(dbs)
			case "runs", "run":
				runs, err := client.Runs(c.Context(), namespace, "", limit)
				if err != nil {
					return err
				}
				return a.printRuns(runs)
			}
			return &exitError{Code: exitFailed, What: fmt.Sprintf("unknown kind %q", what), Next: "meridian get databases, or meridian get runs"}
		},
	}
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	c.Flags().StringVar(&search, "search", "", "only databases with this in their name")
	c.Flags().IntVar(&limit, "limit", 50, "how many runs, newest first (at most 1000)")
	return c
}

func (a *app) printDatabases(dbs []orchestrator.DatabaseView) error {
	return a.print(list(dbs), func(t *table) {
		if len(dbs) == 0 {
			a.progress("no databases here yet; make one with: meridian apply -f spec.yaml")
			return
		}
		t.row("NAMESPACE", "NAME", "ENGINE", "PHASE", "REGIONS", "LINKS", "REVISION", "DRIFT", "CHECKED", "AGE")
		for _, d := range dbs {
			t.row(d.Namespace, d.Name, engineWords(d), d.Phase, count(d.Regions, func(r orchestrator.RegionView) bool { return r.Phase == "ready" }),
				count(d.Links, func(l orchestrator.LinkView) bool { return l.Phase == linkVerified }),
				fmt.Sprintf("%d/%d", d.Applied, d.Revision), driftWords(d.Drift), checkedWords(d.Drift, time.Now()), since(d.CreatedAt, time.Now()))
		}
	})
}

// count says how many of them are as they should be.
func count[T any](all []T, good func(T) bool) string {
	if len(all) == 0 {
		return ""
	}
	n := 0
	for _, v := range all {
		if good(v) {
			n++
		}
	}
	return fmt.Sprintf("%d/%d", n, len(all))
}

func engineWords(d orchestrator.DatabaseView) string {
	if d.Version == "" {
		return d.Engine
	}
	return d.Engine + " " + d.Version
}

func (a *app) printRuns(runs []orchestrator.RunView) error {
	return a.print(list(runs), func(t *table) {
		if len(runs) == 0 {
			a.progress("no runs here yet")
			return
		}
		t.row("RUN", "DATABASE", "KIND", "PHASE", "AGE", "MESSAGE")
		for _, v := range runs {
			t.row(v.ID, v.Namespace+"/"+v.Name, string(v.Kind), string(v.Phase), since(v.CreatedAt, time.Now()), shorten(v.Message, 100))
		}
	})
}
