package runner

// protection is one of the things without which something may be lost. A build with the tag chaoscontrol can leave one out, so that the
// suite of `make chaos` can be seen to fail; nothing that is shipped can.
type protection string

// The protections that can be left out, by the names that CONTROL has.
const (
	theLock      protection = "no-lock"      // flocks of stack and runner
	theEvents    protection = "no-events"    // the event stream of an apply, in the store
	theSnapshots protection = "no-snapshots" // states while an apply runs, and the last look at that of a killed one
	theRecovery  protection = "no-recovery"  // imports and untaints before a plan
)
