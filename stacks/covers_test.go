package stacks

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const server = "module.database.localdb_postgres.this"

func attribute(path, before, after string) AttributeChange {
	return AttributeChange{Path: path, Before: before, After: after}
}

func computed(path, before string) AttributeChange {
	return AttributeChange{Path: path, Before: before, Unknown: true}
}

// made is a creation as a plan shows it.
func made() Change {
	return Change{Address: server, Type: "localdb_postgres", Action: ActionCreate, DataBearing: true, Attributes: []AttributeChange{
		attribute("data_dir", "", `"/data/a"`), attribute("engine_version", "", `"15"`), attribute("settings.wal_level", "", `"logical"`),
		attribute("names", "", `["a","b"]`), {Path: "secret", Sensitive: true}, computed("version", ""),
	}}
}

func as(c Change, f func(*Change)) Change {
	c.Attributes = slices.Clone(c.Attributes)
	f(&c)
	return c
}

func update(list ...AttributeChange) func(*Change) {
	return func(c *Change) { c.Action, c.Attributes = ActionUpdate, list }
}

func TestCovers(t *testing.T) {
	create := made()
	removal := as(create, func(c *Change) {
		c.Action = ActionDelete
		c.Attributes = []AttributeChange{attribute("data_dir", `"/data/a"`, ""), attribute("system_identifier", `"7"`, ""), attribute("status", `"running"`, "")}
	})
	resized := as(create, update(attribute("settings.wal_level", `"replica"`, `"logical"`), attribute("port", "5432", "5433"), computed("version", `"15.1"`)))
	upgraded := as(create, update(attribute("engine_version", `"15"`, `"16"`)))
	replaced := as(create, func(c *Change) {
		c.Action, c.Reason = ActionReplace, "replace_because_cannot_update"
		c.Attributes = []AttributeChange{{Path: "data_dir", Before: `"/data/a"`, After: `"/data/b"`, Forces: true}, computed("version", `"15.1"`)}
		c.Keeps = []AttributeChange{attribute("engine_version", `"15"`, `"15"`), attribute("owner", `"o"`, `"o"`), {Path: "secret", Sensitive: true}}
	})
	remade := as(create, func(c *Change) {
		c.Attributes = []AttributeChange{
			attribute("data_dir", "", `"/data/b"`), attribute("engine_version", "", `"15"`), attribute("owner", "", `"o"`), {Path: "secret", Sensitive: true}, computed("version", ""),
		}
	})
	deposed := as(removal, func(c *Change) {
		c.Address += " (deposed 12ab)"
		c.Attributes = []AttributeChange{attribute("data_dir", `"/data/a"`, ""), attribute("owner", `"o"`, ""), attribute("status", `"running"`, "")}
	})
	output := Change{Address: "output.host", Action: ActionCreate, Attributes: []AttributeChange{computed("value", "")}}
	second := as(create, func(c *Change) { c.Address = "localdb_postgres.second" })
	tests := map[string]struct {
		approved, now []Change
		want          bool
	}{
		"nothing is left":           {[]Change{create}, nil, true},
		"nothing was approved":      {nil, []Change{create}, false},
		"the same":                  {[]Change{create, output}, []Change{create, output}, true},
		"a part":                    {[]Change{create, second}, []Change{second}, true},
		"another address":           {[]Change{create}, []Change{create, second}, false},
		"another type":              {[]Change{create}, []Change{as(create, func(c *Change) { c.Type = "x" })}, false},
		"a read":                    {nil, []Change{{Address: "data.x.y", Action: ActionRead}}, true},
		"create with another value": {[]Change{create}, []Change{as(create, func(c *Change) { c.Attributes[0].After = `"/data/b"` })}, false},
		"create with more":          {[]Change{create}, []Change{as(create, func(c *Change) { c.Attributes = append(c.Attributes, attribute("public", "", "true")) })}, false},
		"create with less":          {[]Change{create}, []Change{as(create, func(c *Change) { c.Attributes = c.Attributes[1:] })}, false},
		"create, what was computed is known": {[]Change{create},
			[]Change{as(create, func(c *Change) { c.Attributes[5] = attribute("version", "", `"15.18"`) })}, true},
		"create, a value is unknown now": {[]Change{create},
			[]Change{as(create, func(c *Change) { c.Attributes[0] = computed("data_dir", "") })}, false},
		"create, a value is hidden now": {[]Change{create},
			[]Change{as(create, func(c *Change) { c.Attributes[0] = AttributeChange{Path: "data_dir", Sensitive: true} })}, false},
		"import":                 {[]Change{create}, []Change{{Address: server, Type: "localdb_postgres", Action: ActionNoop, Importing: true}}, true},
		"import of another":      {[]Change{create}, []Change{{Address: "x.y", Type: "localdb_postgres", Action: ActionNoop, Importing: true}}, false},
		"import under an update": {[]Change{resized}, []Change{{Address: server, Type: "localdb_postgres", Action: ActionNoop, Importing: true}}, false},
		"import and update to what was approved": {[]Change{create}, []Change{as(create, func(c *Change) {
			c.Action, c.Importing = ActionUpdate, true
			c.Attributes = []AttributeChange{attribute("settings.wal_level", `"replica"`, `"logical"`), {Path: "secret", Sensitive: true}, computed("version", `"15.1"`)}
		})}, true},
		"update to another value":         {[]Change{create}, []Change{as(create, update(attribute("settings.wal_level", `"logical"`, `"replica"`)))}, false},
		"update of a list":                {[]Change{create}, []Change{as(create, update(attribute("names", `["a"]`, `["a","b"]`)))}, true},
		"update of an element":            {[]Change{create}, []Change{as(create, update(attribute("names[1]", `"c"`, `"b"`)))}, true},
		"update that cuts a list":         {[]Change{create}, []Change{as(create, update(attribute("names", `["a","b"]`, `["a"]`)))}, false},
		"update that adds":                {[]Change{create}, []Change{as(create, update(attribute("public", "", "true")))}, false},
		"update that removes the foreign": {[]Change{create}, []Change{as(create, update(attribute("public", "true", "null")))}, true},
		"update that removes the wanted":  {[]Change{create}, []Change{as(create, update(attribute("data_dir", `"/data/a"`, "")))}, false},
		"update that removes the hidden":  {[]Change{create}, []Change{as(create, update(attribute("secret", `"x"`, "")))}, false},
		"import that upgrades":            {[]Change{create}, []Change{as(create, update(attribute("engine_version", `"14"`, `"15"`)))}, false},
		"import that unprotects": {[]Change{as(create, func(c *Change) { c.Attributes = append(c.Attributes, attribute("deletion_protection", "", "false")) })},
			[]Change{as(create, update(attribute("deletion_protection", "true", "false")))}, false},
		"an approved upgrade":                    {[]Change{upgraded}, []Change{upgraded}, true},
		"an upgrade from another version":        {[]Change{upgraded}, []Change{as(upgraded, func(c *Change) { c.Attributes[0].Before = `"14"` })}, false},
		"the rest of an update":                  {[]Change{resized}, []Change{as(resized, func(c *Change) { c.Attributes = c.Attributes[1:] })}, true},
		"an update from another value":           {[]Change{resized}, []Change{as(resized, func(c *Change) { c.Attributes[1].Before = "1" })}, false},
		"an update to another value":             {[]Change{resized}, []Change{as(resized, func(c *Change) { c.Attributes[1].After = "1" })}, false},
		"create where update was":                {[]Change{resized}, []Change{create}, false},
		"delete where create was":                {[]Change{create}, []Change{removal}, false},
		"the same delete":                        {[]Change{removal, second}, []Change{removal}, true},
		"a delete of what has stopped":           {[]Change{removal}, []Change{as(removal, func(c *Change) { c.Attributes[2].Before = `"stopped"` })}, true},
		"a delete of another object":             {[]Change{removal}, []Change{as(removal, func(c *Change) { c.Attributes[1].Before = `"8"` })}, false},
		"a delete that hides its ID":             {[]Change{removal}, []Change{as(removal, func(c *Change) { c.Attributes = c.Attributes[:1] })}, false},
		"a delete that shows another ID":         {[]Change{as(removal, func(c *Change) { c.Attributes = c.Attributes[:1] })}, []Change{removal}, false},
		"replace where create was":               {[]Change{create}, []Change{replaced}, false},
		"replace where delete was":               {[]Change{removal}, []Change{replaced}, false},
		"the same replacement":                   {[]Change{replaced}, []Change{replaced}, true},
		"a replacement for another cause":        {[]Change{replaced}, []Change{as(replaced, func(c *Change) { c.Reason = "replace_because_tainted" })}, false},
		"a replacement that keeps another value": {[]Change{replaced}, []Change{as(replaced, func(c *Change) { c.Keeps = c.Keeps[1:] })}, false},
		"the second half of a replacement":       {[]Change{replaced}, []Change{remade}, true},
		"the second half, of another value":      {[]Change{replaced}, []Change{as(remade, func(c *Change) { c.Attributes[0].After = `"/data/c"` })}, false},
		"the second half, without what was kept": {[]Change{replaced}, []Change{as(remade, func(c *Change) { c.Attributes = slices.Delete(c.Attributes, 2, 3) })}, false},
		"the second half, what was kept differs": {[]Change{replaced}, []Change{as(remade, func(c *Change) { c.Attributes[1].After = `"16"` })}, false},
		"the second half, with more":             {[]Change{replaced}, []Change{as(remade, func(c *Change) { c.Attributes = append(c.Attributes, attribute("public", "", "true")) })}, false},
		"the second half, made already": {[]Change{replaced},
			[]Change{as(remade, func(c *Change) { c.Action, c.Importing, c.Attributes = ActionNoop, true, nil })}, true},
		"the second half, made already, and finished": {[]Change{replaced}, []Change{as(remade, func(c *Change) {
			c.Action, c.Importing, c.Attributes = ActionUpdate, true, []AttributeChange{{Path: "secret", Sensitive: true}}
		})}, true},
		"an update where replacement was":           {[]Change{replaced}, []Change{as(remade, update(attribute("data_dir", `"/data/a"`, `"/data/b"`)))}, false},
		"the first half that comes last":            {[]Change{replaced}, []Change{deposed}, true},
		"both halves, of which the first came last": {[]Change{replaced}, []Change{remade, deposed}, true},
		"the delete of the new object":              {[]Change{replaced}, []Change{as(deposed, func(c *Change) { c.Attributes[0].Before = `"/data/b"` })}, false},
		"the delete of another's object":            {[]Change{replaced}, []Change{as(deposed, func(c *Change) { c.Attributes[1].Before = `"p"` })}, false},
		"a deposed object of which nothing is told": {[]Change{replaced}, []Change{as(deposed, func(c *Change) { c.Attributes = c.Attributes[2:] })}, false},
		"a deposed object that only kept is told":   {[]Change{replaced}, []Change{as(deposed, func(c *Change) { c.Attributes = c.Attributes[1:] })}, false},
		"a deposed object that is to be forgotten":  {[]Change{replaced}, []Change{as(deposed, func(c *Change) { c.Action = ActionForget })}, false},
		"a deposed object of an update":             {[]Change{resized}, []Change{deposed}, false},
		"forget where delete was":                   {[]Change{removal}, []Change{as(removal, func(c *Change) { c.Action = ActionForget })}, false},
		"a deposed object":                          {[]Change{replaced}, []Change{as(removal, func(c *Change) { c.Address += " (deposed 12ab)" })}, false},
		"an output that is known now":               {[]Change{output}, []Change{as(output, func(c *Change) { c.Attributes = []AttributeChange{attribute("value", "", `"h"`)} })}, true},
		"another output":                            {[]Change{create}, []Change{output}, false},
		"an output that goes":                       {[]Change{output}, []Change{as(output, func(c *Change) { c.Action = ActionDelete })}, false},
		"a move":                                    {[]Change{create}, []Change{{Address: server, Type: "localdb_postgres", PreviousAddress: "x.y", Action: ActionNoop}}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ok, why := Covers(tc.approved, tc.now)
			if ok != tc.want || ok != (why == "") {
				t.Errorf("%v, %q; want %v", ok, why, tc.want)
			}
		})
	}
}

