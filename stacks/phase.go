package stacks

// RunKind is what a run does.
type RunKind string

// The kinds of runs. A check plans and changes nothing.
const (
	RunApply   RunKind = "apply"
	RunDestroy RunKind = "destroy"
	RunCheck   RunKind = "check"
)

// Phase is where a run stands. It only moves forward, in the order of the constants; the last four are ends.
type Phase string

// The phases of a run.
const (
	PhasePending    Phase = "pending"
	PhasePlanning   Phase = "planning"
	PhaseAwaiting   Phase = "awaiting"
	PhaseUnlinking  Phase = "unlinking"
	PhaseApplying   Phase = "applying"
	PhaseLinking    Phase = "linking"
	PhaseDone       Phase = "done"
	PhaseFailed     Phase = "failed"
	PhaseCancelled  Phase = "cancelled"
	PhaseSuperseded Phase = "superseded"
)

// Ended reports whether a run in this phase will never move again.
func (p Phase) Ended() bool {
	switch p {
	case PhaseDone, PhaseFailed, PhaseCancelled, PhaseSuperseded:
		return true
	}
	return false
}

// RegionPhase is where one region of a run stands.
type RegionPhase string

// The phases of a region in a run.
const (
	RegionPending   RegionPhase = "pending"
	RegionPlanning  RegionPhase = "planning"
	RegionPlanned   RegionPhase = "planned"
	RegionUnchanged RegionPhase = "unchanged"
	RegionApplying  RegionPhase = "applying"
	RegionWaiting   RegionPhase = "waiting"
	RegionReady     RegionPhase = "ready"
	RegionRemoved   RegionPhase = "removed"
	RegionFailed    RegionPhase = "failed"
	RegionCancelled RegionPhase = "cancelled"
)
