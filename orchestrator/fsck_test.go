package orchestrator

import (
	"testing"

	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

func TestOrphans(t *testing.T) {
	id := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcdefgh", Region: "ankara"}
	object := providers.Object{ID: "/servers/x", Stack: id, Type: "localdb_postgres", ImportID: "/servers/x"}
	resource := func(typ, mode, dir string) terraform.StateObject {
		return terraform.StateObject{
			StateResource: terraform.StateResource{Address: "a", Type: typ, Mode: mode},
			Attributes:    []stacks.AttributeChange{{Path: "data_dir", After: `"` + dir + `"`}},
		}
	}
	for name, c := range map[string]struct {
		state *known
		want  int
	}{
		"no stack at all":          {nil, 1},
		"an empty state":           {&known{}, 1},
		"known":                    {&known{objects: []terraform.StateObject{resource("localdb_postgres", "managed", "/servers/x")}}, 0},
		"another directory":        {&known{objects: []terraform.StateObject{resource("localdb_postgres", "managed", "/servers/xy")}}, 1},
		"another type":             {&known{objects: []terraform.StateObject{resource("localdb_directory", "managed", "/servers/x")}}, 1},
		"only read":                {&known{objects: []terraform.StateObject{resource("localdb_postgres", "data", "/servers/x")}}, 1},
		"something works on it":    {&known{inTheWork: true}, 0},
		"its state cannot be read": {&known{unread: true, head: journal.Head{Stack: id}}, 0},
	} {
		states := map[stacks.StackID]known{}
		if c.state != nil {
			states[id] = *c.state
		}
		if got := orphans([]providers.Object{object}, states); len(got) != c.want {
			t.Errorf("%s: %d orphans, want %d", name, len(got), c.want)
		}
	}
}

func TestADigestNamesExactlyWhatIsLeft(t *testing.T) {
	one := []FsckFinding{{Check: CheckWorldKnown, Subject: "x", What: "y"}}
	two := append(one, FsckFinding{Check: CheckRunActive, Subject: "z", Repaired: "done"})
	if findingsDigest(one) != findingsDigest(two) {
		t.Error("what is repaired is not left")
	}
	other := []FsckFinding{{Check: CheckWorldKnown, Subject: "x y", What: ""}}
	if findingsDigest(one) == findingsDigest(other) || findingsDigest(one) == findingsDigest(nil) {
		t.Error("two lists of findings have one digest")
	}
}
