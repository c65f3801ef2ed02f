package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

func newRunAnswer(a *app) *cobra.Command {
	var in orchestrator.AnswerRequest
	var absent, again, all bool
	c := &cobra.Command{
		Use:   "answer RUN (--resource ADDRESS | --all) (--adopt ID | --absent | --again)",
		Short: "Answer what a run asks about an object",
		Long: `Answer what a run asks about an object that an interrupted apply was making and that Meridian cannot look up by itself: it is there, and
has this import ID (--adopt); it is not there, and is to be made (--absent); or look again, after something was changed by hand (--again).
--all answers alike for everything that the run still asks about.`,
		Args: arguments(1, 1, "the ID of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			said := 0
			for kind, yes := range map[string]bool{"adopt": in.ImportID != "", "absent": absent, "again": again} {
				if yes {
					in.Kind = kind
					said++
				}
			}
			if said != 1 || (in.Address == "") != all || all && in.ImportID != "" {
				return &exitError{Code: exitFailed, What: "an answer is of one object, or of all, and of one kind", Next: "see `meridian run answer --help`"}
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			in.Run, in.Actor = args[0], a.actor()
			var v orchestrator.RunView
			if all {
				v, err = answerAll(c.Context(), client, in)
			} else {
				v, err = client.Answer(c.Context(), in)
			}
			if err != nil {
				return err
			}
			a.progress("answered; watch it with: %s", a.call("run watch "+v.ID))
			return a.printRuns([]orchestrator.RunView{v})
		},
	}
	c.Flags().StringVar(&in.Address, "resource", "", "address of the object that is asked about")
	c.Flags().BoolVar(&all, "all", false, "every object that is asked about, instead of one")
	c.Flags().StringVar(&in.Region, "region", "", "region that asks, where several do")
	c.Flags().StringVar(&in.ImportID, "adopt", "", "the object exists and has this import ID")
	c.Flags().BoolVar(&absent, "absent", false, "the object does not exist: make it")
	c.Flags().BoolVar(&again, "again", false, "look again")
	return c
}

// answerAll gives the same answer for each object that a run asks about, in one region where that is named.
func answerAll(ctx context.Context, client api.Service, in orchestrator.AnswerRequest) (orchestrator.RunView, error) {
	v, err := client.Run(ctx, in.Run)
	if err != nil {
		return v, err
	}
	said := 0
	for _, q := range v.Questions {
		if in.Region != "" && q.Region != in.Region {
			continue
		}
		one := in
		one.Region, one.Address = q.Region, q.Address
		if v, err = client.Answer(ctx, one); err != nil {
			return v, err
		}
		said++
	}
	if said == 0 {
		return v, &exitError{Code: exitNotFound, What: "run " + in.Run + " asks about nothing", Next: "see how it is: meridian run watch " + in.Run}
	}
	return v, nil
}

// asks reports whether a run stands still until somebody answers.
func asks(v orchestrator.RunView) bool {
	return v.Phase == stacks.PhaseAwaiting && len(v.Questions) > 0
}

// questionText shows what a run asks and how it is answered.
func (a *app) questionText(v orchestrator.RunView) string {
	var b strings.Builder
	for _, q := range v.Questions {
		fmt.Fprintf(&b, "  %s in %s: %s\n", a.style.bad("asks"), q.Region, clean(q.Question))
		if q.Evidence != "" && !strings.Contains(q.Question, q.Evidence) {
			fmt.Fprintf(&b, "    seen:             %s\n", clean(q.Evidence))
		}
		answer := fmt.Sprintf("run answer %s --region %s --resource '%s'", v.ID, q.Region, q.Address)
		fmt.Fprintf(&b, "    it is there:      %s --adopt IMPORT-ID\n", a.call(answer))
		fmt.Fprintf(&b, "    it is not there:  %s --absent\n", a.call(answer))
		fmt.Fprintf(&b, "    look again:       %s --again\n", a.call(answer))
	}
	if len(v.Questions) > 1 {
		fmt.Fprintf(&b, "  or alike for all that is left: %s\n", a.call("run answer "+v.ID+" --all --absent"))
	}
	return b.String()
}

// question shows once what a run asks.
func (f *following) question(index int) error {
	v := f.views[index]
	if !asks(v) {
		return nil
	}
	text := f.app.questionText(v)
	if f.asked[v.ID+text] {
		return nil
	}
	f.asked[v.ID+text] = true
	if f.screen != nil {
		f.screen.clear()
	}
	fmt.Fprint(f.app.stderr, text)
	if f.o.NoWaitApproval {
		return &exitError{Code: exitNeedsApproval, What: "run " + v.ID + " waits for an answer", Next: f.app.call("run watch " + v.ID)}
	}
	return nil
}
