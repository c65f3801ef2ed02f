package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Run is one operation on a database. ID is "<incarnation>-<number>".
type Run struct {
	ID          string
	Namespace   string
	Name        string
	Incarnation string
	Number      int64
	Kind        stacks.RunKind
	Revision    int64
	Phase       stacks.Phase
	Reason      string // for machines, like "RegionFailed"
	Message     string // for people
	// PlanDigest is the run's digest, once all regions are planned; it changes if they are planned again.
	PlanDigest string
	// NeedsApproval says why a yes is needed beyond --yes ("destroys default/orders in ankara"), or "".
	NeedsApproval string
	// Drops are the databases and users that the run removes inside of the servers, beside terraform, once it is planned.
	Drops []stacks.Change
	// Approved is the plan that a person said yes to and whose apply was interrupted: its yes may cover the next plan.
	Approved *ApprovedPlan
	// Yes is the yes given with the submission; it covers what is not dangerous.
	Yes    bool
	Cancel bool
	Actor  string
	// Remedy is the check whose drift the run puts back, "" of any other run.
	Remedy    string
	CreatedAt time.Time
	MovedAt   time.Time
	EndedAt   *time.Time
	Regions   []RunRegion
	// Diagnostics tell what failed, sorted by region.
	Diagnostics []stacks.Diagnostic
}

// RunRegion is one region of a run.
type RunRegion struct {
	Region  string
	Phase   stacks.RegionPhase
	Destroy bool // this run removes the region
	// StackDigest, Artifact and ArtifactDigest are set once planned; ArtifactDigest is empty where nothing changes.
	StackDigest    string
	Artifact       string
	ArtifactDigest string
	StateSerial    int64
	PlanStep       string // the newest plan step's ID
	ApplyStep      string
	// Plans counts how often this region was planned in this run.
	Plans   int
	Message string
	MovedAt time.Time
	Changes []stacks.Change // from the artifact; sensitive values are never in it
	// Recovery is what was found of interrupted applies before this plan; nil where nobody had to look.
	Recovery *Recovery
	// Second is set where the plan only lifts a protection: what follows it, under the same yes.
	Second *SecondStep
}

// SecondStep is the destruction of a region whose protection has to be lifted first, as people see it with the plan of the lifting. It is
// planned anew once that is applied.
type SecondStep struct {
	StackDigest    string          `json:"stackDigest"`
	ArtifactDigest string          `json:"artifactDigest"`
	Changes        []stacks.Change `json:"changes,omitempty"`
}

// Digest is what a yes to the region's plan is a yes to: the plan file, and the second step's where there is one.
func (r RunRegion) Digest() string {
	if r.Second == nil {
		return r.ArtifactDigest
	}
	return stacks.StepsDigest(r.ArtifactDigest, r.Second.ArtifactDigest)
}

// AllChanges are the changes of the region's plan and of its second step, which are marked so.
func (r RunRegion) AllChanges() []stacks.Change {
	out := slices.Clone(r.Changes)
	if r.Second != nil {
		for _, c := range r.Second.Changes {
			c.Then = true
			out = append(out, c)
		}
	}
	return out
}

// NeedsYes reports whether a planned run may only go on with an approval of exactly its plan: it changes something, and either is
// dangerous (NeedsApproval) or nobody said yes in advance. A check never does.
func NeedsYes(run Run) bool {
	if run.Kind == stacks.RunCheck {
		return false
	}
	if run.NeedsApproval != "" {
		return true
	}
	return !run.Yes && run.HasChanges()
}

// HasChanges reports whether a planned run changes something. A region that is not known to be unchanged counts as a change.
func (r Run) HasChanges() bool {
	return len(r.Regions) == 0 || slices.ContainsFunc(r.Regions, func(x RunRegion) bool { return !x.Unchanged() })
}

// Unchanged reports whether the region was planned and nothing changes in it.
func (r RunRegion) Unchanged() bool {
	return r.ArtifactDigest == "" && (r.StackDigest != "" || r.Phase == stacks.RegionUnchanged)
}

// runText is what of a run may hold words of terraform or a cloud: sealed.
type runText struct {
	Message     string              `json:"message,omitempty"`
	Drops       []stacks.Change     `json:"drops,omitempty"`
	Diagnostics []stacks.Diagnostic `json:"diagnostics,omitempty"`
	Approved    *ApprovedPlan       `json:"approved,omitempty"`
}

// regionText is the same for a region.
type regionText struct {
	Message  string          `json:"message,omitempty"`
	Changes  []stacks.Change `json:"changes,omitempty"`
	Recovery *Recovery       `json:"recovery,omitempty"`
	Second   *SecondStep     `json:"second,omitempty"`
}