// The world of the property test: a few objects, each with a few attributes of a few values, so that drift often meets what was approved.
var (
	someAddress = rapid.SampledFrom([]string{"a.x", "a.y", "b.x"})
	someAction  = rapid.SampledFrom([]Action{ActionNoop, ActionCreate, ActionRead, ActionUpdate, ActionDelete, ActionReplace, ActionForget})
	somePath    = rapid.SampledFrom([]string{"id", "size", "list", "engine_version", "deletion_protection"})
	someValue   = rapid.SampledFrom([]string{"", "1", "2", `["1"]`, `["1","2"]`})
)

func someChange(t *rapid.T) Change {
	c := Change{Address: someAddress.Draw(t, "address"), Action: someAction.Draw(t, "action"), Importing: rapid.Bool().Draw(t, "importing")}
	c.Type = c.Address[:1]
	for _, path := range rapid.SliceOfNDistinct(somePath, 0, 4, rapid.ID).Draw(t, "paths") {
		if x := someAttribute(t, path); c.Action != ActionReplace || x.Unknown || rapid.Bool().Draw(t, "changes") {
			c.Attributes = append(c.Attributes, x)
		} else {
			x.After = x.Before
			c.Keeps = append(c.Keeps, x)
		}
	}
	return c
}

// halfOf is what is left of a replacement that was cut short: the making of the new object or the delete of the old one, perhaps of others.
func halfOf(t *rapid.T, a Change) Change {
	n := Change{Address: a.Address, Type: a.Type, Action: ActionCreate, Importing: rapid.Bool().Draw(t, "found")}
	if rapid.Bool().Draw(t, "old") {
		n.Address, n.Action, n.Importing = a.Address+" (deposed 1)", ActionDelete, false
	}
	for _, c := range slices.Concat(a.Attributes, a.Keeps) {
		c.Forces = false
		if n.Action == ActionDelete {
			c.After, c.Unknown = "", false
		} else {
			c.Before = ""
		}
		if rapid.IntRange(0, 5).Draw(t, "other") == 0 {
			c = someAttribute(t, c.Path)
		}
		if rapid.IntRange(0, 5).Draw(t, "gone") > 0 {
			n.Attributes = append(n.Attributes, c)
		}
	}
	return n
}

