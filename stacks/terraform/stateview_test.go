package terraform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"meridian/stacks"
)

// viewState is a state with one server, and what more a test puts in.
func viewState(name, status, attributes, sensitive, more string) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":3,"lineage":"l",
		"outputs":{"host":{"value":"127.1.2.3","type":"string"},"token":{"value":"topsecret-topsecret","type":"string","sensitive":true}},
		"resources":[{"module":"module.database","mode":"managed","type":"localdb_postgres","name":%q,"provider":"p","instances":[
		{"schema_version":0,"status":%q,"attributes":%s,"sensitive_attributes":%s}]}%s]}`, name, status, attributes, sensitive, more)
}

const viewAttributes = `{"id":"a","port":5432,"password":"hunter2-hunter2","url":"pg://x:hunter2-hunter2@h","tags":{"a b":"c"}}`

const viewSensitive = `[[{"type":"get_attr","value":"password"}]]`

func TestShowStateMasksWhatIsSensitive(t *testing.T) {
	objects, err := ShowState(viewState("this", "tainted", viewAttributes, viewSensitive, ""))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "topsecret"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is shown: %s", secret, text)
		}
	}
	if len(objects) != 3 || objects[0].Address != "module.database.localdb_postgres.this" || !objects[0].Tainted || objects[1].Address != "output.host" {
		t.Fatalf("objects %s", text)
	}
	got := map[string]stacks.AttributeChange{}
	for _, a := range objects[0].Attributes {
		got[a.Path] = a
	}
	if got["port"].After != "5432" || !got["password"].Sensitive || !got["url"].Sensitive || got["tags[\"a b\"]"].After+got["tags"].After == "" {
		t.Errorf("attributes %+v", objects[0].Attributes)
	}
}

func TestDiffStates(t *testing.T) {
	base := viewState("this", "", viewAttributes, viewSensitive, "")
	for name, c := range map[string]struct {
		after []byte
		want  []string
	}{
		"the same":  {base, nil},
		"a value":   {viewState("this", "", strings.Replace(viewAttributes, "5432", "5433", 1), viewSensitive, ""), []string{"update module.database.localdb_postgres.this port 5432 -> 5433"}},
		"a secret":  {viewState("this", "", strings.Replace(viewAttributes, `"hunter2-hunter2"`, `"other-other-other"`, 1), viewSensitive, ""), []string{"update module.database.localdb_postgres.this password  -> "}},
		"a taint":   {viewState("this", "tainted", viewAttributes, viewSensitive, ""), []string{`update module.database.localdb_postgres.this ["(status)"]  -> "tainted"`}},
		"a move":    {viewState("other", "", viewAttributes, viewSensitive, ""), []string{"no-op module.database.localdb_postgres.other (was module.database.localdb_postgres.this)"}},
		"forgotten": {[]byte(`{"version":4,"serial":4,"lineage":"l","outputs":{"host":{"value":"127.1.2.3","type":"string"}},"resources":[]}`), []string{"delete module.database.localdb_postgres.this LOSES", "delete output.token"}},
	} {
		changes, err := DiffStates(base, c.after, []string{"localdb_postgres"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, ch := range changes {
			line := string(ch.Action) + " " + ch.Address
			if ch.PreviousAddress != "" {
				line += " (was " + ch.PreviousAddress + ")"
			}
			if ch.Dangerous() {
				line += " LOSES"
			}
			if ch.Action == stacks.ActionUpdate {
				for _, a := range ch.Attributes {
					line += fmt.Sprintf(" %s %s -> %s", a.Path, a.Before, a.After)
				}
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

func TestOutputsOnly(t *testing.T) {
	text, err := OutputsOnly(viewState("this", "", viewAttributes, viewSensitive, ""))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadState(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Resources) != 0 || s.Outputs["host"] != "127.1.2.3" || s.Serial != 3 || s.Lineage != "l" || strings.Contains(string(text), "secret") {
		t.Fatalf("%s", text)
	}
}
