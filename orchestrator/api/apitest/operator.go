package apitest

import (
	"context"
	"fmt"
	"slices"

	"meridian/orchestrator"
	"meridian/stacks"
)

// StateSecret is in the whole state file of every region, and nowhere else.
const StateSecret = "fake-secret-of-a-state"

// versions are the kept states of a region, oldest first: those that Fake makes of each, and what was restored.
func (f *Fake) versions(namespace, name, region string) ([]orchestrator.StateVersionView, error) {
	db, err := f.database(namespace, name)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(db.Regions, func(r orchestrator.RegionView) bool { return r.Name == region }) {
		return nil, notFound(fmt.Sprintf("region %q of %s/%s", region, namespace, name))
	}
	key := namespace + "/" + name + "/" + region
	if f.states == nil {
		f.states = map[string][]orchestrator.StateVersionView{}
	}
	if f.states[key] == nil {
		f.states[key] = []orchestrator.StateVersionView{
			{Version: "1.0.1", Serial: 1, At: db.CreatedAt, Edit: "birth", Size: 180},
			{Version: "1.2.3", Serial: 3, At: db.CreatedAt, Run: db.LastRun, Size: 2310, Resources: 1},
		}
	}
	return f.states[key], nil
}

func (f *Fake) version(ref orchestrator.StateRef) (orchestrator.StateVersionView, error) {
	all, err := f.versions(ref.Namespace, ref.Name, ref.Region)
	if err != nil {
		return orchestrator.StateVersionView{}, err
	}
	for _, v := range slices.Backward(all) {
		if ref.Version == "" || ref.Version == v.Version {
			return v, nil
		}
	}
	return orchestrator.StateVersionView{}, notFound("version " + ref.Version)
}

// States lists the kept versions.
func (f *Fake) States(_ context.Context, namespace, name, region string) ([]orchestrator.StateVersionView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.versions(namespace, name, region)
	out := slices.Clone(all)
	slices.Reverse(out)
	if len(out) > 0 {
		out[0].Newest = true
	}
	return out, err
}

// State shows a server in every version but the first.
func (f *Fake) State(_ context.Context, ref orchestrator.StateRef) (orchestrator.StateView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.version(ref)
	out := orchestrator.StateView{StateVersionView: v, Lineage: "fake"}
	if v.Resources > 0 {
		out.Objects = append(out.Objects, orchestrator.StateObjectView{
			Address: "module.database.localdb_server.this", Type: "localdb_server", Mode: "managed", Tainted: true,
			Attributes: []stacks.AttributeChange{{Path: "password", Sensitive: true}, {Path: "port", After: "5432"}},
		})
	}
	return out, err
}

// DiffStates tells of the server that the first version has not.
func (f *Fake) DiffStates(_ context.Context, from orchestrator.StateRef, to string) (orchestrator.StateDiffView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, err := f.version(from)
	if err != nil {
		return orchestrator.StateDiffView{}, err
	}
	ref := from
	ref.Version = to
	after, err := f.version(ref)
	out := orchestrator.StateDiffView{From: before.Version, To: after.Version, Changes: []stacks.Change{}}
	c := stacks.Change{Region: from.Region, Address: "module.database.localdb_server.this", Type: "localdb_server", DataBearing: true}
	switch {
	case before.Resources < after.Resources:
		c.Action, c.Attributes = stacks.ActionCreate, []stacks.AttributeChange{{Path: "port", After: "5432"}}
		out.Changes = append(out.Changes, c)
	case before.Resources > after.Resources:
		c.Action, c.Attributes = stacks.ActionDelete, []stacks.AttributeChange{{Path: "port", Before: "5432"}}
		out.Changes = append(out.Changes, c)
	}
	return out, err
}

// PullState hands out a state with StateSecret in it.
func (f *Fake) PullState(_ context.Context, ref orchestrator.StateRef, actor string) (orchestrator.StateFileView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "pull "+actor)
	v, err := f.version(ref)
	return orchestrator.StateFileView{Version: v.Version, State: fmt.Sprintf("{\"version\": 4, \"serial\": %d, \"secret\": %q}\n", v.Serial, StateSecret)}, err
}

// RestoreState makes an old version the newest.
func (f *Fake) RestoreState(_ context.Context, in orchestrator.RestoreStateRequest) (orchestrator.StateVersionView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "restore "+in.Actor)
	v, err := f.version(in.StateRef)
	if err != nil {
		return v, err
	}
	key := in.Namespace + "/" + in.Name + "/" + in.Region
	newest := f.states[key][len(f.states[key])-1]
	if newest.Version != in.Expect {
		return v, &orchestrator.Problem{Code: orchestrator.CodeConflict, Title: "the state has moved on meanwhile", Next: "look at it again, then decide"}
	}
	v.Serial, v.Run, v.Edit, v.Newest = newest.Serial+1, "", "restore", true
	v.Version = fmt.Sprintf("1.%d.%d", v.Serial, v.Serial)
	f.states[key] = append(f.states[key], v)
	return v, nil
}

