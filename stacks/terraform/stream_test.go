package terraform

import (
	"os"
	"strings"
	"testing"
	"time"

	"meridian/stacks"
)

func TestParseEvent(t *testing.T) {
	cases := map[string]struct {
		line  string
		want  StreamEvent
		fails bool
	}{
		"version": {
			line: `{"@level":"info","@message":"Terraform 1.11.4","@timestamp":"2026-11-21T10:42:13.108583Z","terraform":"1.11.4","type":"version","ui":"1.2"}`,
			want: StreamEvent{Type: EventVersion, Level: "info", Message: "Terraform 1.11.4", Terraform: "1.11.4", Time: moment("2026-11-21T10:42:13.108583Z")},
		},
		"version of tofu": {
			line: `{"@level":"info","@message":"OpenTofu 1.11.0","tofu":"1.11.0","type":"version","ui":"1.2"}`,
			want: StreamEvent{Type: EventVersion, Level: "info", Message: "OpenTofu 1.11.0", Terraform: "1.11.0"},
		},
		"planned change that moves": {
			line: `{"@level":"info","@message":"m","change":{"resource":{"addr":"a.b","resource_type":"a"},"previous_resource":{"addr":"a.old"},"action":"move"},"type":"planned_change"}`,
			want: StreamEvent{Type: EventPlannedChange, Level: "info", Message: "m", Address: "a.b", PreviousAddress: "a.old", Resource: "a", Action: stacks.ActionNoop},
		},
		"planned replacement": {
			line: `{"@level":"info","@message":"m","change":{"resource":{"addr":"a.b[\"k/1\"]","resource_type":"a"},"action":"replace","reason":"tainted"},"type":"planned_change"}`,
			want: StreamEvent{Type: EventPlannedChange, Level: "info", Message: "m", Address: `a.b["k/1"]`, Resource: "a", Action: stacks.ActionReplace, Reason: "tainted"},
		},
		"forgotten": {
			line: `{"change":{"resource":{"addr":"a.b"},"action":"remove"},"type":"planned_change"}`,
			want: StreamEvent{Type: EventPlannedChange, Address: "a.b", Action: stacks.ActionForget},
		},
		"apply complete": {
			line: `{"@level":"info","@message":"m","hook":{"resource":{"addr":"a.b","resource_type":"a"},"action":"create","id_key":"id","id_value":"i-1","elapsed_seconds":61},"type":"apply_complete"}` + "\n",
			want: StreamEvent{Type: EventApplyComplete, Level: "info", Message: "m", Address: "a.b", Resource: "a", Action: stacks.ActionCreate, IDKey: "id", IDValue: "i-1", Elapsed: 61 * time.Second},
		},
		"summary": {
			line: `{"changes":{"add":2,"change":1,"import":3,"remove":4,"operation":"apply"},"type":"change_summary"}`,
			want: StreamEvent{Type: EventChangeSummary, Summary: &ChangeSummary{Add: 2, Change: 1, Import: 3, Remove: 4, Operation: "apply"}},
		},
		"a type of the future": {line: `{"type":"ephemeral_op_start"}`, want: StreamEvent{Type: "ephemeral_op_start"}},
		"text":                 {line: "panic: boom\r\n", want: StreamEvent{Type: EventRaw, Level: "info", Message: "panic: boom", Raw: "panic: boom"}},
		"empty":                {line: "\n", want: StreamEvent{Type: EventRaw, Level: "info"}},
		"cut by a kill":        {line: `{"@level":"in`, want: StreamEvent{Type: EventRaw, Level: "info", Message: `{"@level":"in`, Raw: `{"@level":"in`}, fails: true},
		"no type":              {line: `{}`, want: StreamEvent{Type: EventRaw, Level: "info", Message: "{}", Raw: "{}"}, fails: true},
		"wrong types":          {line: `{"type":7}`, want: StreamEvent{Type: EventRaw, Level: "info", Message: `{"type":7}`, Raw: `{"type":7}`}, fails: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseEvent([]byte(c.line))
			if (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
			if indented(t, got) != indented(t, c.want) {
				t.Errorf("got %s, want %s", indented(t, got), indented(t, c.want))
			}
		})
	}
}

func TestParseEventLongLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	e, err := ParseEvent([]byte(`{"type":"log","@message":"` + long + `"}`))
	if err != nil || e.Message != long {
		t.Errorf("a long event: %d bytes, %v", len(e.Message), err)
	}
	e, err = ParseEvent([]byte(long))
	if err != nil || len(e.Raw) > maxRaw+3 {
		t.Errorf("a long raw line: %d bytes, %v", len(e.Raw), err)
	}
}

func moment(s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return at
}