func someAttribute(t *rapid.T, path string) AttributeChange {
	a := AttributeChange{Path: path}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		a.Sensitive = true
	case 1:
		a.Before, a.Unknown = someValue.Draw(t, "before"), true
	default:
		a.Before, a.After = someValue.Draw(t, "before"), someValue.Draw(t, "after")
	}
	return a
}

func someChanges(t *rapid.T, name string) []Change {
	var out []Change
	for range rapid.IntRange(0, 3).Draw(t, name) {
		c := someChange(t)
		if !slices.ContainsFunc(out, func(o Change) bool { return o.Address == c.Address }) {
			out = append(out, c)
		}
	}
	return out
}

// drift changes what was planned as the world may: parts are done, values and actions are others, things come up.
func drift(t *rapid.T, approved []Change) []Change {
	var out []Change
	for _, a := range approved {
		n := a
		n.Attributes = slices.Clone(a.Attributes)
		switch rapid.IntRange(0, 7).Draw(t, "drift") {
		case 0:
			continue
		case 1:
			n.Action = someAction.Draw(t, "action")
		case 2:
			if len(n.Attributes) > 0 {
				i := rapid.IntRange(0, len(n.Attributes)-1).Draw(t, "which")
				n.Attributes[i] = someAttribute(t, n.Attributes[i].Path)
			}
		case 3:
			n.Attributes = append(n.Attributes, someAttribute(t, "new"+strconv.Itoa(len(n.Attributes))))
		case 4:
			n.Importing = !n.Importing
		case 5:
			n = someChange(t)
		case 6:
			n = halfOf(t, a)
		}
		out = append(out, n)
	}
	if rapid.IntRange(0, 3).Draw(t, "more") == 0 {
		out = append(out, someChange(t))
	}
	return out
}

