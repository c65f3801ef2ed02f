package terraform

import (
	"errors"

	"meridian/stacks"
)

// Failures of terraform that Meridian treats by type; ErrorOf finds them in diagnostics.
var (
	// ErrStale says that the state moved since the plan was made: plan again.
	ErrStale = errors.New("saved plan is stale")
	// ErrStateLock says that another terraform holds the state.
	ErrStateLock = errors.New("state is locked")
	// ErrLockFile says that the lock file is not the one that the plan was made with, or lacks a provider.
	ErrLockFile = errors.New("inconsistent dependency lock file")
	// ErrStateWrite says that terraform could not write its state: what it made may be in no state.
	ErrStateWrite = errors.New("state could not be written")
)

// ErrorOf returns the typed failure among the errors, or nil where there is none.
func ErrorOf(diags []stacks.Diagnostic) error { panic("todo") }

// Classify decides, once and for all, whether the same step may be tried again by itself. It is conservative: every error among the
// diagnostics must be a known transient one (network, throttling, a server's 5xx, a locked state), and there must be one.
func Classify(diags []stacks.Diagnostic) (retryable bool) { panic("todo") }

// Advise fills Next for well-known failures.
func Advise(d stacks.Diagnostic) stacks.Diagnostic { panic("todo") }
