// Package journal keeps what terraform did: heads and their fences, steps and results, event streams, state versions and artifacts.
// Everything in it that a stack could have written is sealed by the keyring.
//
// It must never let a write pass whose fence is not the head's, and it decides nothing about runs: that is the catalog's.
package journal

import (
	"context"
	"errors"
	"time"

	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
)

// Errors of the fence. Callers compare with errors.Is.
var (
	// ErrFenced means that another attempt owns the head: whoever gets it must stop writing.
	ErrFenced = errors.New("another attempt owns this stack")
	// ErrHasResult means that the step is finished: read its result.
	ErrHasResult = errors.New("the step has a result")
	// ErrRunning means that the head's last attempt is not known to be over: adopt it first.
	ErrRunning = errors.New("an attempt is still running")
	// ErrStale means that the state moved since the artifact was made.
	ErrStale = errors.New("the plan is stale")
	// ErrNotFound means that there is no such row.
	ErrNotFound = errors.New("not in the journal")
)

// Journal is the journal on a store.
type Journal struct {
	st   *store.Store
	keys *keyring.Keyring
}

// New returns the journal on st, sealing with keys.
func New(st *store.Store, keys *keyring.Keyring) *Journal { return &Journal{st: st, keys: keys} }

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
	Artifact  string
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
	Step        string
	Outcome     Outcome
	ExitCode    int
	Artifact    string // ID of the artifact that a plan step made
	Serial      int64  // serial of the newest state after the step
	Changes     []stacks.Change
	Diagnostics []stacks.Diagnostic
	// Retryable says that the failure came from transient trouble (network, throttling), as decided once in stacks/terraform.
	Retryable  bool
	Launches   int // processes of terraform that the step started
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

// EnsureStack makes the head and the journalled empty state (lineage from the ID, serial 1) of a stack; idempotent.
func (j *Journal) EnsureStack(ctx context.Context, id stacks.StackID) error { panic("todo") }

// Head reads a head; ErrNotFound.
func (j *Journal) Head(ctx context.Context, id stacks.StackID) (Head, error) { panic("todo") }

// Heads lists the heads of a database's incarnation ("" for all), by region.
func (j *Journal) Heads(ctx context.Context, incarnation string) ([]Head, error) { panic("todo") }

// PutStep stores a step; the first of an ID wins and is returned.
func (j *Journal) PutStep(ctx context.Context, s Step) (Step, error) { panic("todo") }

// Step reads a step; ErrNotFound.
func (j *Journal) Step(ctx context.Context, id string) (Step, error) { panic("todo") }

// TakeInput is an attempt's claim on a head.
type TakeInput struct {
	Stack     stacks.StackID
	Step      string
	Attempt   string
	Site      string
	RunnerPID int
	BootID    string
	Terraform string
	Template  string
	// OverProven says that the caller, holding both locks of the site that the head names, has proven the last attempt over and shipped what it left.
	OverProven bool
}

// TakeFence takes the next fence within tx, by compare-and-set on the head. It refuses a step that has a result (ErrHasResult) and a
// head that runs unless OverProven (ErrRunning). The same tx calls the catalog's gate first where the step applies.
func (j *Journal) TakeFence(ctx context.Context, tx *store.Tx, in TakeInput) (Fence, error) {
	panic("todo")
}

// Ship appends events (a sequence that is already there is skipped) and keeps the snapshot if it is newer; ErrFenced.
func (j *Journal) Ship(ctx context.Context, id stacks.StackID, f Fence, step string, b Batch) error {
	panic("todo")
}

// Beat renews the head and returns its Desired; ErrFenced.
func (j *Journal) Beat(ctx context.Context, id stacks.StackID, f Fence) (desired string, err error) {
	panic("todo")
}

// Finish stores the result (and the artifact, if any), prunes all but the newest snapshot of this fence, and sets the head idle and
// Desired empty, in one transaction; ErrFenced, ErrHasResult.
func (j *Journal) Finish(ctx context.Context, id stacks.StackID, f Fence, r Result, a *Artifact) error {
	panic("todo")
}

// FinishCheck stores the result of a check step, which holds no fence; the first wins.
func (j *Journal) FinishCheck(ctx context.Context, r Result) error { panic("todo") }

// Result reads a step's result; ErrNotFound while it has none.
func (j *Journal) Result(ctx context.Context, step string) (Result, error) { panic("todo") }

// Events lists up to limit events of a step with a sequence above after.
func (j *Journal) Events(ctx context.Context, step string, after int64, limit int) ([]Event, error) {
	panic("todo")
}

// LatestState reads the newest state of a stack, by (fence, serial), and verifies its checksum.
func (j *Journal) LatestState(ctx context.Context, id stacks.StackID) (State, error) { panic("todo") }

// Artifact reads one artifact and verifies its digest; ErrNotFound.
func (j *Journal) Artifact(ctx context.Context, id string) (Artifact, error) { panic("todo") }

// FindArtifact returns the first artifact made for (run, stack digest, state serial); ErrNotFound.
func (j *Journal) FindArtifact(ctx context.Context, run string, id stacks.StackID, stackDigest string, serial int64) (Artifact, error) {
	panic("todo")
}

// RequestCancel sets Desired to cancel if the head runs a step of that run.
func (j *Journal) RequestCancel(ctx context.Context, tx *store.Tx, id stacks.StackID, run string) error {
	panic("todo")
}

// Forget removes the head, steps, events, states and artifacts of a stack that is destroyed (its state is empty, its head idle), within tx.
func (j *Journal) Forget(ctx context.Context, tx *store.Tx, id stacks.StackID) error { panic("todo") }