// TestNothingElseIsCovered: whatever the world did meanwhile, a yes covers nothing that was not approved. The rules are said here anew, as
// what must never be, and not as the code says them.
func TestNothingElseIsCovered(t *testing.T) {
	covered := 0
	rapid.Check(t, func(t *rapid.T) {
		approved := someChanges(t, "approved")
		covered += nothingElse(t, approved, drift(t, approved))
	})
	if covered == 0 {
		t.Error("the test saw nothing that is covered")
	}
}

// TestNothingElseOfAReplacement is the same of a replacement of which a half is left.
func TestNothingElseOfAReplacement(t *testing.T) {
	covered := map[Action]int{}
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			a := someChange(t)
			a.Action = ActionReplace
			n := halfOf(t, a)
			covered[n.Action] += nothingElse(t, []Change{a}, []Change{n})
		}
	})
	if covered[ActionCreate] == 0 || covered[ActionDelete] == 0 {
		t.Errorf("the test saw too little that is covered: %v", covered)
	}
}

// nothingElse wants what is covered to have been approved, and returns 1 where it is covered.
func nothingElse(t *rapid.T, approved, now []Change) int {
	ok, why := Covers(approved, now)
	if ok != (why == "") {
		t.Fatalf("%v, %q", ok, why)
	}
	if !ok {
		return 0
	}
	for _, n := range now {
		if n.Action == ActionRead {
			continue
		}
		address, _, old := strings.Cut(n.Address, " (deposed ")
		i := slices.IndexFunc(approved, func(a Change) bool { return a.Address == address })
		switch {
		case i < 0:
			t.Fatalf("%+v was not shown", n)
		case old:
			neverAnother(t, approved[i], n)
		default:
			neverBeyond(t, approved[i], n)
		}
	}
	return 1
}

