package terraform

import (
	"strings"
	"testing"

	"meridian/stacks"
)

const someState = `{
  "version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "0a38ba66",
  "outputs": {
    "port": {"value": 5432, "type": "number"},
    "list": {"value": [1, "x"], "type": ["tuple", ["number", "string"]]},
    "password": {"value": "hunter2", "type": "string", "sensitive": true}
  },
  "resources": [
    {"mode": "managed", "type": "t", "name": "b", "instances": [
      {"index_key": "k/1\"", "attributes": {}}, {"index_key": 3, "status": "tainted"}]},
    {"module": "module.m[\"x\"]", "mode": "managed", "type": "t", "name": "a", "instances": [
      {"deposed": "12ab", "attributes": {}}, {"attributes": {}}]},
    {"mode": "data", "type": "d", "name": "z", "instances": [{"attributes": {}}]}
  ],
  "check_results": null
}
`

func TestReadState(t *testing.T) {
	s, err := ReadState([]byte(someState))
	if err != nil {
		t.Fatal(err)
	}
	if s.Serial != 7 || s.Lineage != "0a38ba66" || s.TerraformVersion != "1.11.4" || s.Version != 4 {
		t.Errorf("head of the state is %+v", s)
	}
	if s.Outputs["port"] != 5432.0 || len(s.Outputs) != 2 || strings.Join(s.SensitiveOutputs, " ") != "password" {
		t.Errorf("outputs are %v, sensitive %v", s.Outputs, s.SensitiveOutputs)
	}
	want := []StateResource{
		{Address: "data.d.z", Type: "d", Mode: "data"},
		{Address: `module.m["x"].t.a`, Type: "t", Mode: "managed"},
		{Address: `module.m["x"].t.a`, Type: "t", Mode: "managed", Deposed: "12ab"},
		{Address: `t.b["k/1\""]`, Type: "t", Mode: "managed"},
		{Address: "t.b[3]", Type: "t", Mode: "managed", Tainted: true},
	}
	if indented(t, s.Resources) != indented(t, want) {
		t.Errorf("resources are %s", indented(t, s.Resources))
	}
}

func TestReadStateRefuses(t *testing.T) {
	cases := map[string]string{
		"empty":            "",
		"half":             someState[:len(someState)/2],
		"two":              someState + someState,
		"rest of a longer": someState + `}`,
		"other version":    strings.Replace(someState, `"version": 4`, `"version": 3`, 1),
		"no serial":        strings.Replace(someState, `"serial": 7,`, ``, 1),
		"negative":         strings.Replace(someState, `"serial": 7,`, `"serial": -7,`, 1),
		"no lineage":       strings.Replace(someState, `"0a38ba66"`, `""`, 1),
		"odd index":        strings.Replace(someState, `"index_key": 3`, `"index_key": [3]`, 1),
		"no object":        `[]`,
		"zeroes":           strings.Repeat("\x00", 100),
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if s, err := ReadState([]byte(text)); err == nil {
				t.Errorf("read as %+v", s)
			}
			if ValidSnapshot([]byte(text)) {
				t.Error("taken for a snapshot")
			}
		})
	}
	// A state that is cut anywhere, as an in-place rewrite leaves it, is never taken for a whole one.
	whole := strings.TrimSpace(someState)
	for n := range whole {
		if ValidSnapshot([]byte(whole[:n])) {
			t.Fatalf("cut after %d bytes: taken for a snapshot", n)
		}
	}
	if !ValidSnapshot([]byte(someState)) {
		t.Error("a whole state is refused")
	}
}

func TestEmptyState(t *testing.T) {
	a := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "a1", Region: "ankara"}
	b := a
	b.Incarnation = "a2"
	one, err := ReadState(EmptyState(a))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadState(EmptyState(a))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ReadState(EmptyState(b))
	if err != nil {
		t.Fatal(err)
	}
	if one.Serial != 1 || len(one.Resources) != 0 || one.Lineage != again.Lineage || one.Lineage == other.Lineage {
		t.Errorf("empty states: %+v, %+v, %+v", one, again, other)
	}
	if len(one.Lineage) != 36 || one.Lineage[14] != '5' {
		t.Errorf("lineage %q is no version 5 UUID", one.Lineage)
	}
}

func FuzzReadState(f *testing.F) {
	f.Add([]byte(someState))
	f.Add(EmptyState(stacks.StackID{Namespace: "n", Name: "d", Incarnation: "i", Region: "r"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadState(data)
		if err == nil && (s.Lineage == "" || s.Serial < 0 || s.Version != stateVersion) {
			t.Errorf("taken: %+v", s)
		}
	})
}
