package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

// followOptions say what follow does while it watches.
type followOptions struct {
	// NoWaitApproval ends following with exit code 7 where a yes is missing.
	NoWaitApproval bool
	// Timeout ends following with exit code 9; 0 means never. Runs go on.
	Timeout time.Duration
	// Passive shows that a yes is missing and never asks for it.
	Passive bool
	// Approve, where set, is asked instead of a person whether a plan is approved.
	Approve func(orchestrator.RunView) bool
}

// follow watches runs until all have ended, shows them, and asks a person for the yes that is missing. It returns their last
// views. Its error says why it stopped earlier: detached, no time left, no server, a missing yes.
func (a *app) follow(ctx context.Context, client api.Service, runs []orchestrator.RunView, o followOptions) ([]orchestrator.RunView, error) {
	f := &following{app: a, client: client, o: o, shown: map[string]bool{}, asked: map[string]bool{}, seen: map[string]bool{}}
	f.views = append(f.views, runs...)
	if t := a.liveTerminal(); t != nil {
		f.screen = &screen{f: t}
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, errTimeUp)
		defer cancel()
	}
	err := f.run(ctx)
	switch {
	case errors.Is(err, errInterrupted):
		err = f.stopped(exitDetached, "detached")
	case errors.Is(err, errTimeUp):
		err = f.stopped(exitTimedOut, fmt.Sprintf("still not done after %s", o.Timeout))
	}
	return f.views, err
}

var errTimeUp = errors.New("the time is up")

type following struct {
	app    *app
	client api.Service
	o      followOptions
	views  []orchestrator.RunView
	seen   map[string]bool // runs that lines were printed of
	shown  map[string]bool // plans that were printed
	asked  map[string]bool // plans that a person was asked about, or told of
	screen *screen         // nil where stderr is no terminal
}

type update struct {
	index int
	view  orchestrator.RunView
	err   error
}

func (f *following) run(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	updates := make(chan update)
	for i, v := range f.views {
		go f.watch(watching, i, v.ID, updates)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	defer f.settle()
	for open := len(f.views); open > 0; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			f.draw()
		case u := <-updates:
			if u.err != nil {
				return u.err
			}
			f.show(u)
			if u.view.Phase.Ended() {
				open--
			}
			f.plan(u.view)
			if err := f.question(u.index); err != nil {
				return err
			}
			if err := f.approval(ctx, u.index); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch sends a run's views until it has ended, or one error.
func (f *following) watch(ctx context.Context, index int, run string, updates chan<- update) {
	send := func(u update) bool {
		select {
		case updates <- u:
			return u.err == nil && !u.view.Phase.Ended()
		case <-ctx.Done():
			return false
		}
	}
	for {
		views, err := f.client.WatchRun(ctx, run)
		if err != nil {
			send(update{err: err})
			return
		}
		for v := range views {
			if !send(update{index: index, view: v}) {
				return
			}
		}
		v, err := f.client.Run(ctx, run) // the watch ended before the run: see why
		if !send(update{index: index, view: v, err: err}) {
			return
		}
	}
}

func (f *following) show(u update) {
	prev := &f.views[u.index]
	if f.screen == nil {
		if !f.seen[u.view.ID] {
			prev = nil
		}
		for _, line := range changeLines(prev, u.view, time.Now()) {
			fmt.Fprintln(f.app.stderr, line)
		}
	}
	f.seen[u.view.ID] = true
	f.views[u.index] = u.view
	f.draw()
}

// plan prints a run's plan once, above everything that is drawn.
func (f *following) plan(v orchestrator.RunView) {
	if v.PlanDigest == "" || v.Kind == stacks.RunCheck || f.shown[v.ID+v.PlanDigest] {
		return
	}
	f.shown[v.ID+v.PlanDigest] = true
	if f.screen != nil {
		f.screen.clear()
	}
	fmt.Fprint(f.app.stderr, diffText(v, f.app.style))
	f.draw()
}

func (f *following) draw() {
	if f.screen == nil {
		return
	}
	width, _ := f.screen.size()
	t := tree{style: f.app.style, unicode: isUTF8(locale()), width: width - 1}
	f.screen.draw(t.frame(f.views, time.Now()))
}

// settle leaves the last picture where it is.
func (f *following) settle() {
	f.draw()
	if f.screen != nil {
		f.screen.drawn = nil
	}
}

func locale() string {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// stopped says how to go on watching what goes on without us.
func (f *following) stopped(code int, what string) error {
	var open, next []string
	for _, v := range f.views {
		if v.Phase.Ended() {
			continue
		}
		open = append(open, v.ID)
		next = append(next, f.app.call("run watch "+v.ID))
		if waitsForYes(v) {
			next = append(next, f.app.approveCommand(v))
		}
	}
	if len(open) == 0 {
		return &exitError{Code: code, What: what}
	}
	return &exitError{
		Code: code, What: fmt.Sprintf("%s; %s without this terminal", what, plural(len(open), "run goes on", "runs go on")),
		Next: "watch again with: " + strings.Join(next, "\n        "),
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "the " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// waitsForYes reports whether a run stands still until somebody approves its plan.
func waitsForYes(v orchestrator.RunView) bool {
	return v.Phase == stacks.PhaseAwaiting && !v.Approved && v.PlanDigest != ""
}

func (a *app) approveCommand(v orchestrator.RunView) string {
	return a.call(fmt.Sprintf("run approve %s --plan %s", v.ID, v.PlanDigest))
}
