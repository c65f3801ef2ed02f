package journal

import (
	"time"

	"meridian/stacks"
)

// Fence is the right to write a stack: (store epoch, a number that only grows, attempt ID).
type Fence struct {
	Epoch   int64
	Number  int64
	Attempt string
}

// HeadStatus says whether an attempt may be alive.
type HeadStatus string

// The statuses of a head.
const (
	HeadIdle    HeadStatus = "idle"
	HeadRunning HeadStatus = "running"
)

// Head is a stack's row: who may write it.
type Head struct {
	Stack  stacks.StackID
	Fence  Fence
	Status HeadStatus
	// Step is the step that the running (or last) attempt works on.
	Step string
	// Desired is "" or "cancel".
	Desired string
	// Serial and Lineage are those of the newest kept state.
	Serial  int64
	Lineage string
	// Site, RunnerPID and BootID tell which runner wrote last; BeatAt when.
	Site      string
	RunnerPID int
	BootID    string
	BeatAt    time.Time
	// Beats grows with each sign of life of the attempt.
	Beats int64
	// Shipped is the sequence of the newest event that the fence has shipped: an adopter goes on after it.
	Shipped int64
	// Pins are what the head needs to be adopted: terraform's version and the template's hash.
	Terraform string
	Template  string
}

// StepKind is what terraform does in a step.
type StepKind string

// The kinds of steps. A check plans in a scratch copy and takes neither head, lock nor fence.
const (
	StepPlan  StepKind = "plan"
	StepApply StepKind = "apply"
	StepCheck StepKind = "check"
)

// Step is one run of terraform on a stack, as the runner needs it. ID is "<run>/<region>/<kind>.<n>".
type Step struct {
	ID   string
	Run  string
	Kind StepKind
	// Destroy plans the destruction of everything in the stack.
	Destroy bool
	Stack   stacks.Stack
	// Artifact is the ID of the artifact that an apply step applies.
	Artifact string
	// Recovery is what a plan step puts right first.
	Recovery stacks.Recovery
	// Targets are the addresses that a plan step is limited to, with what they depend on; none is no limit.
	Targets   []string
	CreatedAt time.Time
}

// Outcome is how a step ended.
type Outcome string

// The outcomes of a step. Interrupted: terraform died with no exit code, the newest state is kept, the next step must plan anew.
const (
	OutcomeUnchanged   Outcome = "unchanged"
	OutcomeChanges     Outcome = "changes"
	OutcomeApplied     Outcome = "applied"
	OutcomeFailed      Outcome = "failed"
	OutcomeCancelled   Outcome = "cancelled"
	OutcomeInterrupted Outcome = "interrupted"
)

// Result is what a finished step left. It is sealed at rest; no field holds a secret.
type Result struct {
	Step     string
	Outcome  Outcome
	ExitCode int
	Artifact string // ID of the artifact that a plan step made
	Serial   int64  // serial of the newest state after the step
	Changes  []stacks.Change
	// Moved is, of a check, what its refresh found to differ from the state, of what the configuration sets.
	Moved       []stacks.Change `json:",omitempty"`
	Diagnostics []stacks.Diagnostic
	// Retryable says that the failure came from transient trouble (network, throttling), as decided once in stacks/terraform.
	Retryable bool
	Launches  int // processes of terraform that the step started
	// StoppedAt is when terraform was told to stop, zero where it was not: what failed after it did not fail by itself.
	StoppedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
}

// Event is one line of terraform's JSON output, kept in order per (stack, fence).
type Event struct {
	Stack   stacks.StackID
	Fence   Fence
	Seq     int64
	Step    string
	At      time.Time
	Payload []byte
}

// State is one kept version of a stack's state, ordered by (fence, serial).
type State struct {
	Stack   stacks.StackID
	Fence   Fence
	Serial  int64
	Lineage string
	SHA256  string
	Payload []byte
	At      time.Time
}

// Artifact is a stored plan with all that its apply needs. Digest is the SHA-256 (hex) of the plaintext plan file.
type Artifact struct {
	ID          string
	Run         string
	Stack       stacks.StackID
	Digest      string
	StackDigest string
	StateSerial int64
	Destroy     bool
	Terraform   string // version that made it
	Template    string // hash of the template it was made with
	WorkPath    string // the one absolute path where it can be applied
	Changes     []stacks.Change
	Files       []stacks.File // plan file, lock file and every file that the plan step left
	CreatedAt   time.Time
}

// Batch is what a runner ships at once.
type Batch struct {
	Events []Event // Stack, Fence and Step are filled in from the call
	State  *State  // newest valid snapshot, or nil
}
