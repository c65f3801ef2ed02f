package activities

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"meridian/persistence/catalog"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestWait: what looks found unchanged is counted between them, whatever the wall clock does.
func TestWait(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	type look struct {
		line  int64
		after time.Duration
	}
	for name, c := range map[string]struct {
		looks []look
		want  time.Duration
	}{
		"one look":         {[]look{{1, 0}}, 0},
		"the same thrice":  {[]look{{1, 0}, {1, 10 * time.Second}, {1, 10 * time.Second}}, 20 * time.Second},
		"something new":    {[]look{{1, 0}, {1, 10 * time.Second}, {2, 10 * time.Second}}, 0},
		"set ahead a day":  {[]look{{1, 0}, {1, 24 * time.Hour}, {1, 10 * time.Second}}, 40 * time.Second},
		"set back a day":   {[]look{{1, 0}, {1, 10 * time.Second}, {1, -24 * time.Hour}, {1, 10 * time.Second}}, 20 * time.Second},
		"nobody looked":    {[]look{{1, 0}, {1, time.Hour}}, 30 * time.Second},
		"said once more":   {[]look{{1, 0}, {2, time.Second}, {3, time.Second}, {3, time.Second}}, time.Second},
		"both, one by one": {[]look{{1, 0}, {1, 24 * time.Hour}, {1, -24 * time.Hour}, {1, time.Second}}, 31 * time.Second},
	} {
		var w wait
		at := begin
		for _, l := range c.looks {
			at = at.Add(l.after)
			w = w.look(l.line, at, 30*time.Second)
		}
		if w.For != c.want {
			t.Errorf("%s: %s, want %s", name, w.For, c.want)
		}
	}
}

// TestNothingNewForTooLong fails a region that waited for the same for too long, from attempt to attempt, and none for
// a clock that was set ahead, or that says something new.
func TestNothingNewForTooLong(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	h.Clock = terraform.Clock{Read: func() terraform.Reading { return terraform.Reading{Wall: now} }}
	h.Timing.ReadyHang = time.Minute
	h.planning()
	w, err := h.load(t.Context(), RegionInput{Run: h.run.ID, Region: "ankara"})
	h.must(err)
	same := errors.New("nothing accepts yet")
	h.must(h.Catalog.AppendLog(t.Context(), catalog.LogLine{Run: h.run.ID, Part: "ankara", Level: "INFO", Text: same.Error()}))
	var said wait
	attempt := func() error {
		var suite testsuite.WorkflowTestSuite
		suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
		env := suite.NewTestActivityEnvironment()
		env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) { h.must(details.Get(&said)) })
		env.SetHeartbeatDetails(said)
		env.RegisterActivityWithOptions(func(ctx context.Context) error { return h.stillPending(ctx, w, same) }, activity.RegisterOptions{Name: "look"})
		_, err := env.ExecuteActivity("look")
		return err
	}
	for i, passes := range []time.Duration{0, 20 * time.Second, 24 * time.Hour, -24 * time.Hour, 20 * time.Second} {
		now = now.Add(passes)
		if i == 2 {
			h.Timing.ReadyHang = 2 * time.Minute // the jump ahead is no more than two looks can be apart
		}
		if err := attempt(); err == nil {
			t.Fatalf("look %d: it failed after %s", i, said.For)
		}
	}
	old := same
	same = errors.New("something new")
	if err := attempt(); err == nil {
		t.Fatal("it failed although it waits for something new")
	}
	same = old
	now = now.Add(20 * time.Second)
	if err := attempt(); err != nil || said.For < h.Timing.ReadyHang {
		t.Errorf("after %s: %v", said.For, err)
	}
	if region := h.row().Regions[0]; region.Phase != stacks.RegionFailed || !strings.Contains(region.Message, "nothing new for 2m0s") {
		t.Errorf("the region is %s: %s", region.Phase, region.Message)
	}
}
