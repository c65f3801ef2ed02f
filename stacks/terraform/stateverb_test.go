package terraform

import "testing"

func TestParseStateVerb(t *testing.T) {
	for name, c := range map[string]struct {
		args          []string
		writes, taken bool
	}{
		"list":               {[]string{"state", "list"}, false, true},
		"list some":          {[]string{"state", "list", "module.x"}, false, true},
		"show":               {[]string{"state", "show", "a.b"}, false, true},
		"mv":                 {[]string{"state", "mv", "a.b", "a.c"}, true, true},
		"rm":                 {[]string{"state", "rm", "a.b", "a.c"}, true, true},
		"import":             {[]string{"import", "a.b", "id"}, true, true},
		"nothing":            {nil, false, false},
		"apply":              {[]string{"apply"}, false, false},
		"state push":         {[]string{"state", "push", "x"}, false, false},
		"state pull":         {[]string{"state", "pull"}, false, false},
		"replace-provider":   {[]string{"state", "replace-provider", "a", "b"}, false, false},
		"another state":      {[]string{"state", "list", "-state=/etc/passwd"}, false, false},
		"an option as an ID": {[]string{"import", "a.b", "-var=x"}, false, false},
		"rm of nothing":      {[]string{"state", "rm"}, false, false},
		"half a mv":          {[]string{"state", "mv", "a.b"}, false, false},
		"an empty word":      {[]string{"state", "rm", ""}, false, false},
	} {
		writes, err := ParseStateVerb(c.args)
		if (err == nil) != c.taken || (c.taken && writes != c.writes) {
			t.Errorf("%s: writes %v, %v", name, writes, err)
		}
	}
}
