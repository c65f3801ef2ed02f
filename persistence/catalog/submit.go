package catalog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"meridian/persistence/store"
	"meridian/stacks"
)

// SubmitInput is one accepted spec (already validated and defaulted by the caller, who read Revision before).
type SubmitInput struct {
	Effective stacks.Database
	Source    []byte
	Yes       bool
	Actor     string
	// Kind is RunApply or RunCheck.
	Kind stacks.RunKind
	// ExpectRevision is the database's Revision that the caller compared with (0: no such database); ErrMoved if it is another.
	ExpectRevision int64
	// Packages are the modules of those regions that have foreign ones; each was put before.
	Packages []RegionPackage
}

// Submit stores a revision and its run in one transaction and returns the run. An apply of the spec that is already the newest
// revision makes a new run but no new revision. A newer apply supersedes runs of the same database that are pending or awaiting.
// What a database depends on must be there (ErrDependency); an apply
// of it waits in NextRun. A check of an unknown database gets a provisional incarnation and makes no database row. ErrDestroying once a destroy run is past its yes.
func (c *Catalog) Submit(ctx context.Context, in SubmitInput) (Run, error) {
	runs, err := c.SubmitAll(ctx, []SubmitInput{in})
	if err != nil {
		return Run{}, err
	}
	return runs[0], nil
}

// SubmitAll is Submit for several databases: all of them, or none.
func (c *Catalog) SubmitAll(ctx context.Context, ins []SubmitInput) (runs []Run, err error) {
	effective := make([][]byte, len(ins))
	for i, in := range ins {
		if in.Kind != stacks.RunApply && in.Kind != stacks.RunCheck {
			return nil, fmt.Errorf("submit: a run of kind %q takes no spec", in.Kind)
		}
		if effective[i], err = canonical(in.Effective); err != nil {
			return nil, fmt.Errorf("submit: %w", err)
		}
	}
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		runs = make([]Run, 0, len(ins))
		for i, in := range ins {
			run, err := c.submit(tx, in, effective[i])
			if err != nil {
				return err
			}
			runs = append(runs, run)
		}
		for _, in := range ins {
			if in.Kind != stacks.RunApply {
				continue
			}
			if err := c.mustBeMet(tx, in.Effective); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return runs, nil
}

func (c *Catalog) submit(tx *store.Tx, in SubmitInput, effective []byte) (Run, error) {
	meta := in.Effective.Metadata
	d, err := livingDatabase(tx, meta.Namespace, meta.Name)
	unknown := errors.Is(err, ErrNotFound)
	if err != nil && !unknown {
		return Run{}, err
	}
	if d.Revision != in.ExpectRevision {
		return Run{}, fmt.Errorf("database %s/%s has revision %d, not %d: %w", meta.Namespace, meta.Name, d.Revision, in.ExpectRevision, ErrMoved)
	}
	if in.Kind == stacks.RunApply {
		if err := mayApply(tx); err != nil {
			return Run{}, err
		}
	}
	if unknown {
		if d, err = c.newDatabase(tx, in); err != nil {
			return Run{}, err
		}
	}
	if in.Kind == stacks.RunApply {
		if err := c.supersede(tx, d, in.Kind); err != nil {
			return Run{}, err
		}
	}
	number, err := putRevision(tx, d, in, effective)
	if err != nil {
		return Run{}, err
	}
	run, err := c.newRun(tx, d, Run{Kind: in.Kind, Revision: number, Yes: in.Yes, Actor: in.Actor})
	if err != nil {
		return Run{}, err
	}
	if in.Kind == stacks.RunCheck {
		return run, nil
	}
	if err := setDatabase(tx, d, "revision = ?", number); err != nil {
		return Run{}, err
	}
	if err := putDependencies(tx, d, in.Effective.Spec.DependsOn); err != nil {
		return Run{}, err
	}
	return run, record(tx, Audit{Actor: in.Actor, Verb: "submit", Subject: "run " + run.ID, Detail: fmt.Sprintf("revision %d", number), Namespace: d.Namespace, Name: d.Name, RunID: run.ID})
}

// newDatabase makes the incarnation that a first submission gets: a row for an apply, only an ID for a check.
func (c *Catalog) newDatabase(tx *store.Tx, in SubmitInput) (Database, error) {
	at := now()
	d := Database{Namespace: in.Effective.Metadata.Namespace, Name: in.Effective.Metadata.Name, Phase: DatabaseCreating, CreatedAt: at, UpdatedAt: at}
	for taken := true; taken; {
		d.Incarnation = newID()
		if err := tx.QueryRow("SELECT EXISTS (SELECT 1 FROM revisions WHERE incarnation = ?)", d.Incarnation).Scan(&taken); err != nil {
			return Database{}, fmt.Errorf("new incarnation: %w", err)
		}
	}
	if in.Kind == stacks.RunCheck {
		return d, nil
	}
	_, err := tx.Exec("INSERT INTO databases (incarnation, namespace, name, revision, phase, created_at, updated_at) VALUES (?, ?, ?, 0, ?, ?, ?)",
		d.Incarnation, d.Namespace, d.Name, d.Phase, at.UnixMicro(), at.UnixMicro())
	if err != nil {
		return Database{}, fmt.Errorf("new database %s/%s: %w", d.Namespace, d.Name, err)
	}
	return d, nil
}

// putRevision returns the number of the newest revision where the spec is the same, or of a new one. A draft becomes nobody's newest.
func putRevision(tx *store.Tx, d Database, in SubmitInput, effective []byte) (int64, error) {
	if d.Revision > 0 {
		newest, err := readRevision(tx, d.Incarnation, d.Revision)
		if err != nil {
			return 0, err
		}
		stored, err := canonical(newest.Effective)
		if err != nil {
			return 0, fmt.Errorf("revision %d: %w", d.Revision, err)
		}
		same, err := samePackages(tx, d.Incarnation, d.Revision, in.Packages)
		if err != nil {
			return 0, err
		}
		if same && bytes.Equal(stored, effective) {
			return d.Revision, nil
		}
	}
	var last int64
	if err := tx.QueryRow("SELECT coalesce(max(number), 0) FROM revisions WHERE incarnation = ?", d.Incarnation).Scan(&last); err != nil {
		return 0, fmt.Errorf("newest revision: %w", err)
	}
	source := in.Source
	if source == nil {
		source = []byte{}
	}
	_, err := tx.Exec("INSERT INTO revisions (incarnation, number, source, effective, draft, created_at, actor) VALUES (?, ?, ?, ?, ?, ?, ?)",
		d.Incarnation, last+1, source, string(effective), in.Kind == stacks.RunCheck, now().UnixMicro(), in.Actor)
	if err != nil {
		return 0, fmt.Errorf("revision %d: %w", last+1, err)
	}
	return last + 1, putPackages(tx, d.Incarnation, last+1, in.Packages)
}

// canonical is the text by which two effective specs are the same or not.
func canonical(d stacks.Database) ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var read stacks.Database
	if err := json.Unmarshal(text, &read); err != nil {
		return nil, err
	}
	return json.Marshal(read)
}

