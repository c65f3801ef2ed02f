package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

// The exit codes, stable: scripts rely on them.
const (
	exitOK            = 0
	exitFailed        = 1 // failed, or wrong usage
	exitChanges       = 2 // plan --detailed-exitcode
	exitRefused       = 3 // by a rule
	exitInvalidSpec   = 4
	exitNoServer      = 5
	exitNotFound      = 6
	exitNeedsApproval = 7 // only with --no-wait-approval
	exitCancelled     = 8
	exitTimedOut      = 9
	exitNotLoggedIn   = 10 // or no right
	exitDetached      = 130
)

// errInterrupted is the cause of a context that Ctrl-C ended.
var errInterrupted = errors.New("interrupted")

// exitError carries an exit code, and what to do next. An empty What has nothing left to say.
type exitError struct {
	Code int
	What string
	Next string
}

// Error is what happened.
func (e *exitError) Error() string { return e.What }

// exitCode decides the process's exit code from an error, here and nowhere else.
func exitCode(err error) int {
	var exit *exitError
	var problem *orchestrator.Problem
	var unreachable *api.UnreachableError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &problem):
		return problemCode(problem.Code)
	case errors.Is(err, errInterrupted):
		return exitDetached
	case errors.As(err, &unreachable):
		return exitNoServer
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimedOut
	}
	return exitFailed
}

func problemCode(code string) int {
	switch code {
	case orchestrator.CodeInvalidSpec:
		return exitInvalidSpec
	case orchestrator.CodeRefused, orchestrator.CodeConflict, orchestrator.CodeStalePlan:
		return exitRefused
	case orchestrator.CodeNotFound:
		return exitNotFound
	case orchestrator.CodeUnauthorized:
		return exitNotLoggedIn
	}
	return exitFailed
}

// phaseCode is the exit code of a run that ended.
func phaseCode(p stacks.Phase) int {
	switch p {
	case stacks.PhaseDone:
		return exitOK
	case stacks.PhaseCancelled, stacks.PhaseSuperseded:
		return exitCancelled
	}
	return exitFailed
}

// report tells a person what happened, where, and what to do next.
func (a *app) report(err error) {
	if err == nil {
		return
	}
	var exit *exitError
	var problem *orchestrator.Problem
	var unreachable *api.UnreachableError
	what, next := err.Error(), ""
	switch {
	case errors.As(err, &exit):
		what, next = exit.What, exit.Next
	case errors.As(err, &problem):
		what, next = problem.Title, problem.Next
		if problem.Detail != "" {
			what += ": " + problem.Detail
		}
		a.printDiagnostics(problem.Diagnostics)
	case errors.As(err, &unreachable):
		next = "start one with `meridian server`, or name it with --server or MERIDIAN_SERVER"
	case errors.Is(err, errInterrupted):
		what = "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		what, next = "the time is up: "+err.Error(), "try again with a longer --timeout"
	}
	if what == "" {
		return
	}
	label := a.style.bad("error:") + " "
	if exitCode(err) == exitDetached { // somebody wanted that
		label = ""
	}
	fmt.Fprintf(a.stderr, "%s%s\n", label, printable(what))
	if next != "" {
		fmt.Fprintf(a.stderr, "  %s %s\n", a.style.dim("next:"), printable(next))
	}
}

// printable keeps what a server or a cloud said from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if (r < ' ' && r != '\n' && r != '\t') || (r >= 0x7f && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, s)
}
