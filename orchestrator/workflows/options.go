package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"meridian/stacks"
)

// longest bounds a step that may wait for a cloud: the slowest managed databases take hours to create, never days.
const longest = 48 * time.Hour

// giveUpLink bounds how long the making of a link may be retried before a person has to look. Its proof waits for the initial copy, which
// may take longer.
const giveUpLink = 24 * time.Hour

// giveUpUnlink bounds the removal of a link: a side that is dead for longer has to be looked at.
const giveUpUnlink = 10 * time.Minute

// light is for local activities, which only touch rows: they must be done within a workflow task's patience and are tried for ever, since
// a store that is away comes back.
func light(ctx workflow.Context, t stacks.Timing) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: longest,
		StartToCloseTimeout:    t.LightTimeout,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second},
	})
}

// once is for one look that is not worth a poll.
func once(ctx workflow.Context, t stacks.Timing) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: t.LightTimeout, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}

// terraform is for steps that attach to a runner: long, heartbeating, taken up again at once when a worker goes.
func terraform(ctx workflow.Context, t stacks.Timing, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		ScheduleToCloseTimeout: longest,
		HeartbeatTimeout:       t.Heartbeat,
		StartToCloseTimeout:    longest,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
		WaitForCancellation:    true,
		Summary:                summary,
	})
}

// ready is for the readiness poll: one look per attempt, the retry policy is the poll loop. Less than 1 s behaves like 1 s.
func ready(ctx workflow.Context, t stacks.Timing, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ScheduleToCloseTimeout: longest,
		StartToCloseTimeout:    t.LightTimeout,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: t.ReadyEvery, BackoffCoefficient: 1.5, MaximumInterval: t.ReadyMaxEvery},
		Summary:                summary,
	})
}

// link is for making, proving and removing links: an attempt is bounded, and the next one goes on from what is there. It heartbeats, so that
// a dead worker is noticed at once and a cancel arrives.
func link(ctx workflow.Context, t stacks.Timing, giveUp time.Duration, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ScheduleToCloseTimeout: giveUp,
		StartToCloseTimeout:    t.LinkTimeout,
		HeartbeatTimeout:       t.Heartbeat,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: t.ReadyEvery, BackoffCoefficient: 1.5, MaximumInterval: t.ReadyMaxEvery},
		Summary:                summary,
	})
}

// watch is for waiting on a run that another funnel started.
func watch(ctx workflow.Context, t stacks.Timing) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ScheduleToCloseTimeout: longest, StartToCloseTimeout: longest, HeartbeatTimeout: t.Heartbeat,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 1, MaximumInterval: time.Second},
		Summary:     "another execution works on this run: wait for its row",
	})
}

// giveUpDrift bounds one look of a check: what could not be looked at by then is told as such, and the next check looks again.
const giveUpDrift = time.Hour

// GiveUpCheck bounds a check as a whole: the looks at stacks, those at insides, and those at links, one after another.
const GiveUpCheck = 4 * giveUpDrift

// lookFor is for one look of a check for drift with terraform's eyes: it attaches to a runner, so it heartbeats.
func lookFor(ctx workflow.Context, t stacks.Timing, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		ScheduleToCloseTimeout: giveUpDrift,
		StartToCloseTimeout:    giveUpDrift,
		HeartbeatTimeout:       t.Heartbeat,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
		Summary:                summary,
	})
}

// askFor is for one look of a check that asks a database: a minute is longer than any of its own limits. The look itself says after which
// attempt trouble counts; a few more are for workers that die.
func askFor(ctx workflow.Context, t stacks.Timing, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ScheduleToCloseTimeout: giveUpDrift,
		StartToCloseTimeout:    t.LinkTimeout,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 1, MaximumInterval: time.Second, MaximumAttempts: 10},
		Summary:                summary,
	})
}
