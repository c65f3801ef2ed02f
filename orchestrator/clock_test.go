package orchestrator

import (
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestWaitsForYesterday: Temporal's timers fire by the wall clock. One that was set before the clock was set back a day fires in a day.
func TestWaitsForYesterday(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	next := func(in time.Duration) *workflow.PendingActivityInfo {
		return &workflow.PendingActivityInfo{State: enums.PENDING_ACTIVITY_STATE_SCHEDULED, NextAttemptScheduleTime: timestamppb.New(now.Add(in))}
	}
	beat := func(in time.Duration) *workflow.PendingActivityInfo {
		return &workflow.PendingActivityInfo{State: enums.PENDING_ACTIVITY_STATE_STARTED, LastHeartbeatTime: timestamppb.New(now.Add(in))}
	}
	for name, c := range map[string]struct {
		pending []*workflow.PendingActivityInfo
		want    bool
	}{
		"nothing pending":                   {nil, false},
		"its first attempt":                 {[]*workflow.PendingActivityInfo{{State: enums.PENDING_ACTIVITY_STATE_SCHEDULED}}, false},
		"the longest pause":                 {[]*workflow.PendingActivityInfo{next(time.Minute)}, false},
		"at work":                           {[]*workflow.PendingActivityInfo{beat(-time.Second)}, false},
		"at work, by a clock a bit ahead":   {[]*workflow.PendingActivityInfo{beat(time.Second)}, false},
		"a try in a day":                    {[]*workflow.PendingActivityInfo{next(time.Second), next(24 * time.Hour)}, true},
		"a worker that beats in the future": {[]*workflow.PendingActivityInfo{beat(24 * time.Hour)}, true},
	} {
		if got := waitsForYesterday(now, c.pending); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestTooFar: a schedule whose clock was set back would check nothing for a day.
func TestTooFar(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		in   time.Duration
		note string
		want bool
	}{
		"within the hour":               {50 * time.Minute, noteOf(time.Hour, ""), false},
		"late by its jitter":            {time.Hour + maxJitter, noteOf(time.Hour, ""), false},
		"a day later":                   {25 * time.Hour, noteOf(time.Hour, ""), true},
		"a day later, once in two days": {25 * time.Hour, noteOf(48*time.Hour, "abcdefgh"), false},
		"overdue":                       {-time.Hour, noteOf(time.Hour, ""), false},
		"nobody knows its interval":     {25 * time.Hour, "", false},
	} {
		if got := tooFar(now, now.Add(c.in), c.note); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
