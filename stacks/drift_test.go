package stacks

import (
	"slices"
	"testing"
	"time"
)

const (
	pg      = "module.database.localdb_postgres.this"
	pgKey   = "ankara: " + pg
	applied = `"8MB"`
	hands   = `"64MB"`
	newer   = `"16MB"`
)

func movedTo(address string, attributes ...AttributeChange) Change {
	return Change{Address: address, Action: ActionUpdate, Attributes: attributes}
}

func valueOf(path, before, after string) AttributeChange {
	return AttributeChange{Path: path, Before: before, After: after}
}

// said is an item as these tests write it: kind, key, what was wanted and what was found.
func said(items []DriftItem) []string {
	out := []string{}
	for _, i := range items {
		s := string(i.Kind) + " " + i.Key() + " " + i.Want + " " + i.Found
		if i.Sensitive {
			s += " sensitive"
		}
		if i.Replaces {
			s += " replaces"
		}
		if i.Grown {
			s += " grown"
		}
		out = append(out, s)
	}
	return out
}

var growths = []Growth{{Type: "aws_db_instance", Path: "allocated_storage", Most: 100}}

// grownTo is an instance whose storage moved, and what else of it did.
func grownTo(before, after string, more ...AttributeChange) Change {
	c := movedTo("aws_db_instance.this", append([]AttributeChange{valueOf("allocated_storage", before, after)}, more...)...)
	c.Type = "aws_db_instance"
	return c
}

// TestShrinks tells what a plan would lower that can only grow.
func TestShrinks(t *testing.T) {
	made := grownTo("100", "20")
	made.Action = ActionReplace
	for name, c := range map[string]struct {
		change Change
		want   int
	}{
		"it shrinks":              {grownTo("100", "20"), 1},
		"it shrinks by a part":    {grownTo("100.5", "100"), 1},
		"it grows":                {grownTo("20", "100"), 0},
		"it is made anew":         {made, 0},
		"another resource":        {movedTo("x.y", valueOf("allocated_storage", "100", "20")), 0},
		"nobody knows to what":    {grownTo("100", ""), 0},
		"it is told after apply":  {Change{Address: "a.b", Type: "aws_db_instance", Action: ActionUpdate, Attributes: []AttributeChange{{Path: "allocated_storage", Before: "9", Unknown: true}}}, 0},
		"another of its numbers":  {Change{Address: "a.b", Type: "aws_db_instance", Action: ActionUpdate, Attributes: []AttributeChange{valueOf("iops", "9", "3")}}, 0},
		"it shrinks beside other": {grownTo("100", "20", valueOf("iops", "9", "3")), 1},
	} {
		if got := Shrinks(growths, []Change{c.change}); len(got) != c.want {
			t.Errorf("%s: %+v, want %d", name, got, c.want)
		}
	}
}

