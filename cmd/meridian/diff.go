package main

import (
	"fmt"
	"slices"
	"strings"

	"meridian/orchestrator"
	"meridian/stacks"
)

// order is how a plan is shown: what destroys first.
var order = []stacks.Action{
	stacks.ActionDelete, stacks.ActionForget, stacks.ActionReplace, stacks.ActionUpdate, stacks.ActionCreate, stacks.ActionRead,
}

var actionWords = map[stacks.Action]struct{ sign, word, count string }{
	stacks.ActionDelete:  {"-", "destroy", "to destroy"},
	stacks.ActionForget:  {"#", "forget", "to forget"},
	stacks.ActionReplace: {"-/+", "replace", "to replace"},
	stacks.ActionUpdate:  {"~", "update", "to update"},
	stacks.ActionCreate:  {"+", "create", "to create"},
	stacks.ActionRead:    {"<=", "read", "to read"},
	stacks.ActionNoop:    {">", "move", "to move"},
}

// diffText shows the plan of a run as a person approves it: destroys first, values, sensitive ones masked, the digest at the end.
func diffText(v orchestrator.RunView, s style) string {
	var b strings.Builder
	title := fmt.Sprintf("Plan of %s/%s", v.Namespace, v.Name)
	var resources, outputs, then []stacks.Change
	for _, c := range v.Changes {
		switch {
		case c.Then && isOutput(c): // they go with everything else
		case c.Then:
			then = append(then, c)
		case isOutput(c):
			outputs = append(outputs, c)
		default:
			resources = append(resources, c)
		}
	}
	what := countActions(append(slices.Clone(resources), then...))
	switch {
	case what == "" && !v.HasChanges:
		what = "no changes"
	case what == "":
		what = "no resource changes, but its outputs or its state change"
	}
	fmt.Fprintf(&b, "%s: %s\n", s.bold(title), what)
	b.WriteString(changesText(resources, s))
	b.WriteString(outputsText(outputs, s))
	if len(then) > 0 {
		fmt.Fprintf(&b, "\n  %s\n", s.bold("then, under the same yes, once the protection is lifted:"))
		b.WriteString(changesText(then, s))
	}
	if v.PlanDigest != "" && v.HasChanges && v.Kind != stacks.RunCheck { // the others' are never approved
		fmt.Fprintf(&b, "\n  plan digest %s\n", v.PlanDigest)
	}
	return b.String()
}

// changesText shows changes of resources: what loses data first.
func changesText(list []stacks.Change, s style) string {
	slices.SortStableFunc(list, func(x, y stacks.Change) int {
		if d := rank(x) - rank(y); d != 0 {
			return d
		}
		if d := strings.Compare(x.Region, y.Region); d != 0 {
			return d
		}
		return strings.Compare(x.Address, y.Address)
	})
	var b strings.Builder
	for _, c := range list {
		b.WriteString(changeText(c, s))
	}
	return b.String()
}

const outputPrefix = "output."

func isOutput(c stacks.Change) bool {
	return c.Type == "" && strings.HasPrefix(c.Address, outputPrefix)
}

// outputsText shows what a plan does to a stack's outputs, one line each: they follow from its resources.
func outputsText(outputs []stacks.Change, s style) string {
	slices.SortStableFunc(outputs, func(x, y stacks.Change) int { return strings.Compare(x.Region, y.Region) })
	var b strings.Builder
	for i, c := range outputs {
		if i == 0 || outputs[i-1].Region != c.Region {
			fmt.Fprintf(&b, "\n  %s\n", s.dim("outputs in "+clean(c.Region)))
		}
		value := ""
		for _, at := range c.Attributes {
			value = attributeText(c.Action, at, s)
		}
		fmt.Fprintf(&b, "    %3s %s = %s\n", actionWords[c.Action].sign, clean(strings.TrimPrefix(c.Address, outputPrefix)), value)
	}
	return b.String()
}

// rank puts what loses data before everything else.
func rank(c stacks.Change) int {
	i := slices.Index(order, c.Action)
	if i < 0 {
		i = len(order)
	}
	i *= 2
	if !c.Dangerous() {
		i++
	}
	return i
}

func countActions(changes []stacks.Change) string {
	counts := map[stacks.Action]int{}
	for _, c := range changes {
		counts[c.Action]++
	}
	var parts []string
	for _, action := range append(slices.Clone(order), stacks.ActionNoop) {
		if n := counts[action]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, actionWords[action].count))
		}
	}
	return strings.Join(parts, ", ")
}

func changeText(c stacks.Change, s style) string {
	words, known := actionWords[c.Action]
	if !known {
		words.sign, words.word = "?", string(c.Action)
	}
	paint := map[stacks.Action]func(string) string{
		stacks.ActionDelete: s.bad, stacks.ActionForget: s.bad, stacks.ActionReplace: s.bad,
		stacks.ActionUpdate: s.warn, stacks.ActionCreate: s.good,
	}[c.Action]
	if paint == nil {
		paint = func(t string) string { return t }
	}
	var b strings.Builder
	head := fmt.Sprintf("%3s %s", words.sign, words.word)
	fmt.Fprintf(&b, "\n  %s %s", paint(head), clean(c.Address))
	if c.Region != "" {
		fmt.Fprintf(&b, " in %s", clean(c.Region))
	}
	if c.PreviousAddress != "" {
		fmt.Fprintf(&b, " (was %s)", clean(c.PreviousAddress))
	}
	if c.Importing {
		b.WriteString(" (import)")
	}
	if c.Dangerous() {
		b.WriteString("  " + s.bad("LOSES DATA"))
	}
	if c.Reason != "" {
		fmt.Fprintf(&b, "  %s", s.dim("("+clean(strings.ReplaceAll(c.Reason, "_", " "))+")"))
	}
	b.WriteByte('\n')
	width := 0
	for _, at := range c.Attributes {
		width = max(width, len(at.Path))
	}
	for _, at := range c.Attributes {
		fmt.Fprintf(&b, "        %-*s  %s\n", min(width, 40), clean(at.Path), attributeText(c.Action, at, s))
	}
	return b.String()
}

func attributeText(action stacks.Action, at stacks.AttributeChange, s style) string {
	value := func(v string) string {
		if v == "" {
			return "null"
		}
		return shorten(clean(v), 120)
	}
	var text string
	after := value(at.After)
	if at.Unknown {
		after = "(known after apply)"
	}
	switch {
	case at.Sensitive:
		text = "(sensitive value)"
	case action == stacks.ActionCreate:
		text = after
	case action == stacks.ActionDelete || action == stacks.ActionForget:
		text = value(at.Before)
	default:
		text = value(at.Before) + " -> " + after
	}
	if at.Forces {
		text += " " + s.bad("# forces replacement")
	}
	return text
}

// clean keeps one line one line.
func clean(s string) string { return strings.ReplaceAll(printable(s), "\n", `\n`) }

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return s
}
