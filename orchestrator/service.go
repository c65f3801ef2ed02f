// Package orchestrator turns a person's wish into rows and rows into workflows: client.go submits and wakes, reconcile.go makes
// rows and workflows agree, worker.go registers what runs.
//
// It must never take a workflow's word over a row's.
package orchestrator

import (
	"time"

	"meridian/stacks"
)

// Problem is an error for every surface: HTTP's problem+json, and the CLI's exit code. Code is stable.
type Problem struct {
	// Code is "invalid_spec", "refused", "not_found", "conflict", "stale_plan", "unauthorized", "internal".
	Code        string              `json:"code"`
	Title       string              `json:"title"`
	Detail      string              `json:"detail,omitempty"`
	Next        string              `json:"next,omitempty"`
	Diagnostics []stacks.Diagnostic `json:"diagnostics,omitempty"`
}

// Error makes Problem an error.
func (p *Problem) Error() string {
	s := p.Title
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if p.Next != "" {
		s += " (" + p.Next + ")"
	}
	return s
}

// Codes of a Problem.
const (
	CodeInvalidSpec  = "invalid_spec"
	CodeRefused      = "refused"
	CodeNotFound     = "not_found"
	CodeConflict     = "conflict"
	CodeStalePlan    = "stale_plan"
	CodeUnauthorized = "unauthorized"
	CodeInternal     = "internal"
	// CodeUnavailable is of what may well work in a moment; nothing was stored.
	CodeUnavailable = "unavailable"
)

// Document is one spec file as a client sends it: its name (for errors) and its text.
type Document struct {
	File string `json:"file"`
	Text string `json:"text"`
	// Modules are the local modules that the document names, packed by stacks.PackFiles, by the path that it names them with (up to //).
	Modules map[string][]byte `json:"modules,omitempty"`
}

// SubmitRequest submits the databases of the documents, all or none.
type SubmitRequest struct {
	Documents []Document `json:"documents"`
	// Namespace is used where a document names none.
	Namespace string `json:"namespace,omitempty"`
	Yes       bool   `json:"yes,omitempty"`
	// Check plans only and changes nothing.
	Check bool   `json:"check,omitempty"`
	Actor string `json:"actor,omitempty"`
}

// ImportRequest takes what is there already under control: a database whose regions all were there before Meridian.
type ImportRequest struct {
	Documents []Document `json:"documents"`
	Namespace string     `json:"namespace,omitempty"`
	// From says for each region what becomes it.
	From []ImportFrom `json:"from"`
	// Change lets the takeover change in place what the spec says otherwise, and make what is missing; it never destroys, replaces or sets a
	// password.
	Change bool   `json:"change,omitempty"`
	Actor  string `json:"actor,omitempty"`
}

// ImportFrom is what becomes one region: by the provider's ID, or as a foreign Terraform state (its text) knows it.
type ImportFrom struct {
	Region string `json:"region"`
	ID     string `json:"id,omitempty"`
	State  string `json:"state,omitempty"`
	// Password is the administrator's; it is proven by a login, kept sealed, and never set.
	Password string `json:"password,omitempty"`
}

// SubmitResult lists the runs that a submission made, in the documents' order, and warnings.
type SubmitResult struct {
	Runs     []RunView           `json:"runs"`
	Warnings []stacks.Diagnostic `json:"warnings,omitempty"`
}

// DatabaseView is a database as people see it.
type DatabaseView struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Incarnation string            `json:"incarnation"`
	Engine      string            `json:"engine"`
	Version     string            `json:"version"`
	Phase       string            `json:"phase"`
	Message     string            `json:"message,omitempty"`
	Revision    int64             `json:"revision"`
	Applied     int64             `json:"applied"`
	Labels      map[string]string `json:"labels,omitempty"`
	Regions     []RegionView      `json:"regions"`
	Links       []LinkView        `json:"links,omitempty"`
	Unmanaged   []string          `json:"unmanaged,omitempty"`
	ActiveRun   string            `json:"activeRun,omitempty"`
	LastRun     string            `json:"lastRun,omitempty"`
	Protected   bool              `json:"protected"`
	CreatedAt   time.Time         `json:"createdAt"`
	// Drift is what is known of the database's drift; nil where it is not checked and never was.
	Drift *DriftStatusView `json:"drift,omitempty"`
	Spec  *stacks.Database `json:"spec,omitempty"`
	Audit []AuditView      `json:"audit,omitempty"`
}

// DatabaseQuery says which databases are listed. Its zero value is all of them.
type DatabaseQuery struct {
	// Namespace is where they are; all where empty.
	Namespace string
	// Search is a part of their name.
	Search string
	// After is "namespace/name" of the last one of the page before.
	After string
	// Limit is how many at most; 0 is all.
	Limit int
}