func TestFindDrift(t *testing.T) {
	back := movedTo(pg, valueOf("settings.work_mem", hands, applied))
	tests := map[string]struct {
		in               DriftInput
		drift, unapplied []string
	}{
		"nothing moved": {in: DriftInput{Settled: true}},
		"the world moved": {
			in:    DriftInput{Settled: true, Plan: []Change{back}},
			drift: []string{"changed " + pgKey + ".settings.work_mem " + applied + " " + hands},
		},
		"the spec moved": {
			in:        DriftInput{Settled: true, HasNext: true, Next: []Change{movedTo(pg, valueOf("settings.work_mem", applied, newer))}},
			unapplied: []string{"changed " + pgKey + ".settings.work_mem " + newer + " " + applied},
		},
		"both moved, another attribute each": {
			in: DriftInput{Settled: true, Plan: []Change{back}, HasNext: true,
				Next: []Change{movedTo(pg, valueOf("settings.work_mem", hands, applied), valueOf("settings.max_connections", `"50"`, `"60"`))}},
			drift:     []string{"changed " + pgKey + ".settings.work_mem " + applied + " " + hands},
			unapplied: []string{"changed " + pgKey + `.settings.max_connections "60" "50"`},
		},
		"both moved the same attribute": {
			in:        DriftInput{Settled: true, Plan: []Change{back}, HasNext: true, Next: []Change{movedTo(pg, valueOf("settings.work_mem", hands, newer))}},
			drift:     []string{"changed " + pgKey + ".settings.work_mem " + applied + " " + hands},
			unapplied: []string{"changed " + pgKey + ".settings.work_mem " + newer + " " + applied},
		},
		"the world moved to where the spec goes": {
			in:    DriftInput{Settled: true, Plan: []Change{back}, HasNext: true},
			drift: []string{"changed " + pgKey + ".settings.work_mem " + applied + " " + hands},
		},
		"gone": {
			in:    DriftInput{Settled: true, Plan: []Change{{Address: pg, Action: ActionCreate, DataBearing: true}}, Moved: []Change{{Address: pg, Action: ActionDelete}}},
			drift: []string{"gone " + pgKey + "  "},
		},
		"what follows from something else is no drift, nor are outputs and looks": {
			in: DriftInput{Settled: true, Plan: []Change{
				movedTo(pg, valueOf("port", "6000", "5432"), AttributeChange{Path: "endpoint", Before: `"x"`, Unknown: true}),
				movedTo("output.host", valueOf("value", `"a"`, `"b"`)), {Address: "data.aws_vpc.this", Action: ActionRead}, {Address: "x.y", Action: ActionNoop, PreviousAddress: "x.z"},
			}},
			drift: []string{"changed " + pgKey + ".port 5432 6000"},
		},
		"what echoes another attribute is told once": {
			in: DriftInput{Settled: true, Plan: []Change{
				movedTo(pg, valueOf("tags.team", `"nobody"`, "null"), AttributeChange{Path: "tags_all.team", Before: `"nobody"`, After: "null", Echo: true}),
			}},
			drift: []string{"changed " + pgKey + `.tags.team null "nobody"`},
		},
		"what the plan lets be though the configuration sets it": {
			in:    DriftInput{Settled: true, Moved: []Change{movedTo("aws_db_instance.this", valueOf("allocated_storage", "20", "100"))}},
			drift: []string{"changed ankara: aws_db_instance.this.allocated_storage 20 100"},
		},
		"what the cloud raised by itself is none": {
			in:    DriftInput{Settled: true, Growths: growths, Moved: []Change{grownTo("20", "100", valueOf("multi_az", "true", "false"))}},
			drift: []string{"changed ankara: aws_db_instance.this.multi_az true false"},
		},
		"nor is it alone": {in: DriftInput{Settled: true, Growths: growths, Plan: []Change{grownTo("100", "20")}, Moved: []Change{grownTo("20", "100")}}},
		"somebody raised it further": {
			in:    DriftInput{Settled: true, Growths: growths, Moved: []Change{grownTo("20", "101")}},
			drift: []string{"changed ankara: aws_db_instance.this.allocated_storage 20 101 grown"},
		},
		"it grows by itself no more": {
			in:    DriftInput{Settled: true, Growths: []Growth{{Type: "aws_db_instance", Path: "allocated_storage"}}, Plan: []Change{grownTo("30", "20")}},
			drift: []string{"changed ankara: aws_db_instance.this.allocated_storage 20 30 grown"},
		},
		"it is lower": {
			in:    DriftInput{Settled: true, Growths: growths, Moved: []Change{grownTo("20", "10")}},
			drift: []string{"changed ankara: aws_db_instance.this.allocated_storage 20 10"},
		},
		"another resource's of that name": {
			in:    DriftInput{Settled: true, Growths: growths, Moved: []Change{movedTo("x.y", valueOf("allocated_storage", "20", "100"))}},
			drift: []string{"changed ankara: x.y.allocated_storage 20 100"},
		},
		"the refresh and the plan say the same": {
			in:    DriftInput{Settled: true, Plan: []Change{back}, Moved: []Change{movedTo(pg, valueOf("settings.work_mem", applied, hands))}},
			drift: []string{"changed " + pgKey + ".settings.work_mem " + applied + " " + hands},
		},
		"after an apply that stopped, its rest is no drift": {
			in: DriftInput{Plan: []Change{movedTo(pg, valueOf("settings.work_mem", hands, applied), valueOf("port", "5432", "5433"))},
				Moved: []Change{movedTo(pg, valueOf("settings.work_mem", applied, hands))}},
			drift:     []string{"changed " + pgKey + ".settings.work_mem " + applied + " " + hands},
			unapplied: []string{"changed " + pgKey + ".port 5433 5432"},
		},
		"after an apply that stopped, what it had made is gone": {
			in:    DriftInput{Plan: []Change{{Address: pg, Action: ActionCreate}}, Moved: []Change{{Address: pg, Action: ActionDelete}}},
			drift: []string{"gone " + pgKey + "  "},
		},
		"sensitive values are not here": {
			in:    DriftInput{Settled: true, Plan: []Change{movedTo(pg, AttributeChange{Path: "password", Sensitive: true})}},
			drift: []string{"changed " + pgKey + ".password   sensitive"},
		},
		"only a replacement would put it back": {
			in: DriftInput{Settled: true, Plan: []Change{{Address: pg, Action: ActionReplace, Attributes: []AttributeChange{
				{Path: "status", Before: `"gone"`, After: `"running"`, Forces: true}, valueOf("version", `"15.1"`, `"15.2"`),
			}}}},
			drift: []string{`changed ` + pgKey + `.status "running" "gone" replaces`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.in.Region = "ankara"
			drift, unapplied := FindDrift(test.in)
			if got := said(drift); !slices.Equal(got, append([]string{}, test.drift...)) {
				t.Errorf("drift\n%q, want\n%q", got, test.drift)
			}
			if got := said(unapplied); !slices.Equal(got, append([]string{}, test.unapplied...)) {
				t.Errorf("unapplied\n%q, want\n%q", got, test.unapplied)
			}
		})
	}
}

