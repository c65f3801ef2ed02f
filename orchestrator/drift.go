package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// maxOpenChecks is how many of a database's newest checks may all be under way before one that is asked for joins them: they look one after another.
const maxOpenChecks = 3

// CheckDrift asks for a check of a database now, and returns it. It does not join a check that is at work already, which may have looked before
// whoever asks changed something; only where several wait, the newest of them is returned instead.
func (c *Client) CheckDrift(ctx context.Context, namespace, name, actor string) (DriftCheckView, error) {
	db, err := c.catalog.Database(ctx, namespace, name)
	if err != nil {
		return DriftCheckView{}, c.problem(err, "database "+namespace+"/"+name)
	}
	if db.Applied == 0 {
		return DriftCheckView{}, &Problem{
			Code: CodeConflict, Title: fmt.Sprintf("nothing of %s/%s was applied yet, so nothing can have drifted", namespace, name), Next: "see what became of its runs: meridian run list",
		}
	}
	checks, err := c.catalog.Drifts(ctx, db.Incarnation, maxOpenChecks)
	if err != nil {
		return DriftCheckView{}, err
	}
	over := slices.ContainsFunc(checks, func(d catalog.DriftCheck) bool { return d.EndedAt != nil })
	if len(checks) == maxOpenChecks && !over {
		return driftCheckView(checks[0], db), nil
	}
	check, err := c.catalog.BeginDrift(ctx, catalog.DriftCheck{Incarnation: db.Incarnation, Reason: catalog.DriftAsked, Actor: actor})
	if err != nil {
		return DriftCheckView{}, c.problem(err, "database "+namespace+"/"+name)
	}
	c.wakeDrift(ctx, check)
	return driftCheckView(check, db), nil
}

// wakeDrift wakes what works on a check. That Temporal is away is no error: the row is there, and the reconciler looks.
func (c *Client) wakeDrift(ctx context.Context, check catalog.DriftCheck) {
	c.mu.Lock()
	w, r := c.waker, c.reconciler
	c.mu.Unlock()
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := errors.Join(r.driftLocations(ctx, check.ID), w.drift(ctx, check)); err != nil {
		c.logger.Warn("not woken; the reconciler will", "check", check.ID, "error", err)
	}
}

// DriftCheck reads one check of a database with what it found; "" is the newest that saw something, else the newest.
func (c *Client) DriftCheck(ctx context.Context, namespace, name, id string) (DriftCheckView, error) {
	db, wish, err := c.driftOf(ctx, namespace, name)
	if err != nil {
		return DriftCheckView{}, err
	}
	var check catalog.DriftCheck
	if id == "" {
		check, err = c.catalog.LastDrift(ctx, db.Incarnation)
	} else {
		check, err = c.catalog.Drift(ctx, id)
	}
	if errors.Is(err, catalog.ErrNotFound) || err == nil && check.Incarnation != db.Incarnation {
		what := "check " + id
		if id == "" {
			what = "a check"
		}
		return DriftCheckView{}, &Problem{Code: CodeNotFound, Title: fmt.Sprintf("%s/%s has no %s", namespace, name, strings.TrimPrefix(what, "a ")), Next: "make one: meridian drift check " + name}
	}
	if err != nil {
		return DriftCheckView{}, err
	}
	return c.fullDrift(ctx, check, db, wish)
}

// fullDrift is a check with its items, judged by what is ignored now.
func (c *Client) fullDrift(ctx context.Context, check catalog.DriftCheck, db catalog.Database, wish stacks.Drift) (DriftCheckView, error) {
	rules, err := c.driftRules(ctx, db.Incarnation)
	if err != nil {
		return DriftCheckView{}, err
	}
	v := driftCheckView(check, db)
	check.Drift, v.Found = stacks.JudgeDrift(check.Drift, wish.Ignore, rules)
	v.Drift, v.Unapplied = driftItems(check.Drift), driftItems(check.Unapplied)
	if err := c.specFields(ctx, db, v.Drift); err != nil {
		return v, err
	}
	return v, nil
}

func (c *Client) driftRules(ctx context.Context, incarnation string) ([]stacks.DriftRule, error) {
	rows, err := c.catalog.DriftRules(ctx, incarnation)
	if err != nil {
		return nil, err
	}
	out := make([]stacks.DriftRule, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.DriftRule)
	}
	return out, nil
}