// RegionView is one region of a database.
type RegionView struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
	Location string `json:"location"`
	Role     string `json:"role"`
	Phase    string `json:"phase"`
	Message  string `json:"message,omitempty"`
	Host     string `json:"host,omitempty"`
	Port     int    `json:"port,omitempty"`
	// StateSerial is that of the newest kept state.
	StateSerial int64 `json:"stateSerial,omitempty"`
}

// LinkView is one replication link.
type LinkView struct {
	Name       string     `json:"name"`
	From       string     `json:"from"`
	To         string     `json:"to"`
	Mode       string     `json:"mode"`
	Databases  []string   `json:"databases"`
	Phase      string     `json:"phase"`
	LagMS      float64    `json:"lagMs,omitempty"`
	VerifiedAt *time.Time `json:"verifiedAt,omitempty"`
	Message    string     `json:"message,omitempty"`
}

// AuditView is one line of who did what.
type AuditView struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Verb    string    `json:"verb"`
	Subject string    `json:"subject"`
	Detail  string    `json:"detail,omitempty"`
}

// RunView is a run as people see it.
type RunView struct {
	ID        string         `json:"id"`
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Kind      stacks.RunKind `json:"kind"`
	Number    int64          `json:"number"`
	Revision  int64          `json:"revision"`
	Phase     stacks.Phase   `json:"phase"`
	Reason    string         `json:"reason,omitempty"`
	Message   string         `json:"message,omitempty"`
	// Remedy is the check for drift whose findings the run puts back.
	Remedy        string          `json:"remedy,omitempty"`
	PlanDigest    string          `json:"planDigest,omitempty"`
	NeedsApproval string          `json:"needsApproval,omitempty"`
	Approved      bool            `json:"approved,omitempty"`
	CancelAsked   bool            `json:"cancelAsked,omitempty"`
	Actor         string          `json:"actor,omitempty"`
	CreatedAt     time.Time       `json:"createdAt"`
	EndedAt       *time.Time      `json:"endedAt,omitempty"`
	Regions       []RunRegionView `json:"regions,omitempty"`
	Links         []LinkView      `json:"links,omitempty"`
	// Questions are what a person has to answer before the run plans (again).
	Questions   []QuestionView      `json:"questions,omitempty"`
	Changes     []stacks.Change     `json:"changes,omitempty"`
	HasChanges  bool                `json:"hasChanges"`
	Diagnostics []stacks.Diagnostic `json:"diagnostics,omitempty"`
	// TemporalPath is the run's page in the Web UI, below the server's address.
	TemporalPath string `json:"temporalPath,omitempty"`
}

// QuestionView asks about one object that an interrupted apply was making and that cannot be looked up.
type QuestionView struct {
	Region   string `json:"region"`
	Address  string `json:"address"`
	Type     string `json:"type"`
	Question string `json:"question"`
	// Evidence says what was looked at and seen.
	Evidence string `json:"evidence"`
}

// AnswerRequest answers one question of a run. Region may be empty where only one region asks about the address.
type AnswerRequest struct {
	Run, Region, Address string
	// Kind is "adopt" (it exists, under the import ID), "absent" (it does not exist) or "again" (look again).
	Kind     string
	ImportID string
	Actor    string
}

// RunRegionView is one region of a run, with live progress.
type RunRegionView struct {
	Region  string             `json:"region"`
	Phase   stacks.RegionPhase `json:"phase"`
	Destroy bool               `json:"destroy,omitempty"`
	Message string             `json:"message,omitempty"`
	// Resource is what terraform works on now; Done of Total resources are finished.
	Resource  string    `json:"resource,omitempty"`
	Done      int       `json:"done,omitempty"`
	Total     int       `json:"total,omitempty"`
	StartedAt time.Time `json:"startedAt,omitzero"`
}

// LogLine is one line of a run's log.
type LogLine struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Region string    `json:"region,omitempty"`
	Step   string    `json:"step,omitempty"`
	Level  string    `json:"level"`
	Text   string    `json:"text"`
}

// ConnectView says how to connect to one region. Password is empty unless it was asked for.
type ConnectView struct {
	Region   string `json:"region"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Database string `json:"database"`
	URL      string `json:"url"`
	Password string `json:"password,omitempty"`
}

// ConnectRequest asks how to connect. Region "" means the primary, User "" the first user of the spec, Database "" the first database.
type ConnectRequest struct {
	Namespace, Name, Region, User, Database string
	Reveal                                  bool
	Actor                                   string
}
