package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

func newApply(a *app) *cobra.Command {
	var files []string
	var yes, wait, detach, noWaitApproval bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make databases be as their specs say",
		Long: `Submit the specs of the named files and follow their runs until the databases are ready and replicate.

On a terminal the plan is shown and asked about. Elsewhere the run waits for "meridian run approve RUN --plan DIGEST".
--yes approves in advance what loses no data; destroying, replacing or forgetting something that holds data always needs
an approval of exactly that plan.

Ctrl-C detaches: the run goes on, and "meridian run watch RUN" shows it again.`,
		Example: "  meridian apply -f orders.yaml\n  meridian apply -f specs/ --yes --detach\n  cat orders.yaml | meridian apply -f -",
		Args:    arguments(0, 0, "no arguments but -f"),
		RunE: func(c *cobra.Command, _ []string) error {
			docs, err := a.readDocuments(files)
			if err != nil {
				return err
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			runs, err := a.submit(c.Context(), client, orchestrator.SubmitRequest{Documents: docs, Namespace: a.namespace, Yes: yes, Actor: a.actor()})
			if err != nil {
				return err
			}
			if detach || !wait {
				for _, v := range runs {
					a.progress("run %s of %s/%s goes on; watch it with: %s", v.ID, v.Namespace, v.Name, a.call("run watch "+v.ID))
				}
				return a.printRuns(runs)
			}
			return a.followAndPrint(c.Context(), client, runs, followOptions{NoWaitApproval: noWaitApproval, Timeout: timeout})
		},
	}
	addFiles(c, &files)
	c.Flags().BoolVar(&yes, "yes", false, "approve in advance what loses no data")
	c.Flags().BoolVar(&wait, "wait", true, "wait until the runs have ended")
	c.Flags().BoolVar(&detach, "detach", false, "return at once; the runs go on")
	addWaiting(c, &noWaitApproval, &timeout)
	c.MarkFlagsMutuallyExclusive("wait", "detach")
	c.MarkFlagsMutuallyExclusive("detach", "timeout")
	return c
}

func addFiles(c *cobra.Command, files *[]string) {
	c.Flags().StringArrayVarP(files, "file", "f", nil, "file or folder of specs, or - for stdin; may be repeated")
}

func addWaiting(c *cobra.Command, noWaitApproval *bool, timeout *time.Duration) {
	c.Flags().BoolVar(noWaitApproval, "no-wait-approval", false, "end with exit code 7 where an approval is missing")
	c.Flags().DurationVar(timeout, "timeout", 0, "stop waiting after this long, with exit code 9; the run goes on")
}

// submit sends specs to the server and prints its warnings.
func (a *app) submit(ctx context.Context, client api.Service, in orchestrator.SubmitRequest) ([]orchestrator.RunView, error) {
	result, err := client.Submit(ctx, in)
	if err != nil {
		return nil, err
	}
	a.printDiagnostics(result.Warnings)
	return result.Runs, nil
}

// followAndPrint follows runs and prints how they ended; its error carries the exit code.
func (a *app) followAndPrint(ctx context.Context, client api.Service, runs []orchestrator.RunView, o followOptions) error {
	views, err := a.follow(ctx, client, runs, o)
	if err != nil {
		return err
	}
	if a.output != "table" || a.liveTerminal() == nil || !isTerminal(a.stdout) { // the live tree says the same
		if err := a.printRuns(views); err != nil {
			return err
		}
	}
	return a.outcome(views)
}

// outcome turns the ends of runs into one error: the first that is not done speaks for all.
func (a *app) outcome(views []orchestrator.RunView) error {
	var first error
	for _, v := range views {
		if v.Phase == stacks.PhaseDone {
			continue
		}
		a.printDiagnostics(v.Diagnostics)
		err := &exitError{
			Code: phaseCode(v.Phase), What: fmt.Sprintf("run %s of %s/%s %s", v.ID, v.Namespace, v.Name, endWords(v)),
			Next: a.call("run logs " + v.ID),
		}
		if first == nil {
			first = err
			continue
		}
		a.report(err)
	}
	return first
}

func endWords(v orchestrator.RunView) string {
	words := map[stacks.Phase]string{
		stacks.PhaseFailed: "failed", stacks.PhaseCancelled: "was cancelled", stacks.PhaseSuperseded: "was superseded by a newer run",
	}[v.Phase]
	if v.Message != "" {
		words += ": " + v.Message
	}
	return words
}

func (a *app) printDiagnostics(ds []stacks.Diagnostic) {
	if len(ds) > 0 {
		_ = stacks.PrintDiagnostics(a.stderr, ds, a.style.on) // stderr is the last resort itself
	}
}