const runColumns = `id, namespace, name, incarnation, number, kind, revision, phase, reason, plan_digest, needs_approval, yes, cancel, actor, created_at, moved_at, ended_at, remedy, sealed`

func (c *Catalog) scanRun(row scanner) (Run, error) {
	var r Run
	var created, moved int64
	var ended sql.NullInt64
	var sealed []byte
	err := row.Scan(&r.ID, &r.Namespace, &r.Name, &r.Incarnation, &r.Number, &r.Kind, &r.Revision, &r.Phase, &r.Reason, &r.PlanDigest, &r.NeedsApproval,
		&r.Yes, &r.Cancel, &r.Actor, &created, &moved, &ended, &r.Remedy, &sealed)
	if err != nil {
		return Run{}, notFound(err)
	}
	r.CreatedAt, r.MovedAt, r.EndedAt = fromMicros(created), fromMicros(moved), optionalTime(ended)
	var text runText
	if err := c.unsealJSON(sealed, rowContext("runs", r.ID), &text); err != nil {
		return Run{}, err
	}
	r.Message, r.Drops, r.Diagnostics, r.Approved = text.Message, text.Drops, text.Diagnostics, text.Approved
	return r, nil
}

// readRun reads a run with its regions within tx; ErrNotFound.
func (c *Catalog) readRun(tx *store.Tx, id string) (Run, error) {
	r, err := c.scanRun(tx.QueryRow("SELECT "+runColumns+" FROM runs WHERE id = ?", id))
	if err != nil {
		return Run{}, fmt.Errorf("run %s: %w", id, err)
	}
	r.Regions, err = c.readRegions(tx, id)
	return r, err
}

// Run reads a run with its regions; ErrNotFound.
func (c *Catalog) Run(ctx context.Context, id string) (r Run, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		r, err = c.readRun(tx, id)
		return err
	})
	return r, err
}

// RunFilter selects runs; empty fields select all.
type RunFilter struct {
	Namespace, Name string
	Open            bool // only runs that have not ended
	Limit           int
}

// Runs lists runs, newest first.
func (c *Catalog) Runs(ctx context.Context, f RunFilter) (out []Run, err error) {
	q := "SELECT " + runColumns + " FROM runs WHERE 1 = 1"
	var args []any
	if f.Namespace != "" {
		q, args = q+" AND namespace = ?", append(args, f.Namespace)
	}
	if f.Name != "" {
		q, args = q+" AND name = ?", append(args, f.Name)
	}
	if f.Open {
		q += " AND ended_at IS NULL"
	}
	q += " ORDER BY created_at DESC, number DESC"
	if f.Limit > 0 {
		q, args = q+" LIMIT ?", append(args, f.Limit)
	}
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out, err = c.queryRuns(tx, q, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return out, nil
}

// AllRunsOpen lists every run that has not ended, of every kind, newest first: what the reconciler compares with workflows.
func (c *Catalog) AllRunsOpen(ctx context.Context) ([]Run, error) {
	return c.Runs(ctx, RunFilter{Open: true})
}

func (c *Catalog) queryRuns(tx *store.Tx, q string, args ...any) ([]Run, error) {
	rows, err := tx.Query(q, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []Run
	for rows.Next() {
		r, err := c.scanRun(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return out, c.readRegionsOf(tx, out)
}

// readRegionsOf reads the regions of runs, many with one query.
func (c *Catalog) readRegionsOf(tx *store.Tx, runs []Run) error {
	const atOnce = 500
	for part := range slices.Chunk(runs, atOnce) {
		ids, of := make([]any, len(part)), map[string]*Run{}
		for i := range part {
			ids[i], of[part[i].ID] = part[i].ID, &part[i]
		}
		err := eachOf(tx, "SELECT run, "+regionColumns+" FROM run_regions WHERE run IN (*) ORDER BY run, region", ids, func(row scanner) error {
			var run string
			r, err := c.scanRegion(prefixed{row, &run}, &run)
			if err == nil {
				of[run].Regions = append(of[run].Regions, r)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// openRuns lists an incarnation's runs that have not ended, without checks, oldest first.
func (c *Catalog) openRuns(tx *store.Tx, incarnation string) ([]Run, error) {
	return c.queryRuns(tx, "SELECT "+runColumns+" FROM runs WHERE incarnation = ? AND kind <> ? AND ended_at IS NULL ORDER BY number", incarnation, stacks.RunCheck)
}
