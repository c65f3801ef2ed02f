package runner

import (
	"bytes"
	"fmt"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks"
)

// RuleHang is the rule of a step that was told to stop because nothing of it moved for too long.
const RuleHang = "step.hang"

// timers are the events that terraform writes by its own clock, whether or not anything moves.
var timers = [][]byte{[]byte(`"type":"apply_progress"`), []byte(`"type":"ephemeral_op_progress"`)}

// moves reports whether one of the lines says more than that time passes.
func moves(lines []journal.Event) bool {
	for _, l := range lines {
		timer := false
		for _, t := range timers {
			timer = timer || bytes.Contains(l.Payload, t)
		}
		if !timer {
			return true
		}
	}
	return false
}

// hung is for how long nothing has moved where that is too long for this kind of step, else 0. Whoever adopts a step counts anew, and the time
// that the machine sleeps does not count: terraform slept too. now is by the awake clock.
func (r *run) hung(now time.Duration) time.Duration {
	limit := r.timing.PlanHang
	if r.att.Kind == journal.StepApply {
		limit = r.timing.ApplyHang
	}
	if quiet := now - r.moved; limit > 0 && quiet >= limit {
		return quiet
	}
	return 0
}

// explainHang says why a step was told to stop, and makes it a failure: nobody asked for a cancel.
func explainHang(res *journal.Result, stopped *cancelRecord) {
	if stopped == nil || stopped.Hang == 0 || res.Outcome != journal.OutcomeCancelled {
		return
	}
	res.Outcome = journal.OutcomeFailed
	d := refuse(RuleHang, "terraform made no progress and was told to stop",
		fmt.Sprintf("it said nothing new for %s but that time passes", stopped.Hang.Round(time.Second)),
		"see in the cloud what became of what it was working on, then apply again: what is there is found and taken over").diag
	res.Diagnostics = append([]stacks.Diagnostic{d}, res.Diagnostics...)
}
