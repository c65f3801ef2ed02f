package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
)

func newRun(a *app) *cobra.Command {
	c := &cobra.Command{Use: "run", Short: "List, watch, approve, answer and cancel runs", Args: arguments(0, 0, "a verb: list, watch, logs, approve, answer or cancel")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return &exitError{Code: exitFailed, What: "meridian run wants a verb: list, watch, logs, approve, answer or cancel", Next: "see `meridian run --help`"}
	}
	c.AddCommand(newRunList(a), newRunWatch(a), newRunLogs(a), newRunApprove(a), newRunAnswer(a), newRunCancel(a))
	return c
}

func newRunList(a *app) *cobra.Command {
	var all bool
	var limit int
	c := &cobra.Command{
		Use:   "list [DATABASE]",
		Short: "List runs, newest first",
		Args:  arguments(0, 1, "at most the name of a database"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			namespace, name := a.ns(), ""
			if all {
				namespace = ""
			}
			if len(args) == 1 {
				name = args[0]
			}
			runs, err := client.Runs(c.Context(), namespace, name, limit)
			if err != nil {
				return err
			}
			return a.printRuns(runs)
		},
	}
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	c.Flags().IntVar(&limit, "limit", 50, "how many (at most 1000)")
	return c
}

func newRunWatch(a *app) *cobra.Command {
	var noWaitApproval bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "watch RUN",
		Short: "Follow a run until it has ended",
		Long:  "Follow a run until it has ended. The exit code is the run's. Ctrl-C detaches: the run goes on.",
		Args:  arguments(1, 1, "the ID of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.Run(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.followAndPrint(c.Context(), client, []orchestrator.RunView{v},
				followOptions{NoWaitApproval: noWaitApproval, Timeout: timeout, Passive: true})
		},
	}
	addWaiting(c, &noWaitApproval, &timeout)
	return c
}

func newRunLogs(a *app) *cobra.Command {
	var follow bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "logs RUN",
		Short: "Print a run's log",
		Args:  arguments(1, 1, "the ID of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			ctx := c.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeUp)
				defer cancel()
			}
			err = a.logs(ctx, client, args[0], follow)
			if errors.Is(err, errTimeUp) || errors.Is(context.Cause(ctx), errTimeUp) {
				err = &exitError{Code: exitTimedOut, What: fmt.Sprintf("run %s has not ended after %s", args[0], timeout), Next: a.call("run logs " + args[0] + " --follow")}
			}
			return err
		},
	}
	c.Flags().BoolVar(&follow, "follow", false, "go on until the run has ended")
	c.Flags().DurationVar(&timeout, "timeout", 0, "stop following after this long, with exit code 9; the run goes on")
	return c
}

// logsPage is how many lines are asked for at a time.
const logsPage = 1000

func (a *app) logs(ctx context.Context, client api.Service, run string, follow bool) error {
	var all []orchestrator.LogLine
	var after int64
	for {
		v, err := client.Run(ctx, run) // before the lines: what an ended run said is all there
		if err != nil {
			return err
		}
		lines, err := client.Logs(ctx, run, after, logsPage)
		if err != nil {
			return err
		}
		for _, l := range lines {
			after = l.Seq
			if a.output != "table" {
				all = append(all, l)
				continue
			}
			fmt.Fprintln(a.stdout, logText(l))
		}
		if len(lines) == logsPage {
			continue
		}
		if !follow || v.Phase.Ended() {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Millisecond):
		}
	}
	if a.output == "table" {
		return nil
	}
	return a.print(list(all), nil)
}

func logText(l orchestrator.LogLine) string {
	where := l.Region
	if step := l.Step[strings.LastIndexByte(l.Step, '/')+1:]; step != "" { // its last part: the others are known
		where = strings.TrimPrefix(where+"/"+step, "/")
	}
	if where == "" {
		where = "run"
	}
	return fmt.Sprintf("%s  %-5s  %s  %s", l.At.UTC().Format("15:04:05.000"), strings.ToLower(l.Level), where, clean(l.Text))
}

func newRunApprove(a *app) *cobra.Command {
	var digest string
	c := &cobra.Command{
		Use:   "approve RUN --plan DIGEST",
		Short: "Approve exactly one plan of a run",
		Long: `Approve the plan of a run that waits for it. The digest is printed with the plan; one that is not the run's plan any more
is refused. On a terminal, without --plan, the plan is shown and asked about.`,
		Args: arguments(1, 1, "the ID of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			if digest == "" {
				if digest, err = a.digestByHand(c.Context(), client, args[0]); err != nil {
					return err
				}
			}
			v, err := client.Approve(c.Context(), args[0], digest, a.actor())
			if err != nil {
				return err
			}
			a.progress("approved; watch it with: %s", a.call("run watch "+v.ID))
			return a.printRuns([]orchestrator.RunView{v})
		},
	}
	c.Flags().StringVar(&digest, "plan", "", "digest of the plan to approve")
	return c
}

// digestByHand shows a run's plan and returns its digest where a person says yes to it.
func (a *app) digestByHand(ctx context.Context, client api.Service, run string) (string, error) {
	v, err := client.Run(ctx, run)
	if err != nil {
		return "", err
	}
	if !waitsForYes(v) {
		return "", &exitError{Code: exitRefused, What: fmt.Sprintf("run %s does not wait for an approval: it is %s", v.ID, v.Phase), Next: a.call("run watch " + v.ID)}
	}
	fmt.Fprint(a.stderr, diffText(v, a.style))
	if !a.interactive() {
		return "", &exitError{Code: exitFailed, What: "--plan DIGEST is missing: an approval is of exactly one plan", Next: a.approveCommand(v)}
	}
	yes, err := a.askApproval(ctx, v)
	if err != nil {
		return "", err
	}
	if !yes {
		return "", &exitError{Code: exitNeedsApproval, What: "not approved; the run goes on waiting", Next: a.call("run cancel " + v.ID)}
	}
	return v.PlanDigest, nil
}

func newRunCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "Ask a run to stop",
		Long:  "Ask a run to stop. What terraform does now it finishes or gives up by itself; the run then says what stands and what does not.",
		Args:  arguments(1, 1, "the ID of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.Cancel(c.Context(), args[0], a.actor())
			if err != nil {
				return err
			}
			return a.printRuns([]orchestrator.RunView{v})
		},
	}
}
