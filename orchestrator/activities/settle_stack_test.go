package activities

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

func TestRecover(t *testing.T) {
	create := terraform.InFlight{Address: "a", Type: "t", Action: stacks.ActionCreate}
	tainted := create
	tainted.InState, tainted.Tainted = true, true
	half := tainted
	half.Tainted = false // a provisioner was cut short
	beside := create
	beside.InState, beside.Beside = true, true
	update := create
	update.Action, update.InState = stacks.ActionUpdate, true
	found := func(s providers.FoundState, healthy bool) providers.Located {
		l := providers.Located{State: s, Healthy: healthy, Evidence: "seen"}
		if s == providers.FoundPresent {
			l.ImportID = "/a"
		}
		return l
	}
	adopt, absent := &catalog.Answer{Kind: catalog.AnswerAdopt, ID: "/b"}, &catalog.Answer{Kind: catalog.AnswerAbsent}
	for name, c := range map[string]struct {
		object  terraform.InFlight
		found   providers.Located
		said    *catalog.Answer
		id      string
		untaint bool
		asks    string
	}{
		"absent":                             {object: create, found: found(providers.FoundAbsent, false)},
		"present":                            {object: create, found: found(providers.FoundPresent, true), id: "/a"},
		"present, not healthy":               {object: create, found: found(providers.FoundPresent, false), id: "/a"},
		"foreign":                            {object: create, found: found(providers.FoundForeign, false), asks: "not ours is in its place: seen"},
		"unknown":                            {object: create, found: found(providers.FoundUnknown, false), asks: "cannot be proven whether that exists: seen"},
		"unknown, said to be there":          {object: create, found: found(providers.FoundUnknown, false), said: adopt, id: "/b"},
		"unknown, said not to be there":      {object: create, found: found(providers.FoundUnknown, false), said: absent},
		"foreign, said not to be there":      {object: create, found: found(providers.FoundForeign, false), said: absent},
		"what can be proven is":              {object: create, found: found(providers.FoundPresent, true), said: absent, id: "/a"},
		"tainted and healthy":                {object: tainted, found: found(providers.FoundPresent, true), untaint: true},
		"tainted and not healthy":            {object: tainted, found: found(providers.FoundPresent, false)},
		"tainted and gone":                   {object: tainted, found: found(providers.FoundAbsent, false)},
		"tainted, unknown":                   {object: tainted, found: found(providers.FoundUnknown, false), asks: "cannot be proven"},
		"tainted, said to be whole":          {object: tainted, found: found(providers.FoundUnknown, false), said: adopt, untaint: true},
		"tainted by a provisioner":           {object: half, found: found(providers.FoundPresent, true)},
		"beside the old one, absent":         {object: beside, found: found(providers.FoundAbsent, false)},
		"beside the old one, present":        {object: beside, found: found(providers.FoundPresent, true), asks: "beside the object that it replaces"},
		"beside the old one, unknown":        {object: beside, found: found(providers.FoundUnknown, false), asks: "remove it, then say that it is absent"},
		"beside the old one, adopted":        {object: beside, found: found(providers.FoundUnknown, false), said: adopt, asks: "cannot be taken over"},
		"beside the old one, said to be off": {object: beside, found: found(providers.FoundPresent, true), said: absent},
		"an update":                          {object: update, found: found(providers.FoundUnknown, false)},
	} {
		got := Recover(c.object, c.found, c.said)
		if got.ImportID != c.id || got.Untaint != c.untaint || (c.asks == "") != (got.Question == "") || !strings.Contains(got.Question, c.asks) || got.Evidence != "seen" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// interrupted plays an apply of a region that was cut while it made the objects.
func (h *house) interrupted(region string, addresses ...string) (step string) {
	h.t.Helper()
	ctx := h.t.Context()
	h.born(region)
	id := stackID(h.run, region)
	steps, err := h.Journal.Applies(ctx, id, 10)
	h.must(err)
	step = fmt.Sprintf("%s/%s/apply.%d", h.run.ID, region, len(steps)+1)
	_, err = h.Journal.PutStep(ctx, journal.Step{ID: step, Run: h.run.ID, Kind: journal.StepApply, Stack: stacks.Stack{ID: id}})
	h.must(err)
	var fence journal.Fence
	h.must(h.Journal.Store().Write(ctx, func(tx *store.Tx) (err error) {
		fence, err = h.Journal.TakeFence(ctx, tx, journal.TakeInput{Stack: id, Step: step, Attempt: step, Site: "here"})
		return err
	}))
	var events []journal.Event
	for i, a := range addresses {
		line, err := json.Marshal(map[string]any{
			"type": terraform.EventApplyStart, "@timestamp": time.Now(), "hook": map[string]any{"action": "create", "resource": map[string]any{"addr": a, "resource_type": "t"}},
		})
		h.must(err)
		events = append(events, journal.Event{Seq: int64(i + 1), At: time.Now(), Payload: line})
	}
	events = append(events, journal.Event{Seq: int64(len(addresses) + 1), At: time.Now(), Payload: []byte(`{"type":"apply_`)})
	h.must(h.Journal.Ship(ctx, id, fence, step, journal.Batch{Events: events}))
	h.must(h.Journal.Finish(ctx, id, fence, journal.Result{Step: step, Outcome: journal.OutcomeInterrupted, ExitCode: -1}, nil))
	return step
}

// planning brings a run of one region to its planning, and says whether the region has to be settled.
func (h *house) planning() StepResult {
	h.t.Helper()
	h.submit(orders("ankara"), stacks.RunApply)
	return h.step("", stacks.PhasePlanning, "ankara")
}

func (h *house) settle() (bool, error) {
	h.t.Helper()
	res, err := h.SettleStack(h.t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
	return res.Go, err
}

func (h *house) recovery() *catalog.Recovery { return h.row().Regions[0].Recovery }

// TestNothingToSettle: a stack that was never applied, or well, is planned without a look.
func TestNothingToSettle(t *testing.T) {
	h := newHouse(t)
	if res := h.planning(); res.Regions[0].Settle {
		t.Error("a stack that was never applied has to be settled")
	}
	h.cloud.locate = func(providers.LocateInput) providers.Located { t.Error("somebody looked"); return providers.Located{} }
	if ok, err := h.settle(); err != nil || !ok || h.recovery() != nil {
		t.Errorf("%v, %v, %+v", ok, err, h.recovery())
	}
}

// TestSettleStack looks after an apply of an earlier run until nothing works on its objects any more, once.
func TestSettleStack(t *testing.T) {
	h := newHouse(t)
	h.planning()
	step := h.interrupted("ankara", "a", "b")
	if res := h.step("", stacks.PhasePlanning, "ankara"); !res.Regions[0].Settle {
		t.Fatal("an interrupted stack is planned without a look")
	}
	if res, err := h.PlanStack(t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"}); err != nil || res.Go || h.row().Regions[0].PlanStep != "" {
		t.Fatalf("it was planned: %+v, %v", res, err)
	}
	state := providers.FoundSettling
	h.cloud.locate = func(in providers.LocateInput) providers.Located {
		if in.Region.Name != "ankara" || in.Type != "t" {
			t.Errorf("asked for %+v", in)
		}
		if in.Address == "a" {
			return providers.Located{State: providers.FoundAbsent, Evidence: "nothing"}
		}
		return providers.Located{State: state, ImportID: "/b", Evidence: "creating"}
	}
	_, err := h.settle()
	h.is(err, errPending)
	if r := h.row().Regions[0]; r.Recovery != nil || r.Message != "waits until b is settled: creating" {
		t.Errorf("row: %+v", r)
	}
	state = providers.FoundPresent
	if ok, err := h.settle(); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	want := stacks.Recovery{Anew: true, Import: []stacks.Import{{Address: "b", ID: "/b"}}}
	if r := h.recovery(); r.Step != step || !reflect.DeepEqual(r.Plan(), want) {
		t.Errorf("recovery %+v, want %+v", r, want)
	}
	h.cloud.locate = func(providers.LocateInput) providers.Located {
		t.Error("somebody looked again")
		return providers.Located{}
	}
	if ok, err := h.settle(); err != nil || !ok {
		t.Errorf("the second time: %v, %v", ok, err)
	}
	if res := h.step("", stacks.PhasePlanning, "ankara"); res.Regions[0].Settle {
		t.Error("a settled stack has to be settled")
	}
	h.cloud.locate = nil
	h.interrupted("ankara")
	if res := h.step("", stacks.PhasePlanning, "ankara"); !res.Regions[0].Settle {
		t.Error("a later interruption is not looked after")
	}
}

// TestWhatCannotBeProvenAsks: the run awaits an answer, and goes on with it.
func TestWhatCannotBeProvenAsks(t *testing.T) {
	h := newHouse(t)
	h.planning()
	h.interrupted("ankara", "a")
	h.cloud.locate = func(providers.LocateInput) providers.Located {
		return providers.Located{State: providers.FoundUnknown, Evidence: "no right to look"}
	}
	if ok, err := h.settle(); err != nil || ok {
		t.Fatalf("%v, %v", ok, err)
	}
	h.step(stacks.PhasePlanning, stacks.PhaseAwaiting)
	run := h.row()
	if run.Reason != catalog.ReasonQuestion || !strings.Contains(run.Message, "no right to look") {
		t.Fatalf("the run is %s (%s): %s", run.Phase, run.Reason, run.Message)
	}
	h.step("", stacks.PhaseAwaiting) // its yes is no answer
	_, err := h.Catalog.Answer(t.Context(), catalog.AnswerInput{Run: run.ID, Address: "a", Answer: catalog.Answer{Kind: catalog.AnswerAdopt, ID: "/x", Actor: "ada"}})
	h.must(err)
	if res := h.step("", stacks.PhasePlanning, "ankara"); !res.Regions[0].Settle {
		t.Fatal("an answer is planned without a look")
	}
	if ok, err := h.settle(); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if p := h.recovery().Plan(); len(p.Import) != 1 || p.Import[0].ID != "/x" {
		t.Errorf("recovery %+v", p)
	}
	h.interrupted("ankara") // before it began on anything, so before it took a over
	if ok, err := h.settle(); err != nil || !ok {
		t.Fatalf("asked again after an apply that did nothing: %v, %v, %+v", ok, err, h.recovery())
	}
	if p := h.recovery().Plan(); len(p.Import) != 1 || p.Import[0].ID != "/x" {
		t.Errorf("recovery %+v", p)
	}
	h.interrupted("ankara", "a")
	if ok, err := h.settle(); err != nil || ok || len(h.recovery().Questions()) != 1 {
		t.Errorf("not asked again after an apply that made it anew: %v, %v, %+v", ok, err, h.recovery())
	}
}

// TestACancelledRunIsNotSettled: it ends, and what is there is found by the next one.
func TestACancelledRunIsNotSettled(t *testing.T) {
	h := newHouse(t)
	h.planning()
	h.interrupted("ankara", "a")
	h.cancel()
	if ok, err := h.settle(); err != nil || ok || h.row().Regions[0].Phase != stacks.RegionCancelled {
		t.Errorf("%v, %v, %s", ok, err, h.row().Regions[0].Phase)
	}
}

func TestBalanceInWords(t *testing.T) {
	got := inWords(terraform.Balance{Finished: []string{"a", "b"}, Left: []string{"c"}})
	if got != "; finished: a, b; left: c" || inWords(terraform.Balance{}) != "" {
		t.Errorf("%q", got)
	}
}

// TestAnAttemptIsAdoptedWhateverTheClockSays: a region waits for an attempt whose runner has died. It is taken up also where the clock was set back
// since its last sign of life, and left alone while that is fresh.
func TestAnAttemptIsAdoptedWhateverTheClockSays(t *testing.T) {
	for name, c := range map[string]struct {
		jump  time.Duration
		adopt bool
	}{"a fresh beat": {0, false}, "a beat too old": {time.Minute, true}, "set ahead a day": {24 * time.Hour, true}, "set back a day": {-24 * time.Hour, true}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.planning()
			h.interrupted("ankara", "a")
			id := stackID(h.run, "ankara")
			step := h.run.ID + "/ankara/apply.2"
			_, err := h.Journal.PutStep(t.Context(), journal.Step{ID: step, Run: h.run.ID, Kind: journal.StepApply, Stack: stacks.Stack{ID: id}})
			h.must(err)
			h.must(h.Journal.Store().Write(t.Context(), func(tx *store.Tx) error {
				_, err := h.Journal.TakeFence(t.Context(), tx, journal.TakeInput{Stack: id, Step: step, Attempt: "dead", Site: "here"})
				return err
			}))
			beat := time.Now()
			h.Clock = terraform.Clock{Read: func() terraform.Reading { return terraform.Reading{Wall: beat.Add(c.jump)} }}
			h.Runner = "/no/such/runner"
			_, err = h.settle()
			if err == nil || strings.Contains(err.Error(), h.Runner) != c.adopt {
				t.Errorf("adopted: %v, want %t", err, c.adopt)
			}
		})
	}
}
