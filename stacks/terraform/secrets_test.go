package terraform

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestSecretsAreHidden hides what a provider or a program tells, and leaves what terraform says of its own.
func TestSecretsAreHidden(t *testing.T) {
	const password, odd = "pw-0123456789", `with "quotes" <and> \more`
	key := "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEAx1\nshort\n-----END KEY-----\n"
	var s Secrets
	s.Add(password, odd, key, "postgres", "on", "")
	event := func(fields map[string]any) string {
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, c := range map[string]struct{ line, want string }{
		"a word of every message": {line: "the user postgres is on", want: "the user postgres is on"},
		"text":                    {line: "panic: login with " + password, want: "panic: login with (sensitive value)"},
		"quoted in a text":        {line: `panic: "with \"quotes\" <and> \\more"`, want: `panic: "(sensitive value)"`},
		"a line of a key":         {line: "key: MIIEpAIBAAKCAQEAx1, short", want: "key: (sensitive value), short"},
		"nothing":                 {},
		"a diagnostic": {
			line: event(map[string]any{"type": "diagnostic", "@message": "Error: " + password, "diagnostic": map[string]any{
				"severity": "error", "summary": "no " + odd, "detail": key, "address": "x." + password, "snippet": map[string]any{"code": "a = " + password, "values": []any{map[string]any{"statement": "is " + password}}}}}),
			want: event(map[string]any{"type": "diagnostic", "@message": "Error: (sensitive value)", "diagnostic": map[string]any{
				"severity": "error", "summary": "no (sensitive value)", "detail": "(sensitive value)", "address": "x." + password, "snippet": map[string]any{"code": "a = (sensitive value)", "values": []any{map[string]any{"statement": "is (sensitive value)"}}}}}),
		},
		"a program's output": {
			line: event(map[string]any{"type": "provision_progress", "@message": "x: " + password, "hook": map[string]any{"output": password}}),
			want: event(map[string]any{"type": "provision_progress", "@message": "x: (sensitive value)", "hook": map[string]any{"output": "(sensitive value)"}}),
		},
		"the ID of an object": {
			line: event(map[string]any{"type": "apply_complete", "@message": "made", "hook": map[string]any{"id_value": password}}),
			want: event(map[string]any{"type": "apply_complete", "@message": "made", "hook": map[string]any{"id_value": password}}),
		},
		"a number": {
			line: `{"type":"log","n":1.50,"@message":"` + password + `"}`, want: `{"type":"log","n":1.50,"@message":"(sensitive value)"}`,
		},
	} {
		got := string(s.Hide([]byte(c.line)))
		var a, b any
		if json.Unmarshal([]byte(got), &a) == nil && json.Unmarshal([]byte(c.want), &b) == nil {
			if event(map[string]any{"e": a}) != event(map[string]any{"e": b}) {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		} else if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSecretsOfAState takes up what is marked in a state, whatever it stands in, and nothing else.
func TestSecretsOfAState(t *testing.T) {
	var s Secrets
	err := s.AddState([]byte(`{"version":4,"terraform_version":"1.11.4","serial":3,"lineage":"l","outputs":{
		"open":{"value":"an open value 1","type":"string"},
		"login":{"value":{"user":"somebody-1","passwords":["first-secret-1"]},"type":["object",{"user":"string","passwords":["list","string"]}],"sensitive":true}},
		"resources":[{"mode":"managed","type":"t","name":"n","provider":"provider[\"terraform.io/builtin/terraform\"]","instances":[{"schema_version":0,
		"attributes":{"name":"a plain name 1","password":"second-\"secret\"-1"},"sensitive_attributes":[[{"type":"get_attr","value":"password"}]]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := string(s.Hide([]byte(`an open value 1, somebody-1, first-secret-1, a plain name 1, second-"secret"-1`)))
	if want := "an open value 1, (sensitive value), (sensitive value), a plain name 1, (sensitive value)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := s.AddState([]byte("{")); err == nil {
		t.Error("half a state is read")
	}
	if err := s.AddPlan([]byte("no plan")); err == nil || !strings.Contains(err.Error(), "plan") {
		t.Errorf("what is no plan is read: %v", err)
	}
}
