package terraform

import (
	"archive/zip"
	"bytes"
	"slices"
	"testing"

	"meridian/stacks"
)

// configuredPlan is a plan file with nothing but the configuration of one module.
func configuredPlan(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("tfconfig/m-database/main.tf")
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const objectAddress = "module.database.aws_db_instance.this"

// TestMarkEchoes tells an attribute that only repeats another from one that has a word of its own.
func TestMarkEchoes(t *testing.T) {
	plan := configuredPlan(t, `resource "aws_db_instance" "this" {
		tags = { a = "b" }
		multi_az = true
	}`)
	change := func(path, before, after string) stacks.AttributeChange {
		return stacks.AttributeChange{Path: path, Before: before, After: after}
	}
	unknown, hidden := change("tags_all.team", "", ""), change("tags_all.team", "", "")
	unknown.Unknown, hidden.Sensitive = true, true
	for name, c := range map[string]struct {
		attributes []stacks.AttributeChange
		echoes     []string
	}{
		"a tag":                         {[]stacks.AttributeChange{change("tags.team", `"x"`, "null"), change("tags_all.team", `"x"`, "null")}, []string{"tags_all.team"}},
		"all tags":                      {[]stacks.AttributeChange{change("tags", `{"team":"x"}`, "null"), change("tags_all", `{"team":"x"}`, "null")}, []string{"tags_all"}},
		"the echo comes first":          {[]stacks.AttributeChange{change("all.team", `"x"`, "null"), change("tags.team", `"x"`, "null")}, []string{"all.team"}},
		"neither is set":                {[]stacks.AttributeChange{change("labels.team", `"x"`, "null"), change("labels_all.team", `"x"`, "null")}, []string{"labels_all.team"}},
		"another tag":                   {[]stacks.AttributeChange{change("tags.team", `"x"`, "null"), change("tags_all.crew", `"x"`, "null")}, nil},
		"another value":                 {[]stacks.AttributeChange{change("tags.team", `"x"`, "null"), change("tags_all.team", `"y"`, "null")}, nil},
		"alone":                         {[]stacks.AttributeChange{change("tags_all.team", `"x"`, "null")}, nil},
		"numbers and words by chance":   {[]stacks.AttributeChange{change("multi_az", "false", "true"), change("encrypted", "false", "true")}, nil},
		"both are set":                  {[]stacks.AttributeChange{change("tags.a", `"x"`, "null"), change("multi_az.a", `"x"`, "null")}, nil},
		"not known yet":                 {[]stacks.AttributeChange{change("tags.team", "", ""), unknown}, nil},
		"sensitive: nobody can compare": {[]stacks.AttributeChange{change("tags.team", "", ""), hidden}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			changes := []stacks.Change{{Address: objectAddress, Action: stacks.ActionUpdate, Attributes: c.attributes}}
			if err := MarkEchoes(plan, changes); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range changes[0].Attributes {
				if a.Echo {
					got = append(got, a.Path)
				}
			}
			if !slices.Equal(got, c.echoes) {
				t.Errorf("echoes %q, want %q", got, c.echoes)
			}
		})
	}
	if err := MarkEchoes([]byte("no plan"), []stacks.Change{{}}); err == nil {
		t.Error("a file that is no plan was read")
	}
}
