package orchestrator

import (
	"context"
	"fmt"
	"time"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// DriftStatusView is what is known of a database's drift, in one line.
type DriftStatusView struct {
	// Every is how often it is checked, with its unit; "" where only on demand. Action is what is done then.
	Every  string             `json:"every,omitempty"`
	Action stacks.DriftAction `json:"action"`
	// Check is the newest check that saw something, CheckedAt when it began, Outcome and Found what it saw.
	Check     string     `json:"check,omitempty"`
	CheckedAt *time.Time `json:"checkedAt,omitempty"`
	Outcome   string     `json:"outcome,omitempty"`
	Found     int        `json:"found,omitempty"`
	// Stale says that a run changed the database since.
	Stale bool `json:"stale,omitempty"`
}

// DriftCheckView is one check for drift.
type DriftCheckView struct {
	ID        string     `json:"id"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Reason    string     `json:"reason"`
	Actor     string     `json:"actor,omitempty"`
	Revision  int64      `json:"revision"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
	// Outcome is "" while it is at work, then "clean", "drifted", "unknown" or "skipped".
	Outcome string `json:"outcome,omitempty"`
	// Found counts what is drift, without what is ignored.
	Found   int    `json:"found"`
	Message string `json:"message,omitempty"`
	// Remedy is the run that puts it back, where there is one.
	Remedy    string          `json:"remedy,omitempty"`
	Drift     []DriftItemView `json:"drift,omitempty"`
	Unapplied []DriftItemView `json:"unapplied,omitempty"`
}

// DriftItemView is one thing that differs, with the key that ignore and accept take.
type DriftItemView struct {
	Key string `json:"key"`
	stacks.DriftItem
	// SpecField is the field of the spec that says what was found, where the provider knows it.
	SpecField string `json:"specField,omitempty"`
}

// DriftRuleView is what a person, or the spec, said of drift.
type DriftRuleView struct {
	Pattern string    `json:"pattern"`
	Verb    string    `json:"verb"`
	Value   string    `json:"value,omitempty"`
	By      string    `json:"by"`
	At      time.Time `json:"at,omitzero"`
	Reason  string    `json:"reason,omitempty"`
}

// DriftView is a database's drift: its state, its checks (newest first, without items) and what is ignored.
type DriftView struct {
	Status DriftStatusView  `json:"status"`
	Checks []DriftCheckView `json:"checks"`
	Rules  []DriftRuleView  `json:"rules,omitempty"`
}

// DriftRuleRequest says something of drift: "ignore" or "accept" of keys, or "watch", which takes both back.
type DriftRuleRequest struct {
	Namespace, Name string
	Verb            string
	Keys            []string
	Reason          string
	Actor           string
}

// The verbs of a DriftRuleRequest.
const (
	DriftIgnore = "ignore"
	DriftAccept = "accept"
	DriftWatch  = "watch"
)

// driftStatus is nil where a database is not checked and never was.
func (c *Client) driftStatus(ctx context.Context, db catalog.Database, wish stacks.Drift, last catalog.DriftCheck) (*DriftStatusView, error) {
	v := &DriftStatusView{Action: wish.Action}
	if v.Action == "" {
		v.Action = stacks.DriftReport
	}
	if every := wish.Schedule(c.timing.DriftEvery); every > 0 {
		v.Every = every.String()
	}
	if last.ID == "" {
		if v.Every == "" {
			return nil, nil
		}
		return v, nil
	}
	v.Check, v.CheckedAt, v.Outcome, v.Found = last.ID, &last.StartedAt, string(last.Outcome), last.Found
	since, err := c.catalog.Disturbed(ctx, db.Incarnation, last.StartedAt)
	v.Stale = since != ""
	return v, err
}

func driftCheckView(d catalog.DriftCheck, db catalog.Database) DriftCheckView {
	return DriftCheckView{
		ID: d.ID, Namespace: db.Namespace, Name: db.Name, Reason: d.Reason, Actor: d.Actor, Revision: d.Revision, StartedAt: d.StartedAt, EndedAt: d.EndedAt,
		Outcome: string(d.Outcome), Found: d.Found, Message: d.Message, Remedy: d.Remedy,
	}
}

func driftItems(items []stacks.DriftItem) []DriftItemView {
	out := make([]DriftItemView, 0, len(items))
	for _, i := range items {
		out = append(out, DriftItemView{Key: i.Key(), DriftItem: i})
	}
	return out
}

// Drift lists a database's checks for drift, newest first, and what is ignored.
func (c *Client) Drift(ctx context.Context, namespace, name string, limit int) (DriftView, error) {
	db, wish, err := c.driftOf(ctx, namespace, name)
	if err != nil {
		return DriftView{}, err
	}
	v := DriftView{Checks: []DriftCheckView{}}
	last, err := c.catalog.LastDrift(ctx, db.Incarnation)
	if err != nil && !isNotFound(err) {
		return DriftView{}, err
	}
	status, err := c.driftStatus(ctx, db, wish, last)
	if err != nil {
		return v, err
	}
	v.Status.Action = stacks.DriftNone
	if status != nil {
		v.Status = *status
	}
	checks, err := c.catalog.Drifts(ctx, db.Incarnation, limit)
	if err != nil {
		return v, err
	}
	for _, d := range checks {
		v.Checks = append(v.Checks, driftCheckView(d, db))
	}
	for _, p := range wish.Ignore {
		v.Rules = append(v.Rules, DriftRuleView{Pattern: p, Verb: DriftIgnore, By: "the spec"})
	}
	rules, err := c.catalog.DriftRules(ctx, db.Incarnation)
	if err != nil {
		return v, err
	}
	for _, r := range rules {
		verb := DriftIgnore
		if r.Accept {
			verb = DriftAccept
		}
		v.Rules = append(v.Rules, DriftRuleView{Pattern: r.Pattern, Verb: verb, Value: r.Found, By: r.By, At: r.At, Reason: r.Reason})
	}
	return v, nil
}

func (c *Client) driftOf(ctx context.Context, namespace, name string) (catalog.Database, stacks.Drift, error) {
	db, err := c.catalog.Database(ctx, namespace, name)
	if err != nil {
		return db, stacks.Drift{}, c.problem(err, "database "+namespace+"/"+name)
	}
	rev, err := c.catalog.Revision(ctx, db.Incarnation, 0)
	if err != nil {
		return db, stacks.Drift{}, fmt.Errorf("revision of %s/%s: %w", namespace, name, err)
	}
	return db, rev.Effective.Spec.Drift, nil
}
