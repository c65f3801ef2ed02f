package apitest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"meridian/orchestrator"
	"meridian/stacks"
)

// DriftKey is what every check of a fake finds, until somebody ignores it.
const DriftKey = "ankara: module.database.localdb_postgres.this.settings.work_mem"

// Drift lists the checks that were asked for.
func (f *Fake) Drift(_ context.Context, namespace, name string, limit int) (orchestrator.DriftView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := orchestrator.DriftView{Status: orchestrator.DriftStatusView{Every: "1h0m0s", Action: stacks.DriftReport}, Checks: []orchestrator.DriftCheckView{}}
	if _, err := f.database(namespace, name); err != nil {
		return v, err
	}
	for _, c := range slices.Backward(f.drift) {
		if c.Namespace == namespace && c.Name == name && len(v.Checks) < limit {
			v.Checks = append(v.Checks, f.judged(c))
		}
	}
	for _, k := range f.ignored {
		v.Rules = append(v.Rules, orchestrator.DriftRuleView{Pattern: k, Verb: orchestrator.DriftIgnore, By: "ada"})
	}
	return v, nil
}

// judged is a check as it reads now.
func (f *Fake) judged(c orchestrator.DriftCheckView) orchestrator.DriftCheckView {
	c.Outcome, c.Found, c.Drift = "drifted", 1, slices.Clone(c.Drift)
	if slices.Contains(f.ignored, DriftKey) {
		c.Outcome, c.Found, c.Drift[0].Ignored = "clean", 0, "ada"
	}
	return c
}

// DriftCheck shows a check.
func (f *Fake) DriftCheck(_ context.Context, namespace, name, check string) (orchestrator.DriftCheckView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.database(namespace, name); err != nil {
		return orchestrator.DriftCheckView{}, err
	}
	for _, c := range slices.Backward(f.drift) {
		if c.Namespace == namespace && c.Name == name && (check == "" || c.ID == check) {
			return f.judged(c), nil
		}
	}
	return orchestrator.DriftCheckView{}, notFound("a check of " + namespace + "/" + name)
}

// CheckDrift makes a check that has ended.
func (f *Fake) CheckDrift(_ context.Context, namespace, name, actor string) (orchestrator.DriftCheckView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "check drift "+actor)
	if _, err := f.database(namespace, name); err != nil {
		return orchestrator.DriftCheckView{}, err
	}
	now := time.Now().UTC()
	c := orchestrator.DriftCheckView{
		ID: fmt.Sprintf("c-%d", len(f.drift)+1), Namespace: namespace, Name: name, Reason: "asked", Actor: actor, Revision: 1, StartedAt: now, EndedAt: &now,
		Drift: []orchestrator.DriftItemView{{Key: DriftKey, SpecField: "spec.engine.parameters.work_mem", DriftItem: stacks.DriftItem{
			Kind: stacks.DriftChanged, Region: "ankara", Subject: "module.database.localdb_postgres.this", Path: "settings.work_mem", Want: `"8MB"`, Found: `"64MB"`,
		}}},
	}
	f.drift = append(f.drift, c)
	return f.judged(c), nil
}

// SayDrift remembers what is ignored or accepted.
func (f *Fake) SayDrift(ctx context.Context, in orchestrator.DriftRuleRequest) (orchestrator.DriftCheckView, error) {
	f.mu.Lock()
	f.Actors = append(f.Actors, in.Verb+" drift "+in.Actor)
	for _, k := range in.Keys {
		f.ignored = slices.DeleteFunc(f.ignored, func(x string) bool { return x == k })
		if in.Verb != orchestrator.DriftWatch {
			f.ignored = append(f.ignored, k)
		}
	}
	f.mu.Unlock()
	return f.DriftCheck(ctx, in.Namespace, in.Name, "")
}

// Remediate submits a run as an apply does, of the spec that was applied last.
func (f *Fake) Remediate(ctx context.Context, namespace, name string, yes bool, actor string) (orchestrator.RunView, error) {
	if _, err := f.DriftCheck(ctx, namespace, name, ""); err != nil {
		return orchestrator.RunView{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "remediate "+actor)
	db, err := f.database(namespace, name)
	if err != nil {
		return orchestrator.RunView{}, err
	}
	r := f.newRun(*db.Spec, stacks.RunApply, actor)
	f.plan(r, yes)
	if r.last().Approved {
		f.apply(r)
	}
	return r.last(), nil
}
