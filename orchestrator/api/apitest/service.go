package apitest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/orchestrator"
	"meridian/stacks"
)

func notFound(what string) error {
	return &orchestrator.Problem{
		Code: orchestrator.CodeNotFound, Title: what + " is not there", Next: "meridian get databases shows what is",
	}
}

func (f *Fake) find(id string) (*run, error) {
	for _, r := range f.runs {
		if r.last().ID == id {
			return r, nil
		}
	}
	return nil, notFound("run " + id)
}

func (f *Fake) database(namespace, name string) (*orchestrator.DatabaseView, error) {
	if name == Broken {
		return nil, fmt.Errorf("store: %s", BrokenText)
	}
	if db, ok := f.databases[namespace+"/"+name]; ok {
		return db, nil
	}
	return nil, notFound("database " + namespace + "/" + name)
}

// Destroy plans the removal of a database that is not protected.
func (f *Fake) Destroy(_ context.Context, namespace, name, actor string) (orchestrator.RunView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "destroy "+actor)
	db, err := f.database(namespace, name)
	if err != nil {
		return orchestrator.RunView{}, err
	}
	if db.Protected {
		return orchestrator.RunView{}, &orchestrator.Problem{
			Code: orchestrator.CodeRefused, Title: namespace + "/" + name + " is protected", Next: "first apply deletion: {protect: false}",
		}
	}
	r := f.newRun(*db.Spec, stacks.RunDestroy, actor)
	first := r.last()
	f.plan(r, false)
	return first, nil
}

// Approve applies a run that waits, for exactly its digest.
func (f *Fake) Approve(_ context.Context, id, digest, actor string) (orchestrator.RunView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "approve "+actor)
	if id == Busy {
		return orchestrator.RunView{}, &orchestrator.Problem{Code: orchestrator.CodeUnavailable, Title: "not now", Next: "try again: nothing was stored"}
	}
	r, err := f.find(id)
	if err != nil {
		return orchestrator.RunView{}, err
	}
	v := r.last()
	switch {
	case v.Phase != stacks.PhaseAwaiting:
		return v, &orchestrator.Problem{Code: orchestrator.CodeConflict, Title: "run " + id + " does not wait for an approval: it is " + string(v.Phase)}
	case v.Name == Stale && r.plans == 1:
		f.plan(r, false)
		fallthrough
	case v.PlanDigest != digest:
		return v, &orchestrator.Problem{Code: orchestrator.CodeStalePlan, Title: "that is not the plan of run " + id, Next: "meridian run watch " + id}
	}
	f.apply(r)
	return r.last(), nil
}

// Cancel ends a run.
func (f *Fake) Cancel(_ context.Context, id, actor string) (orchestrator.RunView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "cancel "+actor)
	r, err := f.find(id)
	if err != nil {
		return orchestrator.RunView{}, err
	}
	if r.last().Phase.Ended() {
		return r.last(), &orchestrator.Problem{Code: orchestrator.CodeConflict, Title: "run " + id + " has ended"}
	}
	f.step(r, func(v *orchestrator.RunView) {
		v.CancelAsked, v.Phase = true, stacks.PhaseCancelled
		setRegions(v, stacks.RegionCancelled)
	})
	return r.last(), nil
}

// Run is the run's last view.
func (f *Fake) Run(_ context.Context, id string) (orchestrator.RunView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.find(id)
	if err != nil {
		return orchestrator.RunView{}, err
	}
	return r.last(), nil
}

// Runs lists runs, newest first.
func (f *Fake) Runs(_ context.Context, namespace, name string, limit int) ([]orchestrator.RunView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []orchestrator.RunView
	for _, r := range slices.Backward(f.runs) {
		v := r.last()
		if (namespace == "" || v.Namespace == namespace) && (name == "" || v.Name == name) && len(out) < limit {
			v.Changes = nil
			out = append(out, v)
		}
	}
	return out, nil
}

