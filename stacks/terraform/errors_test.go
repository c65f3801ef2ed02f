package terraform

import (
	"errors"
	"testing"

	"meridian/stacks"
)

func TestClassify(t *testing.T) {
	failure := func(summary, detail string) []stacks.Diagnostic {
		return []stacks.Diagnostic{{Severity: stacks.SeverityError, Summary: summary, Detail: detail}}
	}
	cases := map[string]struct {
		diags     []stacks.Diagnostic
		retryable bool
		err       error
		advised   bool
	}{
		"nothing":          {},
		"a warning":        {diags: []stacks.Diagnostic{{Severity: stacks.SeverityWarning, Summary: "connection refused"}}},
		"refused":          {diags: failure("creating server", `Post "https://x": dial tcp 10.0.0.1:443: connect: connection refused`), retryable: true},
		"over two lines":   {diags: failure("creating server", "read tcp: connection\nreset by peer"), retryable: true},
		"throttled":        {diags: failure("creating RDS", "api error ThrottlingException: Rate exceeded"), retryable: true},
		"503":              {diags: failure("creating RDS", "https response error StatusCode: 503, RequestID: x"), retryable: true},
		"text file busy":   {diags: failure("Failed to instantiate provider", "fork/exec: text file busy"), retryable: true, advised: true},
		"state lock":       {diags: failure("Error acquiring the state lock", "resource temporarily unavailable"), retryable: true, err: ErrStateLock, advised: true},
		"stale":            {diags: failure("Saved plan is stale", "the state was changed"), err: ErrStale, advised: true},
		"lock file":        {diags: failure("Inconsistent dependency lock file", "required by this configuration but no version is selected"), err: ErrLockFile, advised: true},
		"state write":      {diags: failure("Failed to save state", "write terraform.tfstate: no space left on device"), err: ErrStateWrite, advised: true},
		"name taken":       {diags: failure("creating RDS DB Instance", "api error DBInstanceAlreadyExists: DB instance already exists"), err: ErrExists, advised: true},
		"bad value":        {diags: failure("creating RDS", "api error InvalidParameterValue: connection timed out is not a value")},
		"denied":           {diags: failure("creating RDS", "StatusCode: 503 AccessDenied"), advised: true},
		"unknown":          {diags: failure("something", "else")},
		"one of two lasts": {diags: append(failure("a", "connection refused"), failure("b", "something else")...)},
		"both pass by":     {diags: append(failure("a", "connection refused"), failure("b", "i/o timeout")...), retryable: true},
		"a warning beside": {diags: append(failure("a", "connection refused"),
			stacks.Diagnostic{Severity: stacks.SeverityWarning, Summary: "deprecated"}), retryable: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Classify(c.diags); got != c.retryable {
				t.Errorf("retryable %v, want %v", got, c.retryable)
			}
			if got := ErrorOf(c.diags); !errors.Is(got, c.err) {
				t.Errorf("typed %v, want %v", got, c.err)
			}
			if len(c.diags) > 0 {
				if d := Advise(c.diags[0]); (d.Next != "") != c.advised {
					t.Errorf("advice %q", d.Next)
				}
			}
		})
	}
	if d := Advise(stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "Saved plan is stale", Next: "mine"}); d.Next != "mine" {
		t.Errorf("advice overwritten: %q", d.Next)
	}
}
