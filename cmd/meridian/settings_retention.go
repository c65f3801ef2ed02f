package main

import (
	"time"

	"meridian/orchestrator/activities"
	"meridian/persistence/temporal"
)

// retention says how much of old runs is kept: everything of a database's newest runs, and of those that ended within so many days.
type retention struct {
	Runs *int `yaml:"runs,omitempty"`
	Days *int `yaml:"days,omitempty"`
}

// Bounds of what can be kept: at least what an operator looks at the next morning, at most what fits the arithmetic of times.
const (
	minKeptRuns, maxKeptRuns = 1, 1_000_000
	minKeptDays, maxKeptDays = 1, 36_500
)

func (r *retention) check() (out []temporal.Fault) {
	if r == nil {
		return nil
	}
	if r.Runs != nil && (*r.Runs < minKeptRuns || *r.Runs > maxKeptRuns) {
		out = append(out, temporal.Fault{Field: "retention.runs", What: "want 1 to 1000000 runs of each database"})
	}
	if r.Days != nil && (*r.Days < minKeptDays || *r.Days > maxKeptDays) {
		out = append(out, temporal.Fault{Field: "retention.days", What: "want 1 to 36500 days"})
	}
	return out
}

// kept is what the settings keep, the defaults where they say nothing.
func (r *retention) kept() activities.Retention {
	out := activities.DefaultRetention()
	if r != nil && r.Runs != nil {
		out.Runs = *r.Runs
	}
	if r != nil && r.Days != nil {
		out.For = time.Duration(*r.Days) * 24 * time.Hour
	}
	return out
}
