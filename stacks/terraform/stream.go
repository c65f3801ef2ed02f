package terraform

import (
	"time"

	"meridian/stacks"
)

// The types of stream events that Meridian looks at. Lines that are no event have type EventRaw.
const (
	EventRaw              = "raw"
	EventVersion          = "version"
	EventLog              = "log"
	EventDiagnostic       = "diagnostic"
	EventPlannedChange    = "planned_change"
	EventResourceDrift    = "resource_drift"
	EventChangeSummary    = "change_summary"
	EventOutputs          = "outputs"
	EventApplyStart       = "apply_start"
	EventApplyProgress    = "apply_progress"
	EventApplyComplete    = "apply_complete"
	EventApplyErrored     = "apply_errored"
	EventRefreshStart     = "refresh_start"
	EventRefreshComplete  = "refresh_complete"
	EventProvisionStart   = "provision_start"
	EventProvisionOutput  = "provision_progress"
	EventProvisionDone    = "provision_complete"
	EventProvisionErrored = "provision_errored"
)

// StreamEvent is one line of terraform's -json output.
type StreamEvent struct {
	Type    string
	Level   string
	Message string
	Time    time.Time
	// Address is the resource that the event is about, if any; PreviousAddress where it moved from.
	Address         string
	PreviousAddress string
	// Resource is the resource's type.
	Resource string
	Action   stacks.Action
	Reason   string
	// IDKey and IDValue identify the object in its provider ("id", "i-123").
	IDKey, IDValue string
	Elapsed        time.Duration
	Summary        *ChangeSummary
	Diagnostic     *stacks.Diagnostic
	// Terraform is the version in a version event.
	Terraform string
	// Raw is the line as it came, only in events of type EventRaw.
	Raw string
}

// ChangeSummary counts what a plan will do or an apply did.
type ChangeSummary struct {
	Add, Change, Import, Remove int
	// Operation is "plan", "apply" or "destroy".
	Operation string
}

// ParseEvent reads one line of terraform's -json output. A line that is no event comes back as EventRaw together with an error.
func ParseEvent(line []byte) (StreamEvent, error) { panic("todo") }

// DiagnosticOf returns the diagnostic of a diagnostic event, with its address, file, line, snippet and what to do next.
func DiagnosticOf(e StreamEvent) (stacks.Diagnostic, bool) { panic("todo") }

// LogLine is the event as `run logs` shows it: level "debug", "info", "warn" or "error", and text that may span lines. An empty text is not worth a line.
func LogLine(e StreamEvent) (level, text string) { panic("todo") }

// Progress follows the events of one plan or apply. Its zero value is ready.
type Progress struct {
	// Resource is what terraform works on: the last that started and has not ended.
	Resource string
	// Done counts the resources that are finished; Total is how many the operation will change, 0 while not known.
	Done, Total int
	// Started is when Resource was started.
	Started time.Time

	running map[string]time.Time
}

// Observe moves the progress by one event.
func (p *Progress) Observe(e StreamEvent) { panic("todo") }