// WatchRun sends every view that the run ever had, then each new one.
func (f *Fake) WatchRun(ctx context.Context, id string) (<-chan orchestrator.RunView, error) {
	f.mu.Lock()
	r, err := f.find(id)
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	views := make(chan orchestrator.RunView)
	go func() {
		defer close(views)
		for sent := 0; ; {
			f.mu.Lock()
			next, changed := r.history[sent:], f.changed
			f.mu.Unlock()
			for _, v := range next {
				select {
				case <-ctx.Done():
					return
				case views <- v:
				}
				sent++
				if v.Phase.Ended() {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}()
	return views, nil
}

// Logs lists a line per step.
func (f *Fake) Logs(_ context.Context, id string, after int64, limit int) ([]orchestrator.LogLine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.find(id)
	if err != nil {
		return nil, err
	}
	var out []orchestrator.LogLine
	for _, l := range r.logs {
		if l.Seq > after && len(out) < limit {
			out = append(out, l)
		}
	}
	return out, nil
}

// FindDatabases lists databases in order of name.
func (f *Fake) FindDatabases(_ context.Context, q orchestrator.DatabaseQuery) ([]orchestrator.DatabaseView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []orchestrator.DatabaseView
	for _, key := range slices.Sorted(maps.Keys(f.databases)) {
		db := *f.databases[key]
		after := db.Namespace+"/"+db.Name > q.After
		if (q.Namespace == "" || db.Namespace == q.Namespace) && strings.Contains(db.Name, q.Search) && after && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, db)
		}
	}
	return out, nil
}

// Database describes one database.
func (f *Fake) Database(_ context.Context, namespace, name string) (orchestrator.DatabaseView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	db, err := f.database(namespace, name)
	if err != nil {
		return orchestrator.DatabaseView{}, err
	}
	return *db, nil
}

// Connect says how to connect; Password where it is to be revealed.
func (f *Fake) Connect(_ context.Context, in orchestrator.ConnectRequest) (orchestrator.ConnectView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "connect "+in.Actor)
	db, err := f.database(in.Namespace, in.Name)
	if err != nil {
		return orchestrator.ConnectView{}, err
	}
	for _, region := range db.Regions {
		if region.Name != cmp.Or(in.Region, db.Spec.Primary()) {
			continue
		}
		v := orchestrator.ConnectView{
			Region: region.Name, Host: region.Host, Port: region.Port, User: cmp.Or(in.User, "orders_app"), Database: cmp.Or(in.Database, "orders"),
		}
		v.URL = fmt.Sprintf("postgresql://%s:****@%s:%d/%s", v.User, v.Host, v.Port, v.Database)
		if in.Reveal {
			v.Password = Password
		}
		return v, nil
	}
	return orchestrator.ConnectView{}, notFound("region " + in.Region)
}

// Render makes one small stack per region.
func (f *Fake) Render(ctx context.Context, in orchestrator.SubmitRequest) ([]stacks.Stack, error) {
	var sources []stacks.Source
	for _, d := range in.Documents {
		sources = append(sources, stacks.Source{Name: d.File, Text: []byte(d.Text)})
	}
	loaded, ds := stacks.Check(ctx, sources, in.Namespace, nil)
	if stacks.HasErrors(ds) {
		return nil, &orchestrator.Problem{Code: orchestrator.CodeInvalidSpec, Title: "the spec has an error", Diagnostics: ds}
	}
	var out []stacks.Stack
	for _, l := range loaded {
		for _, region := range l.Spec.Spec.Regions {
			out = append(out, stacks.Stack{
				ID:    stacks.StackID{Namespace: l.Spec.Metadata.Namespace, Name: l.Spec.Metadata.Name, Incarnation: "unsaved", Region: region.Name},
				Files: []stacks.File{{Path: "main.tf", Content: []byte("# fake\n")}}, Digest: "00",
			})
		}
	}
	return out, nil
}
