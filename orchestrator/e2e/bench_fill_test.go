package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// original is a database that a server made and checked for drift: what it wrote of it is written again for each copy, by the code of catalog and
// journal that the server and its runners call, in their order. Only no terraform runs, and no database is behind a copy.
type original struct {
	revision catalog.Revision
	run      catalog.Run
	log      []catalog.LogLine
	secrets  []string
	links    []catalog.Link
	check    catalog.DriftCheck
	looks    []originalStep
	regions  []originalRegion
}

// originalRegion is one region of it.
type originalRegion struct {
	id       stacks.StackID
	row      catalog.RunRegion
	place    stacks.Placement
	endpoint stacks.Endpoint
	state    journal.State
	plan     originalStep
	apply    originalStep
}

// originalStep is one step of terraform with what it left.
type originalStep struct {
	step     journal.Step
	result   journal.Result
	artifact *journal.Artifact
	events   []journal.Event
	head     journal.Head
}

// filled are the tables in which a copy has as many rows as the original. Events are in as many batches as a runner happened to ship.
var filled = []string{
	"databases", "revisions", "runs", "run_regions", "placements", "secrets", "endpoints", "links", "audit", "run_log", "heads", "steps", "results", "states", "artifacts", "drift_checks",
}

// populate puts copies of a database beside it, called d00000 and on. The server must have stopped: the store is filled where syncing costs
// nothing, and laid back.
func populate(b *testing.B, s *site, name string, copies int) {
	b.Helper()
	dir := s.data
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		if dir, err = os.MkdirTemp("/dev/shm", "m-fill-"); err != nil {
			b.Fatal(err)
		}
		defer os.RemoveAll(dir)
		copyFile(b, filepath.Join(s.data, store.FileName), filepath.Join(dir, store.FileName))
	}
	ctx := context.Background()
	st, err := store.Open(ctx, dir)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := keyring.Open(keyring.Source{Dir: s.data}, false)
	if err != nil {
		b.Fatal(err)
	}
	m := &meridian{site: s, store: st, catalog: catalog.New(st, keys), journal: journal.New(st, keys)}
	o := m.original(name)
	before := m.counts()
	for i := range copies {
		if err := m.put(ctx, o, i); err != nil {
			b.Fatalf("copy %d: %v", i, err)
		}
		if i > 0 {
			continue
		}
		for table, n := range m.counts() {
			if n != 2*before[table] {
				b.Fatalf("a database that the server made has %d rows in %s, its copy %d", before[table], table, n-before[table])
			}
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	if dir != s.data {
		copyFile(b, filepath.Join(dir, store.FileName), filepath.Join(s.data, store.FileName))
	}
}

func copyFile(b *testing.B, from, to string) {
	b.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// counts is how many rows each of the tables has that are filled.
func (m *meridian) counts() map[string]int {
	m.site.t.Helper()
	out := map[string]int{}
	err := m.store.Read(context.Background(), func(tx *store.Tx) error {
		for _, table := range filled {
			var n int
			if err := tx.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
				return err
			}
			out[table] = n
		}
		return nil
	})
	if err != nil {
		m.site.t.Fatal(err)
	}
	return out
}

// original reads all that the server wrote of its one database.
func (m *meridian) original(name string) *original {
	m.site.t.Helper()
	ctx := context.Background()
	o := &original{}
	must := func(err error) {
		m.site.t.Helper()
		if err != nil {
			m.site.t.Fatal(err)
		}
	}
	db, err := m.catalog.Database(ctx, stacks.DefaultNamespace, name)
	must(err)
	o.revision, err = m.catalog.Revision(ctx, db.Incarnation, db.Applied)
	must(err)
	o.run, err = m.catalog.Run(ctx, fmt.Sprintf("%s-%d", db.Incarnation, db.LastRun))
	must(err)
	o.log, err = m.catalog.LogLines(ctx, o.run.ID, 0)
	must(err)
	o.links, err = m.catalog.Links(ctx, db.Incarnation)
	must(err)
	o.check, err = m.catalog.LastDrift(ctx, db.Incarnation)
	must(err)
	must(m.store.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query("SELECT name FROM secrets WHERE incarnation = ?", db.Incarnation)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			o.secrets = append(o.secrets, name)
		}
		return rows.Err()
	}))
	looks, err := m.journal.Steps(ctx, o.check.ID)
	must(err)
	for _, info := range looks {
		var look originalStep
		look.step, err = m.journal.Step(ctx, info.ID)
		must(err)
		look.result, err = m.journal.Result(ctx, info.ID)
		must(err)
		o.looks = append(o.looks, look)
	}
	for _, row := range o.run.Regions {
		r := originalRegion{id: stacks.StackID{Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Region: row.Region}, row: row}
		r.place, err = m.catalog.Placement(ctx, r.id)
		must(err)
		r.endpoint, err = m.catalog.Endpoint(ctx, r.id)
		must(err)
		r.state, err = m.journal.LatestState(ctx, r.id)
		must(err)
		head, err := m.journal.Head(ctx, r.id)
		must(err)
		for _, of := range []struct {
			id string
			to *originalStep
		}{{row.PlanStep, &r.plan}, {row.ApplyStep, &r.apply}} {
			of.to.head = head
			of.to.step, err = m.journal.Step(ctx, of.id)
			must(err)
			of.to.result, err = m.journal.Result(ctx, of.id)
			must(err)
			of.to.events, err = m.journal.Events(ctx, of.id, 0, 1000)
			must(err)
		}
		a, err := m.journal.Artifact(ctx, row.Artifact)
		must(err)
		r.plan.artifact = &a
		o.regions = append(o.regions, r)
	}
	return o
}

