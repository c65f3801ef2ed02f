package main

import (
	"fmt"
	"strings"
	"time"

	"meridian/orchestrator"
	"meridian/stacks"
)

// driftWords says in a word or two what is known of a database's drift.
func driftWords(d *orchestrator.DriftStatusView) string {
	switch {
	case d == nil, d.CheckedAt == nil:
		return "not checked"
	case d.Stale:
		return "changed since"
	case d.Found > 0:
		return fmt.Sprintf("%d found", d.Found)
	}
	return d.Outcome
}

// checkedWords says how long ago a database was checked.
func checkedWords(d *orchestrator.DriftStatusView, now time.Time) string {
	if d == nil || d.CheckedAt == nil {
		return ""
	}
	return since(*d.CheckedAt, now) + " ago"
}

// driftHistory prints a database's checks and what is ignored.
func driftHistory(t *table, a *app, v orchestrator.DriftView) {
	every := "only on demand"
	if v.Status.Every != "" {
		every = "every " + v.Status.Every
	}
	t.line("checked %s, action: %s", every, v.Status.Action)
	if len(v.Checks) == 0 {
		a.progress("no checks yet")
	} else {
		t.row("CHECK", "AGE", "WHY", "OUTCOME", "FOUND", "PUT BACK BY", "MESSAGE")
		for _, c := range v.Checks {
			outcome := c.Outcome
			if outcome == "" {
				outcome = "at work"
			}
			t.row(c.ID, since(c.StartedAt, time.Now()), strings.TrimSpace(c.Reason+" "+c.Actor), outcome, fmt.Sprint(c.Found), c.Remedy, shorten(c.Message, 80))
		}
	}
	if len(v.Rules) > 0 {
		t.line("\nNo drift, whoever finds it")
		t.row("  KEY", "VALUE", "BY", "AGE", "REASON")
		for _, r := range v.Rules {
			value := "any"
			if r.Verb == orchestrator.DriftAccept {
				value = r.Value
			}
			t.row("  "+r.Pattern, value, r.By, since(r.At, time.Now()), r.Reason)
		}
	}
}

// driftText prints what a check found, each item under the key that ignore and accept take.
func driftText(t *table, a *app, v orchestrator.DriftCheckView) {
	if v.ID == "" {
		t.line("%s/%s was never checked", v.Namespace, v.Name)
		return
	}
	t.line("%s/%s  check %s, %s ago: %s", v.Namespace, v.Name, v.ID, since(v.StartedAt, time.Now()), driftSentence(v))
	if v.Message != "" {
		t.line("  note: %s", v.Message)
	}
	var ignored []orchestrator.DriftItemView
	for _, i := range v.Drift {
		if i.Ignored != "" {
			ignored = append(ignored, i)
			continue
		}
		t.line("\n  %s %s", a.style.bad(driftMark(i.Kind)), clean(i.Key))
		t.line("      %s", itemWords(i, "applied", "now"))
	}
	if len(v.Unapplied) > 0 {
		t.line("\nNot applied yet: a revision after %d, or the rest of an apply that stopped, asks for", v.Revision)
		for _, i := range v.Unapplied {
			t.line("\n  ~ %s", clean(i.Key))
			t.line("      %s", itemWords(i, "wanted", "now"))
		}
	}
	if len(ignored) > 0 {
		t.line("\nNo drift, as somebody said")
		for _, i := range ignored {
			word := "ignored"
			if i.Accepted {
				word = "accepted"
			}
			t.line("  %s  (%s by %s; %s)", clean(i.Key), word, clean(i.Ignored), itemWords(i, "applied", "now"))
		}
	}
	if v.Found > 0 && v.Remedy == "" {
		t.line("\nPut it back: %s", a.call("drift remediate "+v.Name))
	} else if v.Remedy != "" {
		t.line("\nPut back by run %s", v.Remedy)
	}
}

func driftSentence(v orchestrator.DriftCheckView) string {
	switch v.Outcome {
	case "":
		return "at work"
	case "skipped":
		return "made for nothing"
	}
	if v.Found == 0 && v.Outcome == "unknown" {
		return "no drift where it could look"
	}
	if v.Found == 0 {
		return "as it was applied"
	}
	return fmt.Sprintf("%d drifted", v.Found)
}

func driftMark(k stacks.DriftKind) string {
	switch k {
	case stacks.DriftGone, stacks.DriftMissing:
		return "-"
	case stacks.DriftExtra, stacks.DriftSlot:
		return "+"
	case stacks.DriftChanged:
		return "~"
	}
	return "!"
}

// itemWords says what differs: the two values, or a sentence.
func itemWords(i orchestrator.DriftItemView, want, found string) string {
	var text string
	switch {
	case i.Kind == stacks.DriftGone && want == "applied":
		text = "it is there no more"
	case i.Kind == stacks.DriftGone:
		text = "to be made"
	case i.Kind == stacks.DriftExtra && want == "applied":
		text = "it is there, and nothing asks for it"
	case i.Kind == stacks.DriftExtra:
		text = "to be destroyed"
	case i.Message != "":
		text = clean(i.Message)
	case i.Sensitive:
		text = "(sensitive value)"
	case i.Path == "":
		text = "it is not as it was applied"
	default:
		text = fmt.Sprintf("%s %s, %s %s", want, valueText(i.Want), found, valueText(i.Found))
	}
	if i.DataBearing && (i.Kind == stacks.DriftGone || i.Kind == stacks.DriftMissing) && want == "applied" {
		text += "; its data is gone with it"
	}
	if i.Replaces {
		text += "; only a replacement would put it back, which a remediation never does"
	}
	if i.Grown {
		text += "; it cannot be lowered again: write it into the spec, or accept it"
	}
	return text
}

func valueText(v string) string {
	if v == "" || v == "null" {
		return "nothing"
	}
	return shorten(clean(v), 120)
}

// acceptWords says what the acceptance of an item does and does not do.
func acceptWords(i orchestrator.DriftItemView) string {
	head := fmt.Sprintf("accepted: %s is %s from now on no drift; nothing was changed", i.Key, valueText(i.Found))
	if i.SpecField == "" {
		return head + ". No field of the spec says this value: an apply that changes the resource puts " + valueText(i.Want) + " back"
	}
	value := i.Found
	if value == "" || value == "null" {
		return head + fmt.Sprintf(". To keep it over the next apply, leave %s out of the spec", i.SpecField)
	}
	return head + fmt.Sprintf(". To keep it over the next apply, write %s: %s into the spec", i.SpecField, value)
}
