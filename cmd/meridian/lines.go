package main

import (
	"fmt"
	"time"

	"meridian/orchestrator"
	"meridian/stacks"
)

// changeLines tells what is new in a run since prev, one line per change. prev is nil at first.
func changeLines(prev *orchestrator.RunView, v orchestrator.RunView, now time.Time) []string {
	var out []string
	add := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%7s  %s", since(v.CreatedAt, now), fmt.Sprintf(format, args...)))
	}
	if prev == nil {
		prev = &orchestrator.RunView{}
		add("%s  %s run %s", v.Name, v.Kind, v.ID)
	}
	if prev.CancelAsked != v.CancelAsked && v.CancelAsked && !v.Phase.Ended() {
		add("%s  cancel asked", v.Name)
	}
	if prev.Phase != v.Phase && !v.Phase.Ended() {
		add("%s  %s%s", v.Name, v.Phase, suffix(v.Message))
	}
	for _, r := range v.Regions {
		was := regionOf(prev, r.Region)
		if r.Phase != was.Phase || r.Message != was.Message || r.Resource != was.Resource || r.Done != was.Done {
			add("%s  %s  %s%s", v.Name, r.Region, regionWords(r), suffix(r.Message))
		}
	}
	for _, l := range v.Links {
		was := linkOf(prev, l.Name)
		if stale(l, v) {
			continue
		}
		if l.Phase != was.Phase || l.Message != was.Message || (l.Phase == linkVerified && stale(was, v)) {
			add("%s  %s  %s%s", v.Name, l.Name, linkWords(l), suffix(l.Message))
		}
	}
	if prev.Phase != v.Phase && v.Phase.Ended() {
		add("%s  %s%s", v.Name, v.Phase, suffix(v.Message))
	}
	return out
}

func suffix(message string) string {
	if message == "" {
		return ""
	}
	return "  " + clean(message)
}

func regionWords(r orchestrator.RunRegionView) string {
	s := string(r.Phase)
	if r.Destroy && (r.Phase == stacks.RegionApplying || r.Phase == stacks.RegionPlanning) {
		s = map[stacks.RegionPhase]string{stacks.RegionApplying: "removing", stacks.RegionPlanning: "planning its removal"}[r.Phase]
	}
	if r.Resource != "" {
		s += "  " + clean(r.Resource)
	}
	if r.Total > 0 && r.Phase == stacks.RegionApplying {
		s += fmt.Sprintf("  %d of %d", r.Done, r.Total)
	}
	return s
}

// linkVerified is the catalog's word for a link through which a row went.
const linkVerified = "verified"

func linkWords(l orchestrator.LinkView) string {
	if l.Phase == linkVerified {
		return fmt.Sprintf("verified by a row, lag %s", lag(l.LagMS))
	}
	return l.Phase
}

// stale reports whether what is known of a link is from before the run.
func stale(l orchestrator.LinkView, v orchestrator.RunView) bool {
	return l.Phase == linkVerified && (l.VerifiedAt == nil || l.VerifiedAt.Before(v.CreatedAt))
}

// lag is in milliseconds.
func lag(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func regionOf(v *orchestrator.RunView, name string) orchestrator.RunRegionView {
	for _, r := range v.Regions {
		if r.Region == name {
			return r
		}
	}
	return orchestrator.RunRegionView{}
}

func linkOf(v *orchestrator.RunView, name string) orchestrator.LinkView {
	for _, l := range v.Links {
		if l.Name == name {
			return l
		}
	}
	return orchestrator.LinkView{}
}