// put writes one copy, from its submission to its check for drift.
func (m *meridian) put(ctx context.Context, o *original, number int) error {
	spec := o.revision.Effective
	spec.Metadata.Name = fmt.Sprintf("d%05d", number)
	run, err := m.catalog.Submit(ctx, catalog.SubmitInput{Effective: spec, Source: o.revision.Source, Yes: true, Actor: o.run.Actor, Kind: stacks.RunApply})
	if err != nil {
		return err
	}
	if _, err := m.catalog.NextRun(ctx, run.Namespace, run.Name); err != nil {
		return err
	}
	for _, secret := range o.secrets {
		if err := m.catalog.EnsureSecret(ctx, run.Incarnation, secret); err != nil {
			return err
		}
	}
	phase := stacks.PhasePending
	move := func(to stacks.Phase, digest string) error {
		_, err := m.catalog.MoveRun(ctx, run.ID, catalog.Move{From: phase, To: to, PlanDigest: digest})
		phase = to
		return err
	}
	var rows []catalog.RunRegion
	for _, r := range o.regions {
		rows = append(rows, catalog.RunRegion{Region: r.row.Region})
	}
	if _, err := m.catalog.SetRegions(ctx, run.ID, rows); err != nil {
		return err
	}
	if err := move(stacks.PhasePlanning, ""); err != nil {
		return err
	}
	for i, r := range o.regions {
		if err := m.putPlan(ctx, run, r, number*len(o.regions)+i); err != nil {
			return err
		}
	}
	if err := move(stacks.PhaseApplying, o.run.PlanDigest); err != nil {
		return err
	}
	for _, r := range o.regions {
		if err := m.putApply(ctx, run, r); err != nil {
			return err
		}
	}
	if err := move(stacks.PhaseLinking, ""); err != nil {
		return err
	}
	for _, l := range o.links {
		l.Incarnation = run.Incarnation
		if err := m.catalog.PutLink(ctx, l); err != nil {
			return err
		}
	}
	for _, l := range o.log {
		l.Run = run.ID
		if err := m.catalog.AppendLog(ctx, l); err != nil {
			return err
		}
	}
	if err := move(stacks.PhaseDone, ""); err != nil {
		return err
	}
	check, err := m.catalog.BeginDrift(ctx, catalog.DriftCheck{Incarnation: run.Incarnation, Reason: o.check.Reason, Actor: o.check.Actor})
	if err != nil {
		return err
	}
	for _, look := range o.looks {
		step, result := look.step, look.result
		step.ID, step.Run, step.Stack.ID = check.ID+step.ID[len(step.Run):], check.ID, stackOf(run, step.Stack.ID.Region)
		result.Step = step.ID
		if _, err := m.journal.PutStep(ctx, step); err != nil {
			return err
		}
		if err := m.journal.FinishCheck(ctx, result); err != nil {
			return err
		}
	}
	check.Outcome, check.Message, check.Print = o.check.Outcome, o.check.Message, o.check.Print
	return m.catalog.EndDrift(ctx, check)
}

