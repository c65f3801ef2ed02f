package terraform

import (
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/stacks"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// hook is an event of one address, so many seconds after the beginning.
func hook(typ, address string, action stacks.Action, second int) StreamEvent {
	return StreamEvent{Type: typ, Address: address, Resource: ResourceType(address), Action: action, Time: begin.Add(time.Duration(second) * time.Second)}
}

// died is what terraform says where a plugin is killed: it names no address.
func died() StreamEvent {
	return StreamEvent{Type: EventDiagnostic, Diagnostic: &stacks.Diagnostic{
		Severity: stacks.SeverityError, Summary: "Plugin did not respond",
		Detail: "The plugin encountered an error, and failed to respond to the plugin6.(*GRPCProvider).ApplyResourceChange call.",
	}}
}

func said(address, summary string) StreamEvent {
	return StreamEvent{Type: EventDiagnostic, Diagnostic: &stacks.Diagnostic{Severity: stacks.SeverityError, Summary: summary, Address: address}}
}

func whole(address string) StateResource {
	return StateResource{Address: address, Type: ResourceType(address), Mode: "managed"}
}

func tainted(address string) StateResource {
	r := whole(address)
	r.Tainted = true
	return r
}

func TestFindInFlight(t *testing.T) {
	const a, b = "db.a", "db.b"
	start := hook(EventApplyStart, a, stacks.ActionCreate, 1)
	complete := hook(EventApplyComplete, a, stacks.ActionCreate, 9)
	errored := hook(EventApplyErrored, a, stacks.ActionCreate, 5)
	update := hook(EventApplyStart, a, stacks.ActionUpdate, 1)
	remove := hook(EventApplyStart, a, stacks.ActionDelete, 1)
	made := []InFlight{{Address: a, Type: "db", Action: stacks.ActionCreate}}
	untaintable := []InFlight{{Address: a, Type: "db", Action: stacks.ActionCreate, InState: true, Tainted: true}}
	one := func(events ...StreamEvent) []ApplyAttempt { return []ApplyAttempt{{Events: events}} }
	beside := func(events ...StreamEvent) []ApplyAttempt {
		return []ApplyAttempt{{Events: events, Replaces: []string{a}}}
	}
	stopped := func(second int, events ...StreamEvent) []ApplyAttempt {
		return []ApplyAttempt{{Events: events, StoppedAt: begin.Add(time.Duration(second) * time.Second)}}
	}
	tests := map[string]struct {
		attempts []ApplyAttempt
		state    []StateResource
		want     []InFlight
	}{
		"nothing happened":                                       {nil, nil, nil},
		"a create that was cut":                                  {one(start), nil, made},
		"a create that ended":                                    {one(start, complete), []StateResource{whole(a)}, nil},
		"a create that no state has":                             {one(start, complete), nil, made},
		"a create that ended tainted":                            {one(start, complete), []StateResource{tainted(a)}, nil},
		"a create that failed by itself":                         {one(start, errored, said(a, "no such size")), []StateResource{tainted(a)}, nil},
		"a create that failed, nobody says why":                  {one(start, errored), nil, made},
		"one that is tainted and failed so":                      {one(start, errored), []StateResource{tainted(a)}, []InFlight{{Address: a, Type: "db", Action: stacks.ActionCreate, InState: true}}},
		"what failed and names no address":                       {one(start, errored, said("", "no credentials")), nil, nil},
		"a create that the state has whole":                      {one(start), []StateResource{whole(a)}, nil},
		"a create that is tainted":                               {one(start), []StateResource{tainted(a)}, untaintable},
		"a create with a provisioner":                            {one(start, hook(EventProvisionStart, a, "", 2)), []StateResource{tainted(a)}, []InFlight{{Address: a, Type: "db", Action: stacks.ActionCreate, InState: true}}},
		"a create that we stopped":                               {stopped(4, start, errored), []StateResource{tainted(a)}, untaintable},
		"a create that failed before":                            {stopped(6, start, errored, said(a, "no such size")), []StateResource{tainted(a)}, nil},
		"a create that we stopped before the clock was set back": {stopped(4, start, hook(EventApplyErrored, a, stacks.ActionCreate, -9), said(a, "no such size")), []StateResource{tainted(a)}, untaintable},
		"a create whose plugin died":                             {one(start, errored, died()), nil, made},
		"a create that failed before it":                         {one(start, errored, said(a, "no such size"), died()), nil, nil},
		"two, by address": {one(hook(EventApplyStart, b, stacks.ActionCreate, 1), start), nil,
			[]InFlight{{Address: a, Type: "db", Action: stacks.ActionCreate}, {Address: b, Type: "db", Action: stacks.ActionCreate}}},
		"an update that was cut":                          {one(update), []StateResource{whole(a)}, []InFlight{{Address: a, Type: "db", Action: stacks.ActionUpdate, InState: true}}},
		"an update that is gone":                          {one(update), nil, nil},
		"a delete that was cut":                           {one(remove), []StateResource{whole(a)}, []InFlight{{Address: a, Type: "db", Action: stacks.ActionDelete, InState: true}}},
		"a delete that is done":                           {one(remove), nil, nil},
		"the second half of a replacement":                {one(remove, hook(EventApplyComplete, a, stacks.ActionDelete, 2), start), nil, made},
		"a replacement made beside the old one":           {beside(start), []StateResource{whole(a)}, []InFlight{{Address: a, Type: "db", Action: stacks.ActionCreate, InState: true, Beside: true}}},
		"one that is there, the old one deposed":          {beside(start), []StateResource{whole(a), {Address: a, Type: "db", Mode: "managed", Deposed: "1234"}}, nil},
		"one that was made beside it":                     {beside(start, complete), []StateResource{whole(a)}, nil},
		"one that was made after the old one was deleted": {beside(remove, hook(EventApplyComplete, a, stacks.ActionDelete, 2), start), []StateResource{whole(a)}, nil},
		"beside one that is deposed":                      {one(start), []StateResource{{Address: a, Type: "db", Mode: "managed", Deposed: "1234"}}, []InFlight{{Address: a, Type: "db", Action: stacks.ActionCreate, Beside: true}}},
		"a later attempt ended it":                        {append(one(start), one(start, complete)...), []StateResource{whole(a)}, nil},
		"a later attempt found it there":                  {append(one(start), one(start, errored, said(a, "DBInstanceAlreadyExists"))...), nil, made},
		"the first attempt found it there":                {one(start, errored, said(a, "DBInstanceAlreadyExists")), nil, made},
		"a later attempt failed otherwise":                {append(one(start), one(start, errored, said(a, "no such size"))...), nil, nil},
		"a later attempt cut it again":                    {append(one(start, complete), one(update)...), []StateResource{whole(a)}, []InFlight{{Address: a, Type: "db", Action: stacks.ActionUpdate, InState: true}}},
		"a read":                                          {one(hook(EventApplyStart, "data.db.a", stacks.ActionRead, 1)), nil, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := FindInFlight(tc.attempts, StateFile{Resources: tc.state}); !slices.Equal(got, tc.want) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestBalanceOf(t *testing.T) {
	planned := []stacks.Change{
		{Address: "db.a", Type: "db", Action: stacks.ActionCreate}, {Address: "db.b", Type: "db", Action: stacks.ActionUpdate},
		{Address: "db.c", Type: "db", Action: stacks.ActionDelete}, {Address: "db.d", Type: "db", Action: stacks.ActionCreate}, {Address: "output.x", Action: stacks.ActionCreate},
	}
	got := BalanceOf(planned, ApplyAttempt{StoppedAt: begin.Add(3 * time.Second), Events: []StreamEvent{
		hook(EventApplyStart, "db.a", stacks.ActionCreate, 1), hook(EventApplyStart, "db.b", stacks.ActionUpdate, 1),
		hook(EventApplyComplete, "db.a", stacks.ActionCreate, 2), hook(EventApplyStart, "db.d", stacks.ActionCreate, 2),
		hook(EventApplyErrored, "db.b", stacks.ActionUpdate, 2), hook(EventApplyErrored, "db.d", stacks.ActionCreate, 4),
		said("db.b", "no such size"),
	}})
	for name, pair := range map[string][2][]string{
		"finished": {got.Finished, {"db.a"}}, "in flight": {got.InFlight, {"db.d"}}, "left": {got.Left, {"db.b", "db.c"}},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestPluginDied(t *testing.T) {
	death, other := *died().Diagnostic, stacks.Diagnostic{Severity: stacks.SeverityError, Summary: "no such size"}
	warning := stacks.Diagnostic{Severity: stacks.SeverityWarning, Summary: "deprecated"}
	for name, tc := range map[string]struct {
		said []stacks.Diagnostic
		want bool
	}{
		"nothing": {nil, false}, "a warning": {[]stacks.Diagnostic{warning}, false}, "a death": {[]stacks.Diagnostic{warning, death}, true},
		"an error of its own too":  {[]stacks.Diagnostic{death, other}, false},
		"before it was configured": {[]stacks.Diagnostic{death, {Severity: stacks.SeverityError, Summary: "Invalid provider configuration"}}, true},
	} {
		if got := PluginDied(tc.said); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestRaiseSerial(t *testing.T) {
	text := `{"version":4,"x":{"serial":7,"list":[{"serial":8}]},"serial":  41 ,"lineage":"l","outputs":{},"resources":[]}`
	got, err := RaiseSerial([]byte(text))
	if want := strings.Replace(text, "41", "42", 1); err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	empty := EmptyState(stacks.StackID{Namespace: "n", Name: "d", Incarnation: "i", Region: "r"})
	raised, err := RaiseSerial(empty)
	if err != nil || string(raised) != strings.Replace(string(empty), `"serial": 1`, `"serial": 2`, 1) {
		t.Errorf("%s, %v", raised, err)
	}
	for name, bad := range map[string]string{"cut": text[:40], "no state": `{}`, "no serial": `{"version":4,"lineage":"l"}`} {
		if _, err := RaiseSerial([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
