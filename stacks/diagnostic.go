package stacks

// Severity ranks a diagnostic.
type Severity string

// The severities. Only errors refuse a spec or fail a step.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Diagnostic tells a person what is wrong, where, and what to do next; as an object, for every surface.
// From a spec, File, Line and Column (from 1) point at the text; from terraform, Address names the resource and File and Line its configuration.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail,omitempty"`
	// Next says what to do about it, in one sentence ("did you mean \"replica\"?").
	Next    string `json:"next,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Length  int    `json:"length,omitempty"`
	Snippet string `json:"snippet,omitempty"`
	// Field is the path in the spec, like "spec.regions[1].role".
	Field   string `json:"field,omitempty"`
	Address string `json:"address,omitempty"`
	// Rule is the machine's name of the rule that was broken, like "region.moved"; stable.
	Rule string `json:"rule,omitempty"`
}
