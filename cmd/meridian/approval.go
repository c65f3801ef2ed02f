package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

// approval gets the yes that a run waits for: from a person on a terminal, from o.Approve, or from another command that is named.
// It asks once per plan.
func (f *following) approval(ctx context.Context, index int) error {
	v := f.views[index]
	if !waitsForYes(v) || f.asked[v.ID+v.PlanDigest] {
		return nil
	}
	f.asked[v.ID+v.PlanDigest] = true
	if f.screen != nil {
		f.screen.clear()
	}
	if why := v.NeedsApproval; why != "" {
		fmt.Fprintf(f.app.stderr, "  %s\n", f.app.style.bad("needs an approval of its own:"))
		for _, reason := range strings.Split(why, "; ") {
			fmt.Fprintf(f.app.stderr, "    %s\n", clean(reason))
		}
	}
	var yes bool
	var err error
	switch {
	case f.o.Approve != nil:
		yes = f.o.Approve(v)
	case f.o.NoWaitApproval:
		return &exitError{Code: exitNeedsApproval, What: "run " + v.ID + " waits for an approval of its plan", Next: f.app.approveCommand(v)}
	case f.o.Passive || !f.app.interactive():
		fmt.Fprintf(f.app.stderr, "  waiting for a yes; give it with: %s\n", f.app.approveCommand(v))
		return nil
	default:
		yes, err = f.app.askApproval(ctx, v)
	}
	if err != nil {
		return err
	}
	return f.app.answer(ctx, f.client, v, yes)
}

// askApproval asks a person on the terminal. What loses data is approved by typing its name.
func (a *app) askApproval(ctx context.Context, v orchestrator.RunView) (bool, error) {
	if v.Kind == stacks.RunDestroy || v.NeedsApproval != "" {
		fmt.Fprintf(a.stderr, "Type %s to approve this plan: ", a.style.bold(v.Name))
		got, err := a.readAnswer(ctx)
		return strings.TrimSpace(got) == v.Name, err
	}
	fmt.Fprint(a.stderr, "Approve this plan? [y/N] ")
	got, err := a.readAnswer(ctx)
	got = strings.ToLower(strings.TrimSpace(got))
	return got == "y" || got == "yes", err
}

// answer brings a yes or a no to the server. A run that moved meanwhile is followed on: a new plan of it
// is shown and asked about anew.
func (a *app) answer(ctx context.Context, client api.Service, v orchestrator.RunView, yes bool) error {
	if !yes {
		a.progress("not approved: cancelling run %s; nothing was changed", v.ID)
		_, err := client.Cancel(ctx, v.ID, a.actor())
		return err
	}
	_, err := client.Approve(ctx, v.ID, v.PlanDigest, a.actor())
	var p *orchestrator.Problem
	if errors.As(err, &p) && (p.Code == orchestrator.CodeStalePlan || p.Code == orchestrator.CodeConflict) {
		a.progress("the run has moved on since its plan was shown: %s", p.Title)
		return nil
	}
	return err
}

// readAnswer reads a line from the terminal, or returns the cause of ctx's end. No answer is an empty one.
func (a *app) readAnswer(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // left behind where ctx ends first: the process ends then
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return "", context.Cause(ctx)
	case r := <-got:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read the answer: %w", r.err)
		}
		return r.line, nil
	}
}
