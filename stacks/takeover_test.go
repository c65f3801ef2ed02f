package stacks_test

import (
	"strings"
	"testing"

	"meridian/stacks"
)

// TestTakeoverRefuses holds what a takeover may change.
func TestTakeoverRefuses(t *testing.T) {
	at := func(path, before, after string) stacks.AttributeChange {
		return stacks.AttributeChange{Path: path, Before: before, After: after}
	}
	change := func(action stacks.Action, attributes ...stacks.AttributeChange) stacks.Change {
		return stacks.Change{Address: "db.a", Type: "db", Action: action, Importing: true, Attributes: attributes}
	}
	strict := stacks.Takeover{Objects: []stacks.Import{{Address: "db.a", ID: "a"}}, May: []string{"tags", "skip_final_snapshot"}, Never: []string{"password_wo_version"}}
	free := strict
	free.Change = true
	for name, c := range map[string]struct {
		t    stacks.Takeover
		c    stacks.Change
		says string
	}{
		"nothing":                        {strict, change(stacks.ActionNoop), ""},
		"what only Terraform knows":      {strict, change(stacks.ActionUpdate, at("skip_final_snapshot", "", "false"), at(`tags["meridian:owner"]`, "", `"x"`), at("tags.team", "", `"x"`)), ""},
		"an output":                      {strict, stacks.Change{Address: "output.host", Action: stacks.ActionCreate}, ""},
		"another size":                   {strict, change(stacks.ActionUpdate, at("class", `"small"`, `"large"`), at("tags.a", "", "1")), `it would change class ("small" becomes "large") of db.a`},
		"a name that only begins so":     {strict, change(stacks.ActionUpdate, at("tags_all", "1", "2")), "it would change tags_all (1 becomes 2)"},
		"another size, asked for":        {free, change(stacks.ActionUpdate, at("class", `"small"`, `"large"`)), ""},
		"a password":                     {strict, change(stacks.ActionUpdate, at("password_wo_version", "", "1")), "it would set the password"},
		"a password, all else asked for": {free, change(stacks.ActionUpdate, at("class", `"s"`, `"l"`), at("password_wo_version", "", "1")), "it would set the password"},
		"a sensitive value":              {strict, change(stacks.ActionUpdate, stacks.AttributeChange{Path: "secret", Sensitive: true}), "secret (**** becomes ****)"},
		"an unknown value":               {strict, change(stacks.ActionUpdate, stacks.AttributeChange{Path: "group", Before: `"a"`, Unknown: true}), "known after the apply"},
		"a create":                       {strict, change(stacks.ActionCreate), "it would make db.a"},
		"a create, asked for":            {free, change(stacks.ActionCreate), ""},
		"a delete, all else asked for":   {free, change(stacks.ActionDelete), "it would delete"},
		"a replacement":                  {free, change(stacks.ActionReplace), "it would replace"},
		"a forgetting":                   {free, change(stacks.ActionForget), "it would forget"},
	} {
		t.Run(name, func(t *testing.T) {
			why, next := c.t.Refuses(c.c)
			if (why == "") != (c.says == "") || !strings.Contains(why, c.says) || (why == "") != (next == "") {
				t.Errorf("%q, %q; want %q", why, next, c.says)
			}
		})
	}
	if !strict.Takes(change(stacks.ActionNoop)) || strict.Takes(stacks.Change{Address: "db.a"}) || strict.Takes(stacks.Change{Address: "db.b", Importing: true}) {
		t.Error("which change is the takeover")
	}
}
