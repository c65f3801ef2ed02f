// Package apitest holds Fake, an api.Service in memory for tests of the API and of the CLI. It does nothing real: what becomes of a
// database follows from its name, at once, and each watcher sees every step.
//
// It must never be linked into a program.
package apitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/orchestrator"
	"meridian/stacks"
)

// Password is what Connect reveals.
const Password = "fake-password-fake-password"

// Names of databases that behave in their own way; any other one is applied without trouble.
const (
	// Slow stays in its phase applying until it is cancelled or Finish is called.
	Slow = "slow"
	// Failing fails in its last region, with a diagnostic.
	Failing = "failing"
	// Danger has a plan that loses data and so needs an approval of its own.
	Danger = "danger"
	// Asking asks about an object before it is planned.
	Asking = "asking"
	// Stale gets a new plan when it is first approved.
	Stale = "stale"
	// Broken makes every call about it end in an error that is no Problem, with a text that nobody may see.
	Broken = "broken"
	// Busy is a run that cannot be approved for the moment.
	Busy = "r-busy"
	// BrokenText is that text.
	BrokenText = "dial fake://user:secret@host"
)

// Fake is an api.Service in memory. Its zero value is not usable; see New.
type Fake struct {
	mu        sync.Mutex
	changed   chan struct{} // closed and replaced whenever something changes
	databases map[string]*orchestrator.DatabaseView
	runs      []*run
	// Actors lists who called what, in order: "submit ayse@host".
	Actors []string
	now    time.Time
	states map[string][]orchestrator.StateVersionView
	// accepted says that the findings of Fsck were accepted.
	accepted bool
	// dead says who declared the one site dead.
	dead string
	// rotated says that the ring has its second key, retired how often it was asked to retire the first one.
	rotated bool
	retired int
	// noOrphan says that the orphan was adopted or removed.
	noOrphan bool
	// drift are the checks that were asked for, ignored the keys that are none.
	drift   []orchestrator.DriftCheckView
	ignored []string
}

type run struct {
	history []orchestrator.RunView
	spec    stacks.Database
	plans   int
	logs    []orchestrator.LogLine
}

// New returns an empty fake.
func New() *Fake {
	return &Fake{changed: make(chan struct{}), databases: map[string]*orchestrator.DatabaseView{}, now: time.Now()}
}

func (r *run) last() orchestrator.RunView { return r.history[len(r.history)-1] }

// step appends a view that differs from the last one by edit.
func (f *Fake) step(r *run, edit func(*orchestrator.RunView)) {
	v := r.last()
	v.Regions = slices.Clone(v.Regions)
	v.Links = slices.Clone(v.Links)
	edit(&v)
	if v.Phase.Ended() && v.EndedAt == nil {
		end := time.Now()
		v.EndedAt = &end
	}
	r.history = append(r.history, v)
	r.logs = append(r.logs, orchestrator.LogLine{
		Seq: int64(len(r.logs) + 1), At: time.Now(), Step: string(v.Phase), Level: "info", Text: "run is " + string(v.Phase),
	})
	close(f.changed)
	f.changed = make(chan struct{})
}

// Import makes a run that waits for a yes.
func (f *Fake) Import(ctx context.Context, in orchestrator.ImportRequest) (orchestrator.SubmitResult, error) {
	return f.Submit(ctx, orchestrator.SubmitRequest{Documents: in.Documents, Namespace: in.Namespace, Actor: in.Actor})
}