func TestLogLine(t *testing.T) {
	cases := map[string]struct {
		event       StreamEvent
		level, text string
	}{
		"info":     {StreamEvent{Type: EventApplyStart, Level: "info", Message: "a: Creating..."}, "info", "a: Creating..."},
		"refresh":  {StreamEvent{Type: EventRefreshComplete, Level: "info", Message: "a: Refresh complete"}, "debug", "a: Refresh complete"},
		"trace":    {StreamEvent{Type: EventLog, Level: "trace", Message: "m"}, "debug", "m"},
		"error":    {StreamEvent{Type: EventApplyErrored, Level: "error", Message: "m"}, "error", "m"},
		"no level": {StreamEvent{Type: EventLog, Message: "m"}, "info", "m"},
		"warning": {StreamEvent{Type: EventDiagnostic, Level: "warn", Diagnostic: &stacks.Diagnostic{
			Severity: stacks.SeverityWarning, Summary: "old"}}, "warn", "old"},
		"diagnostic": {StreamEvent{Type: EventDiagnostic, Level: "error", Diagnostic: &stacks.Diagnostic{
			Severity: stacks.SeverityError, Summary: "it broke", Detail: "two\nlines", Address: "a.b", File: "main.tf", Line: 3, Snippet: "  x = 1", Next: "mend it"}},
			"error", "it broke\n  with a.b\n  on main.tf line 3: x = 1\n  two\n  lines\n  mend it"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if level, text := LogLine(c.event); level != c.level || text != c.text {
				t.Errorf("got %s %q, want %s %q", level, text, c.level, c.text)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	planned := func(address string, a stacks.Action) StreamEvent {
		return StreamEvent{Type: EventPlannedChange, Address: address, Action: a}
	}
	event := func(typ, address string, second int) StreamEvent {
		return StreamEvent{Type: typ, Address: address, Time: at(second)}
	}
	steps := []struct {
		event       StreamEvent
		resource    string
		done, total int
	}{
		{event(EventRefreshStart, "old", 0), "old", 0, 0},
		{event(EventRefreshComplete, "old", 0), "", 0, 0},
		{planned("a", stacks.ActionCreate), "", 0, 1},
		{planned("b", stacks.ActionReplace), "", 0, 2},
		{planned("c", stacks.ActionNoop), "", 0, 2},
		{planned("d", stacks.ActionForget), "", 0, 2},
		{event(EventApplyStart, "a", 1), "a", 0, 2},
		{event(EventApplyStart, "b", 2), "b", 0, 2},
		{event(EventApplyProgress, "a", 3), "b", 0, 2},
		{event(EventApplyComplete, "b", 4), "a", 0, 2},
		{event(EventApplyStart, "b", 5), "b", 0, 2},
		{event(EventApplyErrored, "b", 6), "a", 0, 2},
		{event(EventApplyComplete, "a", 7), "", 1, 2},
		{event(EventApplyStart, "b", 8), "b", 1, 2},
		{event(EventApplyComplete, "b", 9), "", 2, 2},
		{event(EventApplyComplete, "surprise", 9), "", 3, 3},
	}
	var p Progress
	for i, s := range steps {
		p.Observe(s.event)
		if p.Resource != s.resource || p.Done != s.done || p.Total != s.total {
			t.Errorf("after step %d (%s %s): %q %d of %d, want %q %d of %d", i, s.event.Type, s.event.Address, p.Resource, p.Done, p.Total, s.resource, s.done, s.total)
		}
		if started := !p.Started.IsZero(); started != (s.resource != "") {
			t.Errorf("after step %d: started %v", i, p.Started)
		}
	}
}

// TestProgressOfRealApply follows a real apply of a saved plan to its end.
func TestProgressOfRealApply(t *testing.T) {
	tf := newRealTerraform(t, nil)
	tf.write(t, "main.tf", `resource "terraform_data" "x" { count = 3 }`)
	tf.plan(t)
	var p Progress
	var last StreamEvent
	for line := range strings.Lines(string(tf.apply(t))) {
		e, err := ParseEvent([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == EventChangeSummary {
			last = e
		}
		p.Observe(e)
	}
	if p.Done != 3 || p.Total != 3 || p.Resource != "" || last.Summary == nil || last.Summary.Add != 3 {
		t.Errorf("at the end: %+v, summary %+v", p, last.Summary)
	}
	if _, err := os.Stat(tf.dir + "/" + StateFileName); err != nil {
		t.Error(err)
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"type":"diagnostic","diagnostic":{"severity":"error","summary":"s","range":{"filename":"f","start":{"line":1,"column":2},"end":{"line":1,"column":5}},"snippet":{"code":"c"}}}`))
	f.Add([]byte(`{"type":"apply_start","hook":{"elapsed_seconds":1e308}}`))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseEvent(line)
		if e.Type == "" {
			t.Error("an event without a type")
		}
		if err != nil && e.Type != EventRaw {
			t.Errorf("error %v with type %s", err, e.Type)
		}
		var p Progress
		p.Observe(e)
		LogLine(e)
	})
}
