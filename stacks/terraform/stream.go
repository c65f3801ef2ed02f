package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/stacks"
)

// The types of stream events that Meridian looks at. A line that is no event has type EventRaw; other types pass through by name.
const (
	EventRaw             = "raw"
	EventVersion         = "version"
	EventLog             = "log"
	EventDiagnostic      = "diagnostic"
	EventPlannedChange   = "planned_change"
	EventResourceDrift   = "resource_drift"
	EventChangeSummary   = "change_summary"
	EventOutputs         = "outputs"
	EventApplyStart      = "apply_start"
	EventApplyProgress   = "apply_progress"
	EventApplyComplete   = "apply_complete"
	EventApplyErrored    = "apply_errored"
	EventRefreshStart    = "refresh_start"
	EventRefreshComplete = "refresh_complete"
	EventProvisionStart  = "provision_start"
	EventProvisionOutput = "provision_progress"
)

// maxRaw bounds what is kept of a line that is no event: a plugin that crashes can print megabytes.
const maxRaw = 16 << 10

// StreamEvent is one line of terraform's -json output. Values of outputs are not in it: they are read from the state.
type StreamEvent struct {
	Type    string
	Level   string
	Message string
	// Time is when terraform wrote the line; zero in raw events.
	Time time.Time
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
	// Raw is the line as it came (its beginning, if it is very long), only in events of type EventRaw.
	Raw string
}

// ChangeSummary counts what a plan will do or an apply did.
type ChangeSummary struct {
	Add, Change, Import, Remove int
	// Operation is "plan", "apply" or "destroy".
	Operation string
}

type wireEvent struct {
	Level      string          `json:"@level"`
	Message    string          `json:"@message"`
	Timestamp  time.Time       `json:"@timestamp"`
	Type       string          `json:"type"`
	Terraform  string          `json:"terraform"`
	Tofu       string          `json:"tofu"`
	Change     *wireChange     `json:"change"`
	Hook       *wireHook       `json:"hook"`
	Changes    *wireSummary    `json:"changes"`
	Diagnostic *wireDiagnostic `json:"diagnostic"`
}

type wireResource struct {
	Addr string `json:"addr"`
	Type string `json:"resource_type"`
}

type wireChange struct {
	Resource wireResource  `json:"resource"`
	Previous *wireResource `json:"previous_resource"`
	Action   string        `json:"action"`
	Reason   string        `json:"reason"`
}

type wireHook struct {
	Resource wireResource `json:"resource"`
	Action   string       `json:"action"`
	IDKey    string       `json:"id_key"`
	IDValue  string       `json:"id_value"`
	Elapsed  float64      `json:"elapsed_seconds"`
}

type wireSummary struct {
	Add       int    `json:"add"`
	Change    int    `json:"change"`
	Import    int    `json:"import"`
	Remove    int    `json:"remove"`
	Operation string `json:"operation"`
}

type wireDiagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Range    *struct {
		Filename   string       `json:"filename"`
		Start, End wirePosition `json:",omitempty"`
	} `json:"range"`
	Snippet *struct {
		Context string `json:"context"`
		Code    string `json:"code"`
	} `json:"snippet"`
}