// Submit makes a run for each document.
func (f *Fake) Submit(ctx context.Context, in orchestrator.SubmitRequest) (orchestrator.SubmitResult, error) {
	var sources []stacks.Source
	for _, d := range in.Documents {
		sources = append(sources, stacks.Source{Name: d.File, Text: []byte(d.Text)})
	}
	loaded, ds := stacks.Check(ctx, sources, in.Namespace, nil)
	if stacks.HasErrors(ds) {
		return orchestrator.SubmitResult{}, &orchestrator.Problem{
			Code: orchestrator.CodeInvalidSpec, Title: "the spec has an error; nothing was touched", Diagnostics: ds,
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "submit "+in.Actor)
	out := orchestrator.SubmitResult{Warnings: ds}
	for _, l := range loaded {
		if l.Spec.Metadata.Name == Broken {
			return orchestrator.SubmitResult{}, fmt.Errorf("store: %s", BrokenText)
		}
		r := f.newRun(l.Spec, stacks.RunApply, in.Actor)
		out.Runs = append(out.Runs, r.last())
		if in.Check {
			r.history[0].Kind = stacks.RunCheck
			f.plan(r, false)
			f.step(r, func(v *orchestrator.RunView) { v.Phase = stacks.PhaseDone })
			continue
		}
		if l.Spec.Metadata.Name == Asking {
			f.ask(r)
			continue
		}
		f.plan(r, in.Yes)
		if r.last().Approved {
			f.apply(r)
		}
	}
	return out, nil
}

func (f *Fake) newRun(spec stacks.Database, kind stacks.RunKind, actor string) *run {
	m := spec.Metadata
	f.now = f.now.Add(time.Millisecond)
	v := orchestrator.RunView{
		ID: fmt.Sprintf("r-%04d", len(f.runs)+1), Namespace: m.Namespace, Name: m.Name, Kind: kind, Number: int64(len(f.runs) + 1),
		Phase: stacks.PhasePending, Actor: actor, CreatedAt: f.now, TemporalPath: fmt.Sprintf("/temporal/r-%04d", len(f.runs)+1),
	}
	for _, region := range spec.Spec.Regions {
		v.Regions = append(v.Regions, orchestrator.RunRegionView{
			Region: region.Name, Phase: stacks.RegionPending, Destroy: kind == stacks.RunDestroy, StartedAt: f.now,
		})
	}
	r := &run{history: []orchestrator.RunView{v}, spec: spec}
	f.runs = append(f.runs, r)
	return r
}

// plan makes a plan: nothing to do for a database that is ready. yes is the one given in advance.
func (f *Fake) plan(r *run, yes bool) {
	f.step(r, func(v *orchestrator.RunView) {
		v.Phase, v.PlanDigest, v.Approved = stacks.PhasePlanning, "", false
		setRegions(v, stacks.RegionPlanning)
	})
	r.plans++
	key := r.spec.Metadata.Namespace + "/" + r.spec.Metadata.Name
	db, exists := f.databases[key]
	exists = exists && db.Applied > 0
	f.step(r, func(v *orchestrator.RunView) {
		v.PlanDigest = fmt.Sprintf("%064x", len(r.history)*1000+int(v.Number))
		v.Phase = stacks.PhaseAwaiting
		phase := stacks.RegionPlanned
		if v.Kind == stacks.RunDestroy || !exists || v.Name == Danger {
			v.Changes = changesOf(*v, exists)
			v.HasChanges = true
		} else {
			phase = stacks.RegionUnchanged
		}
		for _, c := range v.Changes {
			if c.Dangerous() {
				v.NeedsApproval = strings.TrimPrefix(v.NeedsApproval+fmt.Sprintf("; %ss %s in %s", c.Action, c.Address, c.Region), "; ")
			}
		}
		v.Approved = !v.HasChanges || (yes && v.NeedsApproval == "")
		setRegions(v, phase)
	})
}

func changesOf(v orchestrator.RunView, exists bool) []stacks.Change {
	var out []stacks.Change
	for _, r := range v.Regions {
		c := stacks.Change{Region: r.Region, Address: "module.database.localdb_server.this", Type: "localdb_server", Action: stacks.ActionCreate, DataBearing: true}
		switch {
		case v.Kind == stacks.RunDestroy:
			c.Action = stacks.ActionDelete
			c.Attributes = []stacks.AttributeChange{{Path: "port", Before: "5432"}}
		case v.Name == Danger:
			c.Action, c.Reason = stacks.ActionReplace, "replace_because_cannot_update"
			c.Attributes = []stacks.AttributeChange{{Path: "data_dir", Before: `"/a"`, After: `"/b"`, Forces: true}}
		default:
			c.Attributes = []stacks.AttributeChange{
				{Path: "id", Unknown: true}, {Path: "password", Sensitive: true}, {Path: "parameters.max_connections", After: `"50"`},
			}
		}
		out = append(out, c)
	}
	return out
}

func setRegions(v *orchestrator.RunView, phase stacks.RegionPhase) {
	for i := range v.Regions {
		v.Regions[i].Phase = phase
	}
}

// apply runs an approved plan to its end, or as far as the database's name lets it.
func (f *Fake) apply(r *run) {
	f.step(r, func(v *orchestrator.RunView) {
		v.Phase, v.Approved = stacks.PhaseApplying, true
		setRegions(v, stacks.RegionApplying)
		for i := range v.Regions {
			v.Regions[i].Resource, v.Regions[i].Total = "localdb_server.this", 2
		}
	})
	switch v := r.last(); {
	case v.Kind == stacks.RunDestroy:
		delete(f.databases, v.Namespace+"/"+v.Name)
		f.step(r, func(v *orchestrator.RunView) {
			v.Phase = stacks.PhaseDone
			setRegions(v, stacks.RegionRemoved)
		})
	case v.Name == Slow:
	case v.Name == Failing:
		f.fail(r)
	default:
		f.finish(r)
	}
}

func (f *Fake) fail(r *run) {
	f.step(r, func(v *orchestrator.RunView) {
		last := len(v.Regions) - 1
		setRegions(v, stacks.RegionReady)
		v.Regions[last].Phase, v.Regions[last].Message = stacks.RegionFailed, "port 5432 is taken"
		v.Phase, v.Reason = stacks.PhaseFailed, "RegionFailed"
		v.Message = fmt.Sprintf("%s stands, %s does not", v.Regions[0].Region, v.Regions[last].Region)
		v.Diagnostics = []stacks.Diagnostic{{
			Severity: stacks.SeverityError, Summary: "port 5432 is taken", Detail: "a server that is not ours listens there",
			Next: "stop it, then apply again", Address: "module.database.localdb_server.this", File: "main.tf", Line: 3,
		}}
	})
}

// finish makes the regions ready and proves the links.
func (f *Fake) finish(r *run) {
	at := time.Now()
	var links []orchestrator.LinkView
	for _, l := range r.spec.Spec.Replication.Links {
		links = append(links, orchestrator.LinkView{
			Name: cmp.Or(l.From, r.spec.Primary()) + "-" + l.To, From: cmp.Or(l.From, r.spec.Primary()), To: l.To, Mode: string(l.Mode),
			Databases: l.Databases, Phase: "copying",
		})
	}
	f.step(r, func(v *orchestrator.RunView) {
		v.Phase, v.Links = stacks.PhaseLinking, links
		setRegions(v, stacks.RegionReady)
		for i := range v.Regions {
			v.Regions[i].Resource, v.Regions[i].Total = "", 0
		}
	})
	f.step(r, func(v *orchestrator.RunView) {
		v.Phase = stacks.PhaseDone
		for i := range v.Links {
			v.Links[i].Phase, v.Links[i].VerifiedAt, v.Links[i].LagMS = "verified", &at, 3.5
		}
	})
	f.store(r)
}

func (f *Fake) store(r *run) {
	v := r.last()
	spec := r.spec
	db := &orchestrator.DatabaseView{
		Namespace: v.Namespace, Name: v.Name, Incarnation: "abcd1234", Engine: spec.Spec.Engine.Name, Version: cmp.Or(spec.Spec.Engine.Version, "15"),
		Phase: "ready", Revision: 1, Applied: 1, Labels: spec.Metadata.Labels, Links: v.Links, LastRun: v.ID,
		Protected: spec.Spec.Deletion.Protected(), CreatedAt: v.CreatedAt, Spec: &spec,
		Audit: []orchestrator.AuditView{{At: v.CreatedAt, Actor: v.Actor, Verb: "apply", Subject: v.Namespace + "/" + v.Name}},
	}
	for i, region := range spec.Spec.Regions {
		db.Regions = append(db.Regions, orchestrator.RegionView{
			Name: region.Name, Provider: region.Provider, Location: cmp.Or(region.Location, region.Provider), Role: string(region.Role),
			Phase: "ready", Host: fmt.Sprintf("127.0.7.%d", i+1), Port: 5432,
		})
	}
	f.databases[v.Namespace+"/"+v.Name] = db
}

// Finish lets a Slow run come to its end.
func (f *Fake) Finish(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.runs {
		if v := r.last(); v.ID == id && !v.Phase.Ended() {
			f.finish(r)
		}
	}
}