// stackOf is the stack of a region in a copy.
func stackOf(run catalog.Run, region string) stacks.StackID {
	return stacks.StackID{Namespace: run.Namespace, Name: run.Name, Incarnation: run.Incarnation, Region: region}
}

// putPlan writes what planning a region leaves.
func (m *meridian) putPlan(ctx context.Context, run catalog.Run, r originalRegion, address int) error {
	id := stackOf(run, r.row.Region)
	place := r.place
	place.Address, place.Port = fmt.Sprintf("127.%d.%d.%d", 200+address/250/250, address/250%250, 1+address%250), 5433
	_, err := m.catalog.EnsurePlacement(ctx, id, func([]string) (stacks.Placement, error) { return place, nil })
	if err != nil {
		return err
	}
	empty := terraform.EmptyState(id)
	file, err := terraform.ReadState(empty)
	if err != nil {
		return err
	}
	if err := m.journal.EnsureStack(ctx, id, empty, file.Lineage); err != nil {
		return err
	}
	artifact := *r.plan.artifact
	artifact.ID, artifact.Run, artifact.Stack = run.ID+"/"+r.row.Region, run.ID, id
	step, err := m.putStep(ctx, run, id, r.plan, &artifact, nil)
	if err != nil {
		return err
	}
	return m.catalog.UpdateRegion(ctx, run.ID, r.row.Region, func(row catalog.RunRegion) catalog.RunRegion {
		row.Phase, row.StackDigest, row.Artifact, row.ArtifactDigest = stacks.RegionPlanned, r.row.StackDigest, artifact.ID, r.row.ArtifactDigest
		row.StateSerial, row.PlanStep, row.Plans, row.Changes = r.row.StateSerial, step, r.row.Plans, r.row.Changes
		return row
	})
}

// putApply writes what applying a region leaves.
func (m *meridian) putApply(ctx context.Context, run catalog.Run, r originalRegion) error {
	id := stackOf(run, r.row.Region)
	state := r.state
	head, err := m.journal.Head(ctx, id)
	if err != nil {
		return err
	}
	state.Payload = bytes.ReplaceAll(state.Payload, []byte(state.Lineage), []byte(head.Lineage))
	state.Payload = bytes.ReplaceAll(state.Payload, []byte(r.id.Incarnation), []byte(id.Incarnation))
	state.Lineage, state.SHA256 = head.Lineage, ""
	apply := r.apply
	apply.step.Artifact = run.ID + "/" + r.row.Region
	step, err := m.putStep(ctx, run, id, apply, nil, &state)
	if err != nil {
		return err
	}
	if err := m.catalog.PutEndpoint(ctx, id, r.endpoint); err != nil {
		return err
	}
	return m.catalog.UpdateRegion(ctx, run.ID, r.row.Region, func(row catalog.RunRegion) catalog.RunRegion {
		row.Phase, row.ApplyStep, row.Message = r.row.Phase, step, r.row.Message
		return row
	})
}

// putStep writes a step as its runner does: the fence, the events with the state, the result.
func (m *meridian) putStep(ctx context.Context, run catalog.Run, id stacks.StackID, o originalStep, artifact *journal.Artifact, state *journal.State) (string, error) {
	step := o.step
	step.ID, step.Run, step.Stack.ID = run.ID+step.ID[len(step.Run):], run.ID, id
	if _, err := m.journal.PutStep(ctx, step); err != nil {
		return "", err
	}
	in := journal.TakeInput{
		Stack: id, Step: step.ID, Attempt: "copy-" + step.ID, Site: o.head.Site, RunnerPID: o.head.RunnerPID, BootID: o.head.BootID, Terraform: o.head.Terraform, Template: o.head.Template,
	}
	var fence journal.Fence
	err := m.store.Write(ctx, func(tx *store.Tx) (err error) {
		fence, err = m.journal.TakeFence(ctx, tx, in)
		return err
	})
	if err != nil {
		return "", err
	}
	if err := m.journal.Ship(ctx, id, fence, step.ID, journal.Batch{Events: o.events, State: state}); err != nil {
		return "", err
	}
	result := o.result
	result.Step = step.ID
	if artifact != nil {
		result.Artifact = artifact.ID
	}
	return step.ID, m.journal.Finish(ctx, id, fence, result, artifact)
}