type wirePosition struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// ParseEvent reads one line of terraform's -json output. The event is usable in any case: a line that is no event comes back as
// EventRaw; the error says so only where the line looks like an event and is broken (cut by a kill, for example).
func ParseEvent(line []byte) (StreamEvent, error) {
	text := strings.TrimRight(string(line), "\r\n")
	if !strings.HasPrefix(text, "{") {
		return rawEvent(text), nil
	}
	var w wireEvent
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return rawEvent(text), fmt.Errorf("terraform's event stream: %w", err)
	}
	if w.Type == "" {
		return rawEvent(text), errors.New("terraform's event stream: a line without a type")
	}
	e := StreamEvent{Type: w.Type, Level: w.Level, Message: w.Message, Time: w.Timestamp, Terraform: w.Terraform}
	if e.Terraform == "" {
		e.Terraform = w.Tofu
	}
	if c := w.Change; c != nil {
		e.Address, e.Resource, e.Action, e.Reason = c.Resource.Addr, c.Resource.Type, streamAction(c.Action), c.Reason
		if c.Previous != nil {
			e.PreviousAddress = c.Previous.Addr
		}
	}
	if h := w.Hook; h != nil {
		e.Address, e.Resource, e.Action = h.Resource.Addr, h.Resource.Type, streamAction(h.Action)
		e.IDKey, e.IDValue, e.Elapsed = h.IDKey, h.IDValue, time.Duration(h.Elapsed*float64(time.Second))
	}
	if s := w.Changes; s != nil {
		e.Summary = &ChangeSummary{Add: s.Add, Change: s.Change, Import: s.Import, Remove: s.Remove, Operation: s.Operation}
	}
	if w.Diagnostic != nil {
		d := w.Diagnostic.domain()
		e.Diagnostic, e.Address = &d, d.Address
	}
	return e, nil
}

func rawEvent(text string) StreamEvent {
	if len(text) > maxRaw {
		text = strings.ToValidUTF8(text[:maxRaw], "") + "..."
	}
	return StreamEvent{Type: EventRaw, Level: "info", Message: text, Raw: text}
}

// streamAction turns the stream's words for actions into the domain's; a pure move and a pure import change nothing.
func streamAction(s string) stacks.Action {
	switch s {
	case "noop", "move", "import":
		return stacks.ActionNoop
	case "remove":
		return stacks.ActionForget
	}
	return stacks.Action(s)
}

func (w wireDiagnostic) domain() stacks.Diagnostic {
	d := stacks.Diagnostic{Severity: stacks.SeverityError, Summary: w.Summary, Detail: w.Detail, Address: w.Address}
	if w.Severity == string(stacks.SeverityWarning) {
		d.Severity = stacks.SeverityWarning
	}
	if r := w.Range; r != nil {
		d.File, d.Line, d.Column = r.Filename, r.Start.Line, r.Start.Column
		if r.End.Line == r.Start.Line && r.End.Column > r.Start.Column {
			d.Length = r.End.Column - r.Start.Column
		}
	}
	if w.Snippet != nil {
		d.Snippet = w.Snippet.Code
	}
	return Advise(d)
}

// DiagnosticOf returns the diagnostic of a diagnostic event, with its address, file, line, snippet and what to do next.
func DiagnosticOf(e StreamEvent) (stacks.Diagnostic, bool) {
	if e.Diagnostic == nil {
		return stacks.Diagnostic{}, false
	}
	return *e.Diagnostic, true
}

// LogLine is the event as `run logs` shows it: level "debug", "info", "warn" or "error", and text that may span lines.
// An empty text is not worth a line.
func LogLine(e StreamEvent) (level, text string) {
	switch e.Type {
	case EventDiagnostic:
		if e.Diagnostic != nil {
			return diagnosticLine(*e.Diagnostic)
		}
	case EventRefreshComplete, EventVersion, EventOutputs:
		return "debug", e.Message
	}
	switch e.Level {
	case "error", "warn", "debug":
		return e.Level, e.Message
	case "trace":
		return "debug", e.Message
	}
	return "info", e.Message
}

func diagnosticLine(d stacks.Diagnostic) (level, text string) {
	var b strings.Builder
	level = "error"
	if d.Severity == stacks.SeverityWarning {
		level = "warn"
	}
	b.WriteString(d.Summary)
	if d.Address != "" {
		fmt.Fprintf(&b, "\n  with %s", d.Address)
	}
	if d.File != "" {
		fmt.Fprintf(&b, "\n  on %s line %d", d.File, d.Line)
		if d.Snippet != "" {
			fmt.Fprintf(&b, ": %s", strings.TrimSpace(d.Snippet))
		}
	}
	for _, part := range []string{d.Detail, d.Next} {
		if part != "" {
			b.WriteString("\n  " + strings.ReplaceAll(part, "\n", "\n  "))
		}
	}
	return level, b.String()
}