// neverAnother: only the old object of a replacement goes, and it is told from the new one.
func neverAnother(t *rapid.T, a, n Change) {
	if a.Action != ActionReplace || n.Action != ActionDelete || a.Type != n.Type {
		t.Fatalf("%s of a deposed object under a yes to %s", n.Action, a.Action)
	}
	i := slices.IndexFunc(n.Attributes, func(x AttributeChange) bool { return x.Path == "id" })
	k := slices.IndexFunc(a.Attributes, func(x AttributeChange) bool { return x.Path == "id" })
	if i < 0 || k < 0 || n.Attributes[i].Before == "" || n.Attributes[i].Before != a.Attributes[k].Before || n.Attributes[i].Before == a.Attributes[k].After {
		t.Fatalf("delete of %+v under %+v", n, a)
	}
}

func neverBeyond(t *rapid.T, a, n Change) {
	switch n.Action {
	case ActionDelete, ActionReplace, ActionForget:
		if a.Action != n.Action {
			t.Fatalf("%s under a yes to %s", n.Action, a.Action)
		}
	case ActionUpdate:
		if a.Action != ActionUpdate && a.Action != ActionCreate && (a.Action != ActionReplace || !n.Importing) {
			t.Fatalf("update under a yes to %s", a.Action)
		}
	case ActionCreate:
		if a.Action != ActionCreate && a.Action != ActionReplace {
			t.Fatalf("create under a yes to %s", a.Action)
		}
	}
	known := a.Attributes
	if n.Action == ActionCreate || n.Action == ActionUpdate {
		known = slices.Concat(a.Attributes, a.Keeps)
	}
	for _, c := range n.Attributes {
		i := slices.IndexFunc(known, func(x AttributeChange) bool { return x.Path == c.Path })
		var shown AttributeChange
		if i >= 0 {
			shown = known[i]
		}
		exact := i >= 0 && shown == c
		switch n.Action {
		case ActionDelete:
			if c.Path == "id" && (shown.Before != c.Before || i < 0) {
				t.Fatalf("delete of %+v, shown was %+v", c, shown)
			}
		case ActionReplace, ActionForget:
			if !exact {
				t.Fatalf("%s with %+v, shown was %+v", n.Action, c, shown)
			}
		case ActionUpdate:
			if (c.Path == "engine_version" || c.Path == "deletion_protection") && !exact && (!shown.Unknown || !c.Unknown) {
				t.Fatalf("update of %+v, shown was %+v", c, shown)
			}
			if !exact && !shown.Unknown && c.After != shown.After && c.After != "" {
				t.Fatalf("update to %+v, shown was %+v", c, shown)
			}
		case ActionCreate:
			if !exact && !shown.Unknown && c.After != shown.After {
				t.Fatalf("create with %+v, shown was %+v", c, shown)
			}
		}
		if c.Unknown && !shown.Unknown && (n.Action == ActionUpdate || n.Action == ActionCreate) {
			t.Fatalf("%+v is not known, shown was %+v", c, shown)
		}
	}
}

// TestCoversWhatAnInterruptionDid: an update that was cut short in a restart left the server stopped.
func TestCoversWhatAnInterruptionDid(t *testing.T) {
	t.Parallel()
	approved := as(made(), update(attribute("settings.max_connections", "50", "51")))
	stopped := attribute("status", `"stopped"`, `"running"`)
	left := func(restores ...string) Change {
		c := as(approved, func(c *Change) { c.Attributes = append(c.Attributes, stopped) })
		c.Restores = restores
		return c
	}
	upgraded := as(approved, update(attribute("engine_version", `"15"`, `"16"`)))
	upgraded.Restores = []string{"engine_version"}
	for name, c := range map[string]struct {
		approved, now Change
		halfway       []string
		want          bool
	}{
		"it is started again":              {approved, left("status"), []string{server}, true},
		"only that is left":                {approved, as(left("status"), update(stopped)), []string{server}, true},
		"nothing was cut short":            {approved, left("status"), nil, false},
		"another object was cut short":     {approved, left("status"), []string{"localdb_postgres.second"}, false},
		"the state says otherwise":         {approved, left(), []string{server}, false},
		"something else goes back":         {approved, left("settings.max_connections"), []string{server}, false},
		"an engine's version is no matter": {approved, upgraded, []string{server}, false},
		"not of an approved removal":       {as(approved, func(c *Change) { c.Action = ActionDelete }), left("status"), []string{server}, false},
	} {
		if got, why := Covers([]Change{c.approved}, []Change{c.now}, c.halfway...); got != c.want {
			t.Errorf("%s: %v (%s)", name, got, why)
		}
	}
}
