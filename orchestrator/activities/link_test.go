package activities

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

const theLink = "ankara-istanbul"

// linking brings a database with a link to the making of it.
func linking(t *testing.T) *house {
	h := newHouse(t)
	h.submit(linked(orders("ankara", "istanbul"), "istanbul"), stacks.RunApply)
	h.ready()
	return h
}

func (h *house) link() (phase, message string) {
	h.t.Helper()
	links, err := h.Catalog.Links(h.t.Context(), h.run.Incarnation)
	h.must(err)
	if len(links) == 0 {
		return "", ""
	}
	return links[0].Phase, links[0].Message
}

// place gives both regions an address, so that there is something to remove a link from.
func (h *house) place() {
	h.t.Helper()
	for _, region := range []string{"ankara", "istanbul"} {
		id := stackID(h.run, region)
		h.must(h.Catalog.EnsureSecret(h.t.Context(), id.Incarnation, "region/"+region+"/admin"))
		h.must(h.Catalog.PutEndpoint(h.t.Context(), id, stacks.Endpoint{Host: "127.0.0.1", Port: 1, Secret: "region/" + region + "/admin"}))
	}
}

// TestCheckLinkGoesOnLooking wants a small copy waited for within one attempt, and the end of it in the run's log.
func TestCheckLinkGoesOnLooking(t *testing.T) {
	h := linking(t)
	looks := 0
	h.engine.check = func() providers.LinkStatus {
		if looks++; looks < 3 {
			return providers.LinkStatus{State: providers.StatePending, Message: "copying orders: 1 of 5 tables"}
		}
		return providers.LinkStatus{State: providers.StateReady, Lag: 3456 * time.Microsecond}
	}
	in := LinkInput{Run: h.run.ID, Link: theLink}
	if res, err := h.CheckLink(t.Context(), in); err != nil || !res.Go || looks != 3 {
		t.Fatalf("%+v, %v after %d looks", res, err, looks)
	}
	if phase, _ := h.link(); phase != linkVerified {
		t.Errorf("the link is %s", phase)
	}
	last, err := h.Catalog.LastLog(t.Context(), h.run.ID, theLink)
	if err != nil || last.Text != "verified: a row written in ankara was read in istanbul, lag 3.5ms" {
		t.Errorf("the log says %q, %v", last.Text, err)
	}

	h.engine.check = func() providers.LinkStatus {
		return providers.LinkStatus{State: providers.StatePending, Message: "copying orders: 2 of 5 tables"}
	}
	h.Timing.LinkLook = 0
	_, err = h.CheckLink(t.Context(), in)
	h.is(err, errPending)
	if phase, message := h.link(); phase != linkCopying || message != "copying orders: 2 of 5 tables" {
		t.Errorf("the link is %s: %s", phase, message)
	}
}

// TestCheckLinkSaysWhatTheCloudMeasures wants the cloud's own lag beside ours, and a link verified whatever becomes of that question.
func TestCheckLinkSaysWhatTheCloudMeasures(t *testing.T) {
	for name, tc := range map[string]struct {
		lag  func() (time.Duration, bool, error)
		want string
	}{
		"a lag":     {func() (time.Duration, bool, error) { return 310 * time.Millisecond, true, nil }, "local measures a lag of 310ms"},
		"none yet":  {func() (time.Duration, bool, error) { return 0, false, nil }, ""},
		"throttled": {func() (time.Duration, bool, error) { return 0, false, errors.New("throttled") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := linking(t)
			h.cloud.lag = tc.lag
			if res, err := h.CheckLink(t.Context(), LinkInput{Run: h.run.ID, Link: theLink}); err != nil || !res.Go {
				t.Fatalf("%+v, %v", res, err)
			}
			if phase, message := h.link(); phase != linkVerified || message != tc.want {
				t.Errorf("the link is %s: %q", phase, message)
			}
			if last, err := h.Catalog.LastLog(t.Context(), h.run.ID, theLink); err != nil || strings.Contains(last.Text, "measures") != (tc.want != "") {
				t.Errorf("the log says %q, %v", last.Text, err)
			}
		})
	}
}

// TestLinksStopOnCancel has a database that does not answer: a cancel must not wait for it.
func TestLinksStopOnCancel(t *testing.T) {
	hang := func(h *house) func(context.Context) error {
		return func(ctx context.Context) error {
			h.cancel()
			<-ctx.Done()
			return ctx.Err()
		}
	}
	in := func(h *house) LinkInput { return LinkInput{Run: h.run.ID, Link: theLink} }
	for name, tc := range map[string]struct {
		stand func(*testing.T) *house
		ask   func(h *house) (RegionResult, error)
		phase string
		says  string
	}{
		"making": {linking, func(h *house) (RegionResult, error) {
			h.engine.ensure = hang(h)
			return h.EnsureLink(t.Context(), in(h))
		}, linkFailed, "cancelled while it was made"},
		"proving": {linking, func(h *house) (RegionResult, error) {
			h.engine.check = func() providers.LinkStatus {
				if !h.row().Cancel {
					h.cancel()
				}
				return providers.LinkStatus{State: providers.StatePending, Message: "copying"}
			}
			h.Timing.LinkLook = time.Hour
			return h.CheckLink(t.Context(), in(h))
		}, linkFailed, "cancelled before it was verified"},
		"removing": {going, func(h *house) (RegionResult, error) {
			h.place()
			h.engine.remove = hang(h)
			return h.RemoveLink(t.Context(), in(h))
		}, linkRemoving, "cancelled while it was removed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := tc.stand(t)
			res, err := tc.ask(h)
			if err != nil || res.Go {
				t.Errorf("%+v, %v", res, err)
			}
			if phase, message := h.link(); phase != tc.phase || !strings.Contains(message, tc.says) {
				t.Errorf("the link is %s: %q", phase, message)
			}
		})
	}
}

// TestRemovedTwice has a slow attempt whose link a faster one has removed meanwhile: nothing comes back.
func TestRemovedTwice(t *testing.T) {
	for name, slow := range map[string]error{"done too": nil, "met trouble": errors.New("the server went away")} {
		t.Run(name, func(t *testing.T) {
			h := going(t)
			h.place()
			in := LinkInput{Run: h.run.ID, Link: theLink}
			h.engine.remove = func(context.Context) error {
				h.engine.remove = nil
				if res, err := h.RemoveLink(t.Context(), in); err != nil || !res.Go {
					t.Errorf("the faster one: %+v, %v", res, err)
				}
				return slow
			}
			_, err := h.RemoveLink(t.Context(), in)
			if (err == nil) != (slow == nil) {
				t.Errorf("the slower one: %v", err)
			}
			h.must(h.FailLink(t.Context(), in))
			if phase, message := h.link(); phase != "" {
				t.Errorf("the link is back: %s, %q", phase, message)
			}
			h.step(stacks.PhaseUnlinking, stacks.PhaseApplying, "ankara", "istanbul")
		})
	}
}
