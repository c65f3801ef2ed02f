package main

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"meridian/orchestrator"
	"meridian/stacks"
)

// tree draws runs as a tree of regions and links, one frame at a time. It is pure; screen puts frames on a terminal.
type tree struct {
	style   style
	unicode bool
	width   int
}

// frame returns the lines of one picture of the runs.
func (t tree) frame(views []orchestrator.RunView, now time.Time) []string {
	var out []string
	for _, v := range views {
		end := now
		if v.EndedAt != nil {
			end = *v.EndedAt
		}
		head := fmt.Sprintf("%s %s  %s run %s  %s", t.mark(phaseMood(v.Phase), now), t.style.bold(v.Namespace+"/"+v.Name), v.Kind, v.ID,
			t.paint(phaseMood(v.Phase), string(v.Phase)))
		if v.CancelAsked && !v.Phase.Ended() {
			head += "  " + t.style.warn("cancel asked")
		}
		out = append(out, t.fit(head+"  "+t.style.dim(since(v.CreatedAt, end))))
		if v.Message != "" {
			out = append(out, t.fit("    "+clean(v.Message)))
		}
		rows := len(v.Regions) + len(v.Links)
		names := 0
		for _, r := range v.Regions {
			names = max(names, len(r.Region))
		}
		for _, l := range v.Links {
			names = max(names, len(l.Name))
		}
		branch := func() string {
			rows--
			switch {
			case t.unicode && rows == 0:
				return "└─"
			case t.unicode:
				return "├─"
			}
			return "|-"
		}
		for _, r := range v.Regions {
			mood := regionMood(r.Phase)
			elapsed := ""
			if mood == moodBusy {
				elapsed = "  " + t.style.dim(since(r.StartedAt, now))
			}
			out = append(out, t.fit(fmt.Sprintf("  %s %s %-*s  %s%s%s", branch(), t.mark(mood, now), names, r.Region,
				t.paint(mood, regionWords(r)), elapsed, suffix(r.Message))))
		}
		for _, l := range v.Links {
			mood, words := linkMood(l), linkWords(l)
			if stale(l, v) {
				mood, words = moodIdle, "verified before this run"
			}
			out = append(out, t.fit(fmt.Sprintf("  %s %s %-*s  %s%s", branch(), t.mark(mood, now), names, l.Name,
				t.paint(mood, words), suffix(l.Message))))
		}
	}
	return out
}

// fit cuts a line to the terminal, so that one line is one row.
func (t tree) fit(line string) string {
	if t.width <= 0 {
		return line
	}
	return lipgloss.NewStyle().MaxWidth(t.width).Inline(true).Render(line)
}

type mood int

const (
	moodIdle mood = iota
	moodBusy
	moodAsks
	moodGood
	moodBad
)

func phaseMood(p stacks.Phase) mood {
	switch p {
	case stacks.PhasePending:
		return moodIdle
	case stacks.PhaseAwaiting:
		return moodAsks
	case stacks.PhaseDone:
		return moodGood
	case stacks.PhaseFailed, stacks.PhaseCancelled, stacks.PhaseSuperseded:
		return moodBad
	}
	return moodBusy
}

func regionMood(p stacks.RegionPhase) mood {
	switch p {
	case stacks.RegionPending, stacks.RegionPlanned:
		return moodIdle
	case stacks.RegionUnchanged, stacks.RegionReady, stacks.RegionRemoved:
		return moodGood
	case stacks.RegionFailed, stacks.RegionCancelled:
		return moodBad
	}
	return moodBusy
}

func linkMood(l orchestrator.LinkView) mood {
	switch l.Phase {
	case "", "pending":
		return moodIdle
	case linkVerified:
		return moodGood
	case "failed":
		return moodBad
	}
	return moodBusy
}

func (t tree) paint(m mood, text string) string {
	switch m {
	case moodBusy:
		return t.style.busy(text)
	case moodAsks:
		return t.style.warn(text)
	case moodGood:
		return t.style.good(text)
	case moodBad:
		return t.style.bad(text)
	}
	return t.style.dim(text)
}

// mark is one column that shows a mood; it turns while something is busy.
func (t tree) mark(m mood, now time.Time) string {
	idle, busy, asks, good, bad := ".", `|/-\`, "?", "+", "x"
	if t.unicode {
		idle, busy, good, bad = "·", "⠋⠙⠹⠸⠼⠴⠦⠧", "✓", "✗"
	}
	turn := []rune(busy)
	mark := map[mood]string{
		moodIdle: idle, moodBusy: string(turn[now.UnixMilli()/100%int64(len(turn))]), moodAsks: asks, moodGood: good, moodBad: bad,
	}[m]
	return t.paint(m, mark)
}

// isUTF8 reports whether a locale's name says UTF-8.
func isUTF8(locale string) bool {
	l := strings.ToLower(locale)
	return strings.Contains(l, "utf-8") || strings.Contains(l, "utf8")
}