// Fsck finds an orphan once a database of the name Danger is there, and repairs another finding.
func (f *Fake) Fsck(_ context.Context, in orchestrator.FsckRequest) (orchestrator.FsckView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "fsck "+in.Actor)
	v := orchestrator.FsckView{Checks: orchestrator.Checks, Findings: []orchestrator.FsckFinding{}, Digest: "none"}
	if _, err := f.database(stacks.DefaultNamespace, Danger); err != nil {
		return v, nil
	}
	v.Digest = "0123456789abcdef"
	v.Findings = append(v.Findings, orchestrator.FsckFinding{
		Check: orchestrator.CheckWorldKnown, Subject: "/servers/x", What: "no state knows it", Next: "adopt it or remove it: meridian orphans list",
	})
	active := orchestrator.FsckFinding{Check: orchestrator.CheckRunActive, Subject: "default/danger", What: "its active run r-1 has ended"}
	if in.Repair {
		active.Repaired = "chose anew"
	}
	v.Findings = append(v.Findings, active)
	if !f.accepted {
		v.ReadOnly = "restored from old"
	}
	if in.Accept == v.Digest {
		v.ReadOnly, v.Ended, f.accepted = "", true, true
	}
	return v, nil
}

// Sites lists one site, that works on one stack.
func (f *Fake) Sites(context.Context) ([]orchestrator.SiteView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := orchestrator.SiteView{ID: "site-1", Host: "ankara-7", Since: f.now, Seen: f.now, Running: []string{"default/orders/abc/ankara"}}
	if f.dead != "" {
		v.DeadAt, v.DeadBy = f.now, f.dead
	}
	return []orchestrator.SiteView{v}, nil
}

// DeclareSiteDead declares the one site dead.
func (f *Fake) DeclareSiteDead(ctx context.Context, id, actor string) (orchestrator.SiteView, error) {
	if id != "site-1" {
		return orchestrator.SiteView{}, &orchestrator.Problem{Code: orchestrator.CodeNotFound, Title: "no site " + id, Next: "see meridian site list"}
	}
	f.mu.Lock()
	f.Actors, f.dead = append(f.Actors, "declare dead "+actor), actor
	f.mu.Unlock()
	all, err := f.Sites(ctx)
	return all[0], err
}

// Terraform says what it was asked; a rm forgets the server.
func (f *Fake) Terraform(_ context.Context, in orchestrator.TerraformRequest) (orchestrator.TerraformView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "terraform "+in.Actor)
	v, err := f.version(orchestrator.StateRef{Namespace: in.Namespace, Name: in.Name, Region: in.Region})
	out := orchestrator.TerraformView{Version: v.Version, Output: fmt.Sprintf("%q\n", in.Args)}
	if err != nil || len(in.Args) < 2 || in.Args[1] != "rm" {
		return out, err
	}
	out.Digest = "0123456789abcdef"
	out.Changes = []stacks.Change{{Region: in.Region, Address: in.Args[2], Type: "localdb_server", Action: stacks.ActionDelete, DataBearing: true}}
	switch in.Approve {
	case "":
	case out.Digest:
		out.NewVersion = "1.9.9"
	default:
		return out, &orchestrator.Problem{Code: orchestrator.CodeStalePlan, Title: "this is not what was shown"}
	}
	return out, nil
}

// OrphanID is the ID of the one orphan that there is.
const OrphanID = "/servers/orphan"

// Orphans lists the one orphan until it is adopted or removed.
func (f *Fake) Orphans(context.Context) ([]orchestrator.OrphanView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noOrphan {
		return []orchestrator.OrphanView{}, nil
	}
	o := orchestrator.OrphanView{Adoptable: true}
	o.Provider, o.ID, o.Type, o.Detail, o.DataBearing = "local", OrphanID, "localdb_server", "PostgreSQL 15 at 127.0.9.9:5432, running", true
	o.Stack = stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abcd1234", Region: "ankara"}
	return []orchestrator.OrphanView{o}, nil
}

func (f *Fake) theOrphan(ctx context.Context, id string) (orchestrator.OrphanView, error) {
	all, _ := f.Orphans(ctx)
	for _, o := range all {
		if o.ID == id {
			return o, nil
		}
	}
	return orchestrator.OrphanView{}, notFound("orphan " + id)
}

// AdoptOrphan shows an import, and does it where it is approved.
func (f *Fake) AdoptOrphan(ctx context.Context, in orchestrator.OrphanRequest) (orchestrator.TerraformView, error) {
	o, err := f.theOrphan(ctx, in.ID)
	if err != nil {
		return orchestrator.TerraformView{}, err
	}
	v := orchestrator.TerraformView{Version: "1.2.3", Digest: "0123456789abcdef", Changes: []stacks.Change{{Address: "module.database.localdb_server.this", Type: o.Type, Action: stacks.ActionCreate, DataBearing: true}}}
	if in.Approve == v.Digest {
		f.mu.Lock()
		defer f.mu.Unlock()
		v.NewVersion, f.noOrphan = "1.3.4", true
	}
	return v, nil
}

// RemoveOrphan removes the orphan.
func (f *Fake) RemoveOrphan(ctx context.Context, in orchestrator.OrphanRequest) (orchestrator.OrphanView, error) {
	o, err := f.theOrphan(ctx, in.ID)
	if err != nil {
		return o, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noOrphan = true
	f.Actors = append(f.Actors, "remove orphan "+in.Actor)
	return o, nil
}

// RemoteState has one output.
func (f *Fake) RemoteState(_ context.Context, namespace, name, region string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.version(orchestrator.StateRef{Namespace: namespace, Name: name, Region: region})
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.0","serial":%d,"lineage":"fake","outputs":{"host":{"value":"127.0.7.1","type":"string"}},"resources":[]}`, v.Serial), err
}
