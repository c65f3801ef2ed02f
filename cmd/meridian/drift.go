package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
)

const driftVerbs = "a verb: check, list, show, ignore, accept or remediate"

func newDrift(a *app) *cobra.Command {
	c := &cobra.Command{Use: "drift", Short: "Check databases for drift, and say what becomes of it", Args: arguments(0, 0, driftVerbs)}
	c.RunE = func(*cobra.Command, []string) error {
		return &exitError{Code: exitFailed, What: "meridian drift wants " + driftVerbs, Next: "see `meridian drift --help`"}
	}
	c.AddCommand(newDriftCheck(a), newDriftList(a), newDriftShow(a), newDriftIgnore(a), newDriftAccept(a), newDriftRemediate(a))
	return c
}

func newDriftCheck(a *app) *cobra.Command {
	var detach bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "check NAME",
		Short: "Look now whether a database is still as it was applied",
		Long: `Look now whether a database is still as it was applied: its servers by a terraform plan in a scratch copy, their inside and the links by
asking them. It changes nothing, takes no turn and waits for no run. It ends with exit code 2 where there is drift.`,
		Args: arguments(1, 1, "the name of a database"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.CheckDrift(c.Context(), a.ns(), args[0], a.actor())
			if err != nil {
				return err
			}
			if detach {
				a.progress("check %s is on its way; see it with: %s", v.ID, a.call("drift show "+args[0]+" "+v.ID))
				return a.print(v, func(t *table) { t.line("%s", v.ID) })
			}
			if v, err = a.awaitDrift(c.Context(), client, v, timeout); err != nil {
				return err
			}
			if err := a.print(v, func(t *table) { driftText(t, a, v) }); err != nil {
				return err
			}
			return driftExit(v)
		},
	}
	c.Flags().BoolVar(&detach, "detach", false, "do not wait for what it finds")
	c.Flags().DurationVar(&timeout, "timeout", 0, "stop waiting after this long, with exit code 9")
	return c
}

// driftPoll is how often a check that is waited for is looked at: it takes a second at least.
const driftPoll = 200 * time.Millisecond

// awaitDrift waits until a check has ended, and returns it with what it found.
func (a *app) awaitDrift(ctx context.Context, client api.Service, v orchestrator.DriftCheckView, timeout time.Duration) (orchestrator.DriftCheckView, error) {
	if timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, timeout)
		defer stop()
	}
	tick := time.NewTicker(driftPoll)
	defer tick.Stop()
	for {
		now, err := client.DriftCheck(ctx, v.Namespace, v.Name, v.ID)
		if err != nil && ctx.Err() == nil {
			return v, err
		}
		if err == nil && now.EndedAt != nil {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return v, fmt.Errorf("check %s goes on: %w", v.ID, context.Cause(ctx))
		}
	}
}

// driftExit is the exit code of what a check found.
func driftExit(v orchestrator.DriftCheckView) error {
	switch {
	case v.Found > 0:
		return &exitError{Code: exitChanges}
	case v.Outcome == "unknown" || v.Outcome == "skipped":
		return &exitError{Code: exitFailed, What: "the check says nothing for sure: " + v.Message, Next: "check again once that is over"}
	}
	return nil
}

func newDriftList(a *app) *cobra.Command {
	var all bool
	var limit int
	c := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List when databases were checked for drift, or one database's checks and what is ignored",
		Args:  arguments(0, 1, "at most the name of a database"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				v, err := client.Drift(c.Context(), a.ns(), args[0], limit)
				if err != nil {
					return err
				}
				return a.print(v, func(t *table) { driftHistory(t, a, v) })
			}
			namespace := a.ns()
			if all {
				namespace = ""
			}
			dbs, err := client.Databases(c.Context(), namespace)
			if err != nil {
				return err
			}
			return a.print(list(dbs), func(t *table) {
				t.row("NAMESPACE", "NAME", "PHASE", "DRIFT", "CHECKED", "EVERY", "ACTION")
				for _, d := range dbs {
					every, action := "", "none"
					if d.Drift != nil {
						every, action = d.Drift.Every, string(d.Drift.Action)
					}
					t.row(d.Namespace, d.Name, d.Phase, driftWords(d.Drift), checkedWords(d.Drift, time.Now()), every, action)
				}
			})
		},
	}
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	c.Flags().IntVar(&limit, "limit", 20, "how many checks of one database, newest first (at most 1000)")
	return c
}

func newDriftShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME [CHECK]",
		Short: "Show what a check for drift found, attribute by attribute",
		Long:  "Show what a check for drift found, attribute by attribute, sensitive values masked; the newest one that saw something unless named.",
		Args:  arguments(1, 2, "the name of a database, and at most one check"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			check := ""
			if len(args) == 2 {
				check = args[1]
			}
			v, err := client.DriftCheck(c.Context(), a.ns(), args[0], check)
			if err != nil {
				return err
			}
			return a.print(v, func(t *table) { driftText(t, a, v) })
		},
	}
}

func newDriftIgnore(a *app) *cobra.Command {
	var undo bool
	var reason string
	c := &cobra.Command{
		Use:   "ignore NAME KEY...",
		Short: "Say that something is no drift, whatever its value",
		Long: `Say that something is no drift, whatever its value. A key is what "meridian drift show" prints, or a pattern of it: * stands for anything.
It is audited, and it changes nothing in the world: an apply of the spec still puts the attribute back. spec.drift.ignore says the same in the
spec. --undo takes back what was ignored or accepted.`,
		Args: arguments(2, 200, "the name of a database and what to ignore"),
		RunE: func(c *cobra.Command, args []string) error {
			verb := orchestrator.DriftIgnore
			if undo {
				verb = orchestrator.DriftWatch
			}
			return a.sayDrift(c.Context(), verb, args, reason)
		},
	}
	c.Flags().BoolVar(&undo, "undo", false, "it is drift again")
	c.Flags().StringVar(&reason, "reason", "", "why, for the next person who wonders")
	return c
}

func newDriftAccept(a *app) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "accept NAME KEY...",
		Short: "Say that an attribute's present value is right, and what to write into the spec",
		Long: `Say that the value which the newest check found is right. As long as the attribute has exactly this value it is no drift; any other value
is. Nothing in the world, the state or the spec changes by it. Where the spec can say the value, the line to write there is printed: until
somebody applies that, an apply of the spec as it is puts the old value back, and its plan shows so. "meridian drift ignore --undo" takes
it back. It is audited.`,
		Args: arguments(2, 200, "the name of a database and the keys to accept"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.sayDrift(c.Context(), orchestrator.DriftAccept, args, reason)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the next person who wonders")
	return c
}

func (a *app) sayDrift(ctx context.Context, verb string, args []string, reason string) error {
	client, err := a.dial()
	if err != nil {
		return err
	}
	v, err := client.SayDrift(ctx, orchestrator.DriftRuleRequest{
		Namespace: a.ns(), Name: args[0], Verb: verb, Keys: args[1:], Reason: reason, Actor: a.actor(),
	})
	if err != nil {
		return err
	}
	if verb == orchestrator.DriftAccept {
		for _, i := range v.Drift {
			if i.Accepted {
				a.progress("%s", acceptWords(i))
			}
		}
	}
	return a.print(v, func(t *table) { driftText(t, a, v) })
}

func newDriftRemediate(a *app) *cobra.Command {
	var yes, wait, detach, noWaitApproval bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "remediate NAME",
		Short: "Put back what the newest check found",
		Long: `Put back what the newest check found, by a run like any other: planned, shown, approved. It applies the revision that was applied last, not
a newer one, and it destroys and replaces nothing. What holds data and is gone is made anew, empty, only after an approval of its own.
Other drift of the same resources is put back with it; what is ignored is asked about.

On a terminal the plan is shown and asked about. Elsewhere the run waits for "meridian run approve RUN --plan DIGEST"; --no-wait-approval and
--timeout end the waiting, and the run goes on.`,
		Args: arguments(1, 1, "the name of a database"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			run, err := client.Remediate(c.Context(), a.ns(), args[0], yes, a.actor())
			if err != nil {
				return err
			}
			if detach || !wait {
				a.progress("run %s is on its way; follow it with: %s", run.ID, a.call("run watch "+run.ID))
				return a.printRuns([]orchestrator.RunView{run})
			}
			return a.followAndPrint(c.Context(), client, []orchestrator.RunView{run}, followOptions{NoWaitApproval: noWaitApproval, Timeout: timeout})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "approve in advance what loses no data")
	c.Flags().BoolVar(&wait, "wait", true, "wait until the run has ended")
	c.Flags().BoolVar(&detach, "detach", false, "do not follow the run")
	addWaiting(c, &noWaitApproval, &timeout)
	c.MarkFlagsMutuallyExclusive("wait", "detach")
	c.MarkFlagsMutuallyExclusive("detach", "timeout")
	return c
}
