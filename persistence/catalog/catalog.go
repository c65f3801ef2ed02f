// Package catalog keeps what users asked for and what became of it: databases, revisions, runs, approvals, placements, secrets,
// outputs, links and the audit. Its rows are the truth; workflows only move them, forward, by compare-and-set.
//
// It must never decide how something is done, and never hand out a secret but through Secret.
package catalog

import (
	"context"
	"errors"
	"time"

	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
)

// Errors of the catalog. Callers compare with errors.Is.
var (
	ErrNotFound = errors.New("not in the catalog")
	// ErrMoved means that a compare-and-set lost: the row is no longer what the caller saw. Read it again.
	ErrMoved = errors.New("the row has moved")
	// ErrStaleDigest means that an approval names a digest that is not the run's.
	ErrStaleDigest = errors.New("the plan has changed since")
	// ErrRefused means that the gate is closed: not the active run, not applying, no yes for exactly this plan, or a cancel.
	ErrRefused = errors.New("not allowed to apply")
)

// Catalog is the catalog on a store.
type Catalog struct {
	st   *store.Store
	keys *keyring.Keyring
}

// New returns the catalog on st, sealing secrets with keys.
func New(st *store.Store, keys *keyring.Keyring) *Catalog { return &Catalog{st: st, keys: keys} }

// Store is the store below, for a transaction that sees catalog and journal at once.
func (c *Catalog) Store() *store.Store { return c.st }

// Installation returns this installation's ID, made on first use: 8 letters and digits.
func (c *Catalog) Installation(ctx context.Context) (string, error) { panic("todo") }

// Database is one incarnation of a database. Its Phase is for people: "creating", "ready", "changing", "degraded", "failed", "destroying", "destroyed".
type Database struct {
	Namespace   string
	Name        string
	Incarnation string
	Revision    int64 // newest submitted revision
	Applied     int64 // newest revision that a run finished
	ActiveRun   string
	LastRun     int64 // number of the newest run
	Phase       string
	Message     string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DestroyedAt *time.Time
}

// Revision is one submitted spec: as written and effective.
type Revision struct {
	Incarnation string
	Number      int64
	Source      []byte
	Effective   stacks.Database
	// Draft marks a revision that only a check planned; it is never the database's.
	Draft     bool
	CreatedAt time.Time
	Actor     string
}

// Run is one operation on a database. ID is "<incarnation>-<number>".
type Run struct {
	ID          string
	Namespace   string
	Name        string
	Incarnation string
	Number      int64
	Kind        stacks.RunKind
	Revision    int64
	Phase       stacks.Phase
	Reason      string // for machines, like "RegionFailed"
	Message     string // for people
	// PlanDigest is the run's digest, once all regions are planned; it changes if they are planned again.
	PlanDigest string
	// NeedsApproval says why a yes is needed beyond --yes ("destroys default/orders in ankara"), or "".
	NeedsApproval string
	// Yes is the yes given with the submission; it covers what is not dangerous.
	Yes       bool
	Cancel    bool
	Actor     string
	CreatedAt time.Time
	MovedAt   time.Time
	EndedAt   *time.Time
	Regions   []RunRegion
	// Diagnostics tell what failed, sorted by region.
	Diagnostics []stacks.Diagnostic
}

// RunRegion is one region of a run.
type RunRegion struct {
	Region  string
	Phase   stacks.RegionPhase
	Destroy bool // this run removes the region
	// StackDigest, Artifact and ArtifactDigest are set once planned; ArtifactDigest is empty where nothing changes.
	StackDigest    string
	Artifact       string
	ArtifactDigest string
	StateSerial    int64
	PlanStep       string // the newest plan step's ID
	ApplyStep      string
	// Plans counts how often this region was planned in this run.
	Plans   int
	Message string
	MovedAt time.Time
	Changes []stacks.Change // from the artifact; sensitive values are never in it
}

