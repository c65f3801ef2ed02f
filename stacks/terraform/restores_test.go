package terraform

import (
	"slices"
	"testing"

	"meridian/stacks"
)

func TestRestores(t *testing.T) {
	t.Parallel()
	change := func(action stacks.Action, list ...stacks.AttributeChange) stacks.Change {
		return stacks.Change{Address: "a", Action: action, Attributes: list}
	}
	attribute := func(path, before, after string) stacks.AttributeChange {
		return stacks.AttributeChange{Path: path, Before: before, After: after}
	}
	fell := []stacks.Change{change(stacks.ActionUpdate, attribute("status", `"running"`, `"stopped"`), attribute("port", "1", "2"))}
	for name, c := range map[string]struct {
		now   stacks.Change
		drift []stacks.Change
		want  []string
	}{
		"it goes back":               {change(stacks.ActionUpdate, attribute("status", `"stopped"`, `"running"`)), fell, []string{"status"}},
		"beside what was asked for":  {change(stacks.ActionUpdate, attribute("status", `"stopped"`, `"running"`), attribute("size", "1", "2")), fell, []string{"status"}},
		"it goes elsewhere":          {change(stacks.ActionUpdate, attribute("port", "2", "3")), fell, nil},
		"nothing became of it":       {change(stacks.ActionUpdate, attribute("status", `"stopped"`, `"running"`)), nil, nil},
		"it is to be removed":        {change(stacks.ActionDelete, attribute("status", `"stopped"`, `"running"`)), fell, nil},
		"its value is not shown":     {change(stacks.ActionUpdate, stacks.AttributeChange{Path: "status", Sensitive: true}), fell, nil},
		"another object's attribute": {change(stacks.ActionUpdate, attribute("status", `"stopped"`, `"running"`)), []stacks.Change{{Address: "b", Action: stacks.ActionUpdate, Attributes: fell[0].Attributes}}, nil},
	} {
		if got := restores(c.now, c.drift); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
