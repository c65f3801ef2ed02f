package catalog

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"meridian/persistence/store"
	"meridian/stacks"
)

// ApprovedPlan is what a person said yes to, kept when a run is planned again because its apply was interrupted.
type ApprovedPlan struct {
	Digest  string           `json:"digest"`
	Actor   string           `json:"actor"`
	Drops   []stacks.Change  `json:"drops,omitempty"`
	Regions []ApprovedRegion `json:"regions"`
}

// ApprovedRegion is one region of it. Changes are comparable only with those of the same rendering of the stack.
type ApprovedRegion struct {
	Region      string          `json:"region"`
	StackDigest string          `json:"stackDigest"`
	Changes     []stacks.Change `json:"changes,omitempty"`
	Second      *SecondStep     `json:"second,omitempty"`
	// Restored are the attributes that plans under this yes were to bring back to what the state said before an interruption. Where such a
	// plan is interrupted too, the state may say by then what the first interruption left, and nobody could tell any more.
	Restored []stacks.Change `json:"restored,omitempty"`
}

// remember adds what the plans of a run were to bring back, before they are made anew.
func (a *ApprovedPlan) remember(regions []RunRegion) {
	for i := range a.Regions {
		known := &a.Regions[i]
		j := slices.IndexFunc(regions, func(x RunRegion) bool { return x.Region == known.Region })
		if j < 0 {
			continue
		}
		for _, c := range regions[j].Changes {
			back := stacks.Change{Address: c.Address}
			for _, x := range c.Attributes {
				if slices.Contains(c.Restores, x.Path) && !known.restored(c.Address, x) {
					back.Attributes = append(back.Attributes, x)
				}
			}
			if len(back.Attributes) > 0 {
				known.Restored = append(known.Restored, back)
			}
		}
	}
}

// restored reports whether a plan under this yes was to bring an attribute back to the same value.
func (a ApprovedRegion) restored(address string, to stacks.AttributeChange) bool {
	return slices.ContainsFunc(a.Restored, func(c stacks.Change) bool {
		return c.Address == address && slices.ContainsFunc(c.Attributes, func(x stacks.AttributeChange) bool { return x.Path == to.Path && x.After == to.After })
	})
}

// withRestored marks what still goes back to what the state said before an interruption.
func (a ApprovedRegion) withRestored(now []stacks.Change) []stacks.Change {
	out := slices.Clone(now)
	for i, c := range out {
		for _, x := range c.Attributes {
			if !x.Sensitive && !x.Unknown && !slices.Contains(c.Restores, x.Path) && a.restored(c.Address, x) {
				out[i].Restores = append(slices.Clone(out[i].Restores), x.Path)
			}
		}
	}
	return out
}

// covers says what of a region's new plan was not approved; "" where all of it was. A plan that lifts a protection was shown with the
// destruction after it; once that is lifted, the destruction alone is planned.
func (a ApprovedRegion) covers(now RunRegion) string {
	digest, changes := a.StackDigest, a.Changes
	switch {
	case a.Second != nil && now.Second == nil:
		digest, changes = a.Second.StackDigest, a.Second.Changes
	case a.Second == nil && now.Second != nil:
		return "that a protection is lifted first was not part of it"
	case now.Second != nil:
		if a.Second.StackDigest != now.Second.StackDigest {
			return "the stack is rendered otherwise"
		}
		if ok, why := stacks.Covers(a.Second.Changes, now.Second.Changes); !ok {
			return why
		}
	}
	switch {
	case digest != now.StackDigest:
		return "the stack is rendered otherwise"
	case len(now.Changes) == 0:
		return "the plan does not show what it changes"
	}
	if ok, why := stacks.Covers(changes, a.withRestored(now.Changes), now.Recovery.halfway()...); !ok {
		return why
	}
	return ""
}

// Covers answers whether this yes is a yes to a run's new plan too, and if not, why.
func (a ApprovedPlan) Covers(r Run) (ok bool, why string) {
	if ok, why := stacks.Covers(a.Drops, r.Drops); !ok {
		return false, why
	}
	for _, now := range r.Regions {
		if now.Phase != stacks.RegionPlanned {
			continue // nothing more is applied there
		}
		i := slices.IndexFunc(a.Regions, func(x ApprovedRegion) bool { return x.Region == now.Region })
		if i < 0 {
			return false, "region " + now.Region + " was not part of it"
		}
		if why := a.Regions[i].covers(now); why != "" {
			return false, why + " in " + now.Region
		}
	}
	return true, ""
}

// approvedPlan is what the person who approved the run's present plan said yes to; nil where nobody did (a yes that was carried over is
// one to the plan that it came from).
func approvedPlan(tx *store.Tx, r Run) (*ApprovedPlan, error) {
	a := ApprovedPlan{Digest: r.PlanDigest, Drops: r.Drops}
	err := tx.QueryRow("SELECT actor FROM approvals WHERE run = ? AND digest = ? AND dropped = 0 AND carried_from = ''", r.ID, r.PlanDigest).Scan(&a.Actor)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("approval of run %s: %w", r.ID, err)
	}
	for _, x := range r.Regions {
		if x.StackDigest != "" {
			a.Regions = append(a.Regions, ApprovedRegion{Region: x.Region, StackDigest: x.StackDigest, Changes: x.Changes, Second: x.Second})
		}
	}
	return &a, nil
}

// carry writes the approval of a new plan that the approved one covers. Where there is none, or it does not cover it, it says why, or "".
func (c *Catalog) carry(tx *store.Tx, r Run) (why string, err error) {
	if r.Approved == nil || !NeedsYes(r) || r.PlanDigest == "" {
		return "", nil
	}
	if ok, why := r.Approved.Covers(r); !ok {
		return why, nil
	}
	_, err = tx.Exec(`INSERT INTO approvals (run, digest, actor, at, carried_from) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (run, digest) DO UPDATE SET dropped = 0 WHERE approvals.dropped = 1`,
		r.ID, r.PlanDigest, r.Approved.Actor, now().UnixMicro(), r.Approved.Digest)
	if err != nil {
		return "", fmt.Errorf("carry over the approval of run %s: %w", r.ID, err)
	}
	return "", record(tx, Audit{
		Actor: r.Approved.Actor, Verb: "carry-over", Subject: "run " + r.ID, Detail: "the yes to plan " + r.Approved.Digest + " covers plan " + r.PlanDigest,
		Namespace: r.Namespace, Name: r.Name, RunID: r.ID,
	})
}