// SubmitInput is one accepted spec (already validated and defaulted by the caller, who read Revision before).
type SubmitInput struct {
	Effective stacks.Database
	Source    []byte
	Yes       bool
	Actor     string
	// Kind is RunApply or RunCheck.
	Kind stacks.RunKind
	// ExpectRevision is the database's Revision that the caller compared with (0: no such database); ErrMoved if it is another.
	ExpectRevision int64
}

// Submit stores a revision and its run in one transaction and returns the run. An apply of the spec that is already the newest
// revision makes a new run but no new revision. A newer apply supersedes runs of the same database that are pending or awaiting.
// A check of an unknown database gets a provisional incarnation and makes no database row.
func (c *Catalog) Submit(ctx context.Context, in SubmitInput) (Run, error) { panic("todo") }

// SubmitDestroy stores a destroy run; it supersedes runs that are pending or awaiting.
func (c *Catalog) SubmitDestroy(ctx context.Context, namespace, name, actor string) (Run, error) {
	panic("todo")
}

// Approve records a yes for exactly this digest of an awaiting run; ErrStaleDigest, ErrMoved (not awaiting any more).
func (c *Catalog) Approve(ctx context.Context, run, digest, actor string) (Run, error) {
	panic("todo")
}

// Cancel asks a run to stop: one that is pending or awaiting ends at once, another gets Cancel set, and also is called in the same
// transaction (the journal's RequestCancel). ErrMoved when it has ended.
func (c *Catalog) Cancel(ctx context.Context, run, actor string, also func(tx *store.Tx) error) (Run, error) {
	panic("todo")
}

// NextRun returns the run that the database's funnel must work on now, taking active_run by compare-and-set, or "" when there is
// none: the active run unless it has ended or awaits a yes that is not there, else the oldest pending one. Checks are not its business.
func (c *Catalog) NextRun(ctx context.Context, namespace, name string) (string, error) {
	panic("todo")
}

// Run reads a run with its regions; ErrNotFound.
func (c *Catalog) Run(ctx context.Context, id string) (Run, error) { panic("todo") }

// RunFilter selects runs; empty fields select all.
type RunFilter struct {
	Namespace, Name string
	Open            bool // only runs that have not ended
	Limit           int
}

// Runs lists runs, newest first.
func (c *Catalog) Runs(ctx context.Context, f RunFilter) ([]Run, error) { panic("todo") }

// Move is one forward step of a run's phase.
type Move struct {
	From, To      stacks.Phase
	Reason        string
	Message       string
	PlanDigest    string // set when leaving planning
	NeedsApproval string
	Diagnostics   []stacks.Diagnostic
}

// MoveRun moves a run's phase by compare-and-set, forward only; ErrMoved. An end clears the database's active_run and sets its phase.
func (c *Catalog) MoveRun(ctx context.Context, id string, m Move) (Run, error) { panic("todo") }

// Replan moves a run from awaiting or applying back to planning because an artifact went stale, counts the region's plan, and drops
// the yes. It is the only move that is not forward.
func (c *Catalog) Replan(ctx context.Context, id string, region string, reason string) (Run, error) {
	panic("todo")
}

// SetRegions writes the regions of a run as planned work, once: the first call wins and is returned.
func (c *Catalog) SetRegions(ctx context.Context, run string, regions []RunRegion) ([]RunRegion, error) {
	panic("todo")
}

// UpdateRegion changes one region's row: f gets the row and returns what it becomes.
func (c *Catalog) UpdateRegion(ctx context.Context, run, region string, f func(RunRegion) RunRegion) error {
	panic("todo")
}

// GateApply, within the transaction that takes the fence, answers whether this artifact may be applied now: its run is the active
// one, its phase is applying, a yes covers its digest (an approval of the run's digest, or Yes where nothing is dangerous), the state serial is the
// artifact's, no cancel; else ErrRefused with the reason.
func (c *Catalog) GateApply(ctx context.Context, tx *store.Tx, run, region, artifactDigest string, serial int64) error {
	panic("todo")
}

