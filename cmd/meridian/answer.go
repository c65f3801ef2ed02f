package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/stacks"
)

func newRunAnswer(a *app) *cobra.Command {
	var in orchestrator.AnswerRequest
	var absent, again bool
	c := &cobra.Command{
		Use:   "answer RUN --resource ADDRESS (--adopt ID | --absent | --again)",
		Short: "Answer what a run asks about an object",
		Long: `Answer what a run asks about an object that an interrupted apply was making and that Meridian cannot look up by itself: it is there, and
has this import ID (--adopt); it is not there, and is to be made (--absent); or look again, after something was changed by hand (--again).`,
		Args: arguments(1, 1, "the ID of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			said := 0
			for kind, yes := range map[string]bool{"adopt": in.ImportID != "", "absent": absent, "again": again} {
				if yes {
					in.Kind = kind
					said++
				}
			}
			if said != 1 || in.Address == "" {
				return &exitError{Code: exitFailed, What: "an answer is of one object and one kind", Next: "see `meridian run answer --help`"}
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			in.Run, in.Actor = args[0], a.actor()
			v, err := client.Answer(c.Context(), in)
			if err != nil {
				return err
			}
			a.progress("answered; watch it with: %s", a.call("run watch "+v.ID))
			return a.printRuns([]orchestrator.RunView{v})
		},
	}
	c.Flags().StringVar(&in.Address, "resource", "", "address of the object that is asked about")
	c.Flags().StringVar(&in.Region, "region", "", "region that asks, where several do")
	c.Flags().StringVar(&in.ImportID, "adopt", "", "the object exists and has this import ID")
	c.Flags().BoolVar(&absent, "absent", false, "the object does not exist: make it")
	c.Flags().BoolVar(&again, "again", false, "look again")
	return c
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
		answer := fmt.Sprintf("run answer %s --region %s --resource '%s'", v.ID, q.Region, q.Address)
		fmt.Fprintf(&b, "    it is there:      %s --adopt IMPORT-ID\n", a.call(answer))
		fmt.Fprintf(&b, "    it is not there:  %s --absent\n", a.call(answer))
		fmt.Fprintf(&b, "    look again:       %s --again\n", a.call(answer))
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