func TestMatchDrift(t *testing.T) {
	for _, test := range []struct {
		pattern string
		want    bool
	}{
		{pgKey + ".settings.work_mem", true}, {pgKey + ".settings.*", true}, {"*: *.settings.work_mem", true}, {"*", true}, {"ankara: *", true}, {"*a*b*o*", true},
		{"istanbul: *", false}, {pgKey + ".settings", false}, {pgKey + ".settings.work_me?", false}, {"*.settings", false}, {"ankara: *work_mem*work_mem", false}, {"", false},
	} {
		if got := MatchDrift(test.pattern, pgKey+".settings.work_mem"); got != test.want {
			t.Errorf("%q matches: %t, want %t", test.pattern, got, test.want)
		}
	}
}

func TestJudgeDrift(t *testing.T) {
	items := []DriftItem{
		{Kind: DriftChanged, Region: "ankara", Subject: pg, Path: "settings.work_mem", Want: applied, Found: hands},
		{Kind: DriftChanged, Region: "ankara", Subject: pg, Path: "port", Want: "5432", Found: "6000"},
		{Kind: DriftLogin, Region: "ankara", Subject: "user shop", Sensitive: true},
	}
	tests := map[string]struct {
		ignore []string
		rules  []DriftRule
		left   int
	}{
		"nobody said a thing":              {left: 3},
		"the spec ignores":                 {ignore: []string{"*: user *"}, left: 2},
		"a person ignores":                 {rules: []DriftRule{{Pattern: pgKey + ".port", By: "ada"}}, left: 2},
		"exactly this value is accepted":   {rules: []DriftRule{{Pattern: pgKey + ".port", By: "ada", Accept: true, Kind: DriftChanged, Found: "6000"}}, left: 2},
		"another value was accepted":       {rules: []DriftRule{{Pattern: pgKey + ".port", By: "ada", Accept: true, Kind: DriftChanged, Found: "7000"}}, left: 3},
		"an acceptance is no pattern":      {rules: []DriftRule{{Pattern: "*", By: "ada", Accept: true, Kind: DriftChanged, Found: "6000"}}, left: 3},
		"what is sensitive has no value":   {rules: []DriftRule{{Pattern: "ankara: user shop", By: "ada", Accept: true, Kind: DriftLogin}}, left: 3},
		"all of it":                        {ignore: []string{"*"}, left: 0},
		"the same, ignored once and again": {ignore: []string{"*: *.port"}, rules: []DriftRule{{Pattern: pgKey + ".port", By: "ada"}}, left: 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, left := JudgeDrift(items, test.ignore, test.rules)
			if left != test.left {
				t.Errorf("%d are left, want %d: %+v", left, test.left, out)
			}
			if items[0].Ignored != "" {
				t.Error("it changed what it was given")
			}
		})
	}
}

// TestDriftPrint wants the same print for the same drift, whatever the order and the words for it, and another one for any other.
func TestDriftPrint(t *testing.T) {
	a := DriftItem{Kind: DriftChanged, Region: "ankara", Subject: pg, Path: "port", Found: "6000"}
	lag := DriftItem{Kind: DriftLag, Region: "istanbul", Subject: "link ankara-istanbul", Message: "7 s behind"}
	later := lag
	later.Message = "9 s behind"
	moved, ignored := a, lag
	moved.Found, ignored.Ignored = "7000", "ada"
	same := DriftPrint([]DriftItem{a, lag})
	for name, test := range map[string]struct {
		items []DriftItem
		same  bool
	}{
		"another order":      {[]DriftItem{lag, a}, true},
		"another lag":        {[]DriftItem{a, later}, true},
		"another value":      {[]DriftItem{moved, lag}, false},
		"one of them":        {[]DriftItem{a}, false},
		"one of them is not": {[]DriftItem{a, ignored}, false},
		"nothing":            {nil, false},
	} {
		if got := DriftPrint(test.items) == same; got != test.same {
			t.Errorf("%s: the same is %t, want %t", name, got, test.same)
		}
	}
	if DriftPrint(nil) != "" {
		t.Error("nothing has a print")
	}
}

func TestDriftSchedule(t *testing.T) {
	for name, test := range map[string]struct {
		drift  Drift
		server time.Duration
		want   time.Duration
	}{
		"the server's":              {Drift{}, time.Hour, time.Hour},
		"the spec's":                {Drift{Every: Duration(time.Minute)}, time.Hour, time.Minute},
		"the server checks nothing": {Drift{}, 0, 0},
		"the spec does":             {Drift{Every: Duration(time.Minute)}, 0, time.Minute},
		"none":                      {Drift{Every: Duration(time.Minute), Action: DriftNone}, time.Hour, 0},
	} {
		if got := test.drift.Schedule(test.server); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