// Approved reports whether a yes covers the run's digest.
func (c *Catalog) Approved(ctx context.Context, run string) (bool, error) { panic("todo") }

// Database reads the living database of that name; ErrNotFound.
func (c *Catalog) Database(ctx context.Context, namespace, name string) (Database, error) {
	panic("todo")
}

// Databases lists living databases of a namespace ("" for all), by name.
func (c *Catalog) Databases(ctx context.Context, namespace string) ([]Database, error) {
	panic("todo")
}

// Revision reads one revision; number 0 is the newest that is no draft.
func (c *Catalog) Revision(ctx context.Context, incarnation string, number int64) (Revision, error) {
	panic("todo")
}

// EnsurePlacement returns a region's placement, or stores the one that make returns; make gets every address that is taken. Addresses are unique.
func (c *Catalog) EnsurePlacement(ctx context.Context, id stacks.StackID, make func(taken []string) (stacks.Placement, error)) (stacks.Placement, error) {
	panic("todo")
}

// Placement reads a region's placement; ErrNotFound.
func (c *Catalog) Placement(ctx context.Context, id stacks.StackID) (stacks.Placement, error) {
	panic("todo")
}

// EnsureSecret makes a secret once (32 random bytes, base64url without padding) and leaves an existing one alone.
// Name is like "region/ankara/admin", "user/orders_app", "link/ankara-istanbul".
func (c *Catalog) EnsureSecret(ctx context.Context, incarnation, name string) error { panic("todo") }

// Secret opens a secret; ErrNotFound. The caller must not log, return to a user or put it in argv.
func (c *Catalog) Secret(ctx context.Context, incarnation, name string) (string, error) {
	panic("todo")
}

// PutEndpoint stores where a region answers; sealed.
func (c *Catalog) PutEndpoint(ctx context.Context, id stacks.StackID, e stacks.Endpoint) error {
	panic("todo")
}

// Endpoint reads it; ErrNotFound.
func (c *Catalog) Endpoint(ctx context.Context, id stacks.StackID) (stacks.Endpoint, error) {
	panic("todo")
}

// Link is the state of one replication link.
type Link struct {
	Incarnation string
	Name        string // "from-to"
	Spec        stacks.Link
	Phase       string // "pending", "copying", "verified", "failed", "removing"
	RunNumber   int64
	Lag         time.Duration
	VerifiedAt  *time.Time
	Message     string
}

// PutLink stores a link unless a larger run number wrote it last (ErrMoved).
func (c *Catalog) PutLink(ctx context.Context, l Link) error { panic("todo") }

// Links lists the links of an incarnation by name.
func (c *Catalog) Links(ctx context.Context, incarnation string) ([]Link, error) { panic("todo") }

// DeleteLink forgets a link that is gone from the world.
func (c *Catalog) DeleteLink(ctx context.Context, incarnation, name string) error { panic("todo") }

// RemoveRegion forgets placement, endpoint and secrets of a region that is destroyed; also (the journal's Forget) runs in the same transaction.
func (c *Catalog) RemoveRegion(ctx context.Context, id stacks.StackID, also func(tx *store.Tx) error) error {
	panic("todo")
}

// RemoveDatabase ends an incarnation whose regions and links are gone: its name is free; runs, approvals and audit stay, secrets go.
func (c *Catalog) RemoveDatabase(ctx context.Context, incarnation string) error { panic("todo") }

// Audit is one line of who did what.
type Audit struct {
	At                     time.Time
	Actor, Verb, Subject   string
	Detail                 string
	Namespace, Name, RunID string
}

// Audits lists the audit of a database, newest first.
func (c *Catalog) Audits(ctx context.Context, namespace, name string, limit int) ([]Audit, error) {
	panic("todo")
}