// newRun makes a pending run of a database.
func (c *Catalog) newRun(tx *store.Tx, d Database, r Run) (Run, error) {
	r.Namespace, r.Name, r.Incarnation, r.Number, r.Phase = d.Namespace, d.Name, d.Incarnation, d.LastRun+1, stacks.PhasePending
	r.ID = fmt.Sprintf("%s-%d", r.Incarnation, r.Number)
	r.CreatedAt = now()
	r.MovedAt = r.CreatedAt
	_, err := tx.Exec(`INSERT INTO runs (id, namespace, name, incarnation, number, kind, revision, phase, yes, actor, created_at, moved_at, remedy) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Namespace, r.Name, r.Incarnation, r.Number, r.Kind, r.Revision, r.Phase, r.Yes, r.Actor, r.CreatedAt.UnixMicro(), r.MovedAt.UnixMicro(), r.Remedy)
	if err != nil {
		return Run{}, fmt.Errorf("new run %s: %w", r.ID, err)
	}
	if _, err := tx.Exec("UPDATE databases SET last_run = ? WHERE incarnation = ?", r.Number, r.Incarnation); err != nil {
		return Run{}, fmt.Errorf("new run %s: %w", r.ID, err)
	}
	return r, tx.Notify("run", r.ID)
}

// supersede ends the runs that wait, for a newer one of a kind. ErrDestroying once a destroy run works; a destruction may wait behind one
// that is being cancelled.
func (c *Catalog) supersede(tx *store.Tx, d Database, kind stacks.RunKind) error {
	open, err := c.openRuns(tx, d.Incarnation)
	if err != nil {
		return err
	}
	for _, r := range open {
		switch {
		case r.Phase == stacks.PhasePending || r.Phase == stacks.PhaseAwaiting:
			if err := c.end(tx, r, Move{To: stacks.PhaseSuperseded, Reason: "Superseded", Message: "a newer run took its place"}); err != nil {
				return err
			}
		case r.Kind == stacks.RunDestroy && r.Phase != stacks.PhasePlanning && !(r.Cancel && kind == stacks.RunDestroy):
			return fmt.Errorf("database %s/%s, run %s: %w", d.Namespace, d.Name, r.ID, ErrDestroying)
		}
	}
	return nil
}

// SubmitDestroy stores a destroy run; it supersedes runs that are pending or awaiting. A destroy run that is past its yes is
// returned instead of a second one, unless it is being cancelled: then the second waits behind it.
func (c *Catalog) SubmitDestroy(ctx context.Context, namespace, name, actor string) (run Run, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := livingDatabase(tx, namespace, name)
		if err != nil {
			return err
		}
		if err := mayApply(tx); err != nil {
			return err
		}
		working, err := c.workingDestroy(tx, d)
		if err != nil {
			return err
		}
		if working != nil && !working.Cancel {
			run = *working
			return nil
		}
		if err := mustBeFree(tx, namespace, name); err != nil {
			return err
		}
		if err := c.supersede(tx, d, stacks.RunDestroy); err != nil {
			return err
		}
		if run, err = c.newRun(tx, d, Run{Kind: stacks.RunDestroy, Revision: d.Revision, Actor: actor}); err != nil {
			return err
		}
		if err := tx.Notify("database", namespace+"/"+name); err != nil {
			return err
		}
		return record(tx, Audit{Actor: actor, Verb: "destroy", Subject: "run " + run.ID, Namespace: namespace, Name: name, RunID: run.ID})
	})
	return run, err
}

func (c *Catalog) workingDestroy(tx *store.Tx, d Database) (*Run, error) {
	r, err := c.scanRun(tx.QueryRow("SELECT "+runColumns+" FROM runs WHERE incarnation = ? AND kind = ? AND ended_at IS NULL AND phase IN (?, ?, ?) ORDER BY number LIMIT 1",
		d.Incarnation, stacks.RunDestroy, stacks.PhaseUnlinking, stacks.PhaseApplying, stacks.PhaseLinking))
	if errors.Is(err, ErrNotFound) || errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.Regions, err = c.readRegions(tx, r.ID)
	return &r, err
}