// SayDrift ignores, accepts or watches drift, and returns the newest check as it reads then. Accepting takes each key's value as the newest
// check found it: any other value is drift again. Nothing in the world, the state or the spec changes by it.
func (c *Client) SayDrift(ctx context.Context, in DriftRuleRequest) (DriftCheckView, error) {
	db, _, err := c.driftOf(ctx, in.Namespace, in.Name)
	if err != nil {
		return DriftCheckView{}, err
	}
	if len(in.Keys) == 0 {
		return DriftCheckView{}, &Problem{Code: CodeRefused, Title: "no drift is named", Next: "copy a key that meridian drift show prints"}
	}
	var say []func() error
	for _, key := range in.Keys {
		rule := catalog.DriftRule{DriftRule: stacks.DriftRule{Pattern: key, By: in.Actor}, Reason: in.Reason}
		switch in.Verb {
		case DriftIgnore:
			if why := stacks.CheckDriftPattern(key); why != "" {
				return DriftCheckView{}, &Problem{Code: CodeRefused, Title: why, Next: "copy a key that meridian drift show prints; * stands for anything"}
			}
			say = append(say, func() error { return c.catalog.PutDriftRule(ctx, db.Incarnation, rule) })
		case DriftAccept:
			item, err := c.acceptable(ctx, db, key)
			if err != nil {
				return DriftCheckView{}, err
			}
			rule.Accept, rule.Kind, rule.Found = true, item.Kind, item.Found
			say = append(say, func() error { return c.catalog.PutDriftRule(ctx, db.Incarnation, rule) })
		case DriftWatch:
			say = append(say, func() error { return c.catalog.DropDriftRule(ctx, db.Incarnation, key, in.Actor) })
		default:
			return DriftCheckView{}, &Problem{Code: CodeRefused, Title: fmt.Sprintf("unknown verb %q", in.Verb), Next: "it is one of ignore, accept, watch"}
		}
	}
	for i, f := range say {
		if err := f(); err != nil {
			return DriftCheckView{}, c.problem(err, "a rule for "+in.Keys[i])
		}
	}
	v, err := c.DriftCheck(ctx, in.Namespace, in.Name, "")
	var p *Problem
	if errors.As(err, &p) && p.Code == CodeNotFound { // nothing was checked yet
		return DriftCheckView{Namespace: in.Namespace, Name: in.Name}, nil
	}
	return v, err
}

// acceptable finds what the newest check says of a key, where its value can be accepted.
func (c *Client) acceptable(ctx context.Context, db catalog.Database, key string) (stacks.DriftItem, error) {
	last, err := c.catalog.LastDrift(ctx, db.Incarnation)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return stacks.DriftItem{}, err
	}
	i := slices.IndexFunc(last.Drift, func(i stacks.DriftItem) bool { return i.Key() == key })
	switch {
	case i < 0:
		return stacks.DriftItem{}, &Problem{
			Code: CodeNotFound, Title: fmt.Sprintf("the newest check found no drift %q", key), Next: "copy a key that meridian drift show prints",
		}
	case last.Drift[i].Kind != stacks.DriftChanged || last.Drift[i].Path == "" || last.Drift[i].Sensitive:
		return stacks.DriftItem{}, &Problem{
			Code: CodeRefused, Title: fmt.Sprintf("%s has no value that could be accepted", key), Detail: "only the value of an attribute can, where it is not sensitive",
			Next: "put it back with meridian drift remediate, or leave it alone with meridian drift ignore",
		}
	}
	return last.Drift[i], nil
}

// Remediate submits a run that puts back what the newest check found. It is a run like any other, of the revision that was applied last; it
// destroys and replaces nothing.
func (c *Client) Remediate(ctx context.Context, namespace, name string, yes bool, actor string) (RunView, error) {
	db, wish, err := c.driftOf(ctx, namespace, name)
	if err != nil {
		return RunView{}, err
	}
	last, err := c.catalog.LastDrift(ctx, db.Incarnation)
	if errors.Is(err, catalog.ErrNotFound) {
		return RunView{}, &Problem{Code: CodeConflict, Title: fmt.Sprintf("%s/%s was never checked", namespace, name), Next: "check it first: meridian drift check " + name}
	}
	if err != nil {
		return RunView{}, err
	}
	rules, err := c.driftRules(ctx, db.Incarnation)
	if err != nil {
		return RunView{}, err
	}
	if _, left := stacks.JudgeDrift(last.Drift, wish.Ignore, rules); left == 0 {
		return RunView{}, &Problem{Code: CodeConflict, Title: "the newest check found nothing to put back", Next: "check again: meridian drift check " + name}
	}
	run, err := c.catalog.SubmitRemedy(ctx, catalog.RemedyInput{Check: last.ID, Yes: yes, Actor: actor})
	if errors.Is(err, catalog.ErrRefused) && !errors.Is(err, catalog.ErrReadOnly) {
		return RunView{}, &Problem{
			Code: CodeConflict, Title: "the drift is not put back", Detail: err.Error(),
			Next: "let open runs end (meridian run list), apply what was not applied, then check again: meridian drift check " + name,
		}
	}
	if err != nil {
		return RunView{}, c.problem(err, "check "+last.ID)
	}
	c.wake(ctx, run)
	return c.view(ctx, run)
}
