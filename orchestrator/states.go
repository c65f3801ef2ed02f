package orchestrator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// StateRef names a kept state of a region's stack. Version "" is the newest.
type StateRef struct {
	Namespace, Name, Region, Version string
}

// StateVersionView is one kept version of a state.
type StateVersionView struct {
	// Version is "epoch.fence.serial"; versions are ordered by it.
	Version string    `json:"version"`
	Serial  int64     `json:"serial"`
	At      time.Time `json:"at"`
	// Run wrote it; empty where Edit says what else did: "restore", "tf", or "birth".
	Run       string `json:"run,omitempty"`
	Edit      string `json:"edit,omitempty"`
	Newest    bool   `json:"newest,omitempty"`
	Size      int    `json:"size"`
	Resources int    `json:"resources"`
	SHA256    string `json:"sha256"`
	// Damaged says what is wrong with a version that cannot be read.
	Damaged string `json:"damaged,omitempty"`
}

// StateView is one kept state as people may see it: sensitive values are masked.
type StateView struct {
	StateVersionView
	Lineage string            `json:"lineage"`
	Objects []StateObjectView `json:"objects"`
}

// StateObjectView is one object of a state, or one output ("output.NAME"). An attribute's value is in After.
type StateObjectView struct {
	Address    string                   `json:"address"`
	Type       string                   `json:"type,omitempty"`
	Mode       string                   `json:"mode,omitempty"`
	Tainted    bool                     `json:"tainted,omitempty"`
	Deposed    string                   `json:"deposed,omitempty"`
	Attributes []stacks.AttributeChange `json:"attributes,omitempty"`
}

// StateDiffView is what differs between two kept states of a region; sensitive values are masked.
type StateDiffView struct {
	From    string          `json:"from"`
	To      string          `json:"to"`
	Changes []stacks.Change `json:"changes"`
}

// StateFileView is a whole state file, with what is sensitive in it.
type StateFileView struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	State   string `json:"state"`
}

// RestoreStateRequest makes an old version the newest. Expect is the version that is the newest for who asks.
type RestoreStateRequest struct {
	StateRef
	Expect string
	Actor  string
}

// States lists the kept versions of a region's state, newest first.
func (c *Client) States(ctx context.Context, namespace, name, region string) ([]StateVersionView, error) {
	id, err := c.stackOf(ctx, namespace, name, region)
	if err != nil {
		return nil, err
	}
	list, err := c.journal.States(ctx, id)
	if err != nil {
		return nil, err
	}
	out := make([]StateVersionView, 0, len(list))
	for i, info := range list {
		s, err := c.journal.State(ctx, id, info.Version())
		if errors.Is(err, journal.ErrNotFound) {
			continue // pruned meanwhile
		}
		out = append(out, versionView(info, s, i == 0, err))
	}
	return out, nil
}

func versionView(info journal.StateInfo, s journal.State, newest bool, damage error) StateVersionView {
	v := StateVersionView{
		Version: info.Version().String(), Serial: info.Serial, At: info.At, Run: info.Run, Edit: info.Edit(), Newest: newest,
		Size: len(s.Payload), SHA256: info.SHA256,
	}
	if v.Run == "" && info.Fence.Attempt == "" {
		v.Edit = "birth"
	}
	file, err := terraform.ReadState(s.Payload)
	switch {
	case damage != nil:
		v.Damaged = "it cannot be read: its checksum does not match, or its key is lost"
	case err != nil:
		v.Damaged = "it is no state of a version that is known here"
	}
	for _, r := range file.Resources {
		if r.Mode != "data" {
			v.Resources++
		}
	}
	return v
}

// State shows one kept state, sensitive values masked.
func (c *Client) State(ctx context.Context, ref StateRef) (StateView, error) {
	id, info, s, err := c.stateOf(ctx, ref)
	if err != nil {
		return StateView{}, err
	}
	objects, err := terraform.ShowState(s.Payload)
	if err != nil {
		return StateView{}, unreadable(id, s.Version())
	}
	v := StateView{StateVersionView: info, Lineage: s.Lineage, Objects: []StateObjectView{}}
	for _, o := range objects {
		v.Objects = append(v.Objects, StateObjectView{
			Address: o.Address, Type: o.Type, Mode: o.Mode, Tainted: o.Tainted, Deposed: o.Deposed, Attributes: o.Attributes,
		})
	}
	return v, nil
}

// DiffStates tells what differs between a kept state and another version of it ("" is the newest), sensitive values masked.
func (c *Client) DiffStates(ctx context.Context, from StateRef, to string) (StateDiffView, error) {
	id, _, before, err := c.stateOf(ctx, from)
	if err != nil {
		return StateDiffView{}, err
	}
	from.Version = to
	_, _, after, err := c.stateOf(ctx, from)
	if err != nil {
		return StateDiffView{}, err
	}
	v := StateDiffView{From: before.Version().String(), To: after.Version().String()}
	v.Changes, err = c.diffStates(ctx, id, before.Payload, after.Payload)
	return v, err
}

// diffStates compares two states of a stack, with what loses data marked as its newest rendering says.
func (c *Client) diffStates(ctx context.Context, id stacks.StackID, before, after []byte) ([]stacks.Change, error) {
	stack, err := c.journal.LastStack(ctx, id)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return nil, err
	}
	changes, err := terraform.DiffStates(before, after, stack.DataBearing)
	if err != nil {
		return nil, &Problem{Code: CodeConflict, Title: "a state of " + id.String() + " cannot be compared", Detail: "it is no state of a version that is known here"}
	}
	for i := range changes {
		changes[i].Region = id.Region
	}
	if changes == nil {
		changes = []stacks.Change{}
	}
	return changes, nil
}

// PullState returns a whole state file, with what is sensitive in it; it is audited.
func (c *Client) PullState(ctx context.Context, ref StateRef, actor string) (StateFileView, error) {
	id, _, s, err := c.stateOf(ctx, ref)
	if err != nil {
		return StateFileView{}, err
	}
	err = c.catalog.RecordAudit(ctx, catalog.Audit{
		Actor: actor, Verb: "pull state", Subject: "region " + id.Region, Detail: s.Version().String(), Namespace: id.Namespace, Name: id.Name,
	})
	if err != nil {
		return StateFileView{}, fmt.Errorf("a state that is not audited is not handed out: %w", err)
	}
	return StateFileView{Version: s.Version().String(), SHA256: s.SHA256, State: string(s.Payload)}, nil
}

// RestoreState makes an old version the newest, with the next serial and the stack's lineage, under a fence of its own. Nothing in the
// world changes by it: the next plan compares the world with the state that is restored.
func (c *Client) RestoreState(ctx context.Context, in RestoreStateRequest) (StateVersionView, error) {
	if in.Version == "" {
		return StateVersionView{}, &Problem{Code: CodeRefused, Title: "no version is named", Next: "see meridian state list " + in.Name + " " + in.Region}
	}
	id, _, old, err := c.stateOf(ctx, in.StateRef)
	if err != nil {
		return StateVersionView{}, err
	}
	s, err := c.editState(ctx, journal.EditInput{Stack: id, Payload: old.Payload, Kind: journal.EditRestore}, in.Expect,
		catalog.Audit{Actor: in.Actor, Verb: "restore state", Subject: "region " + id.Region}, old.Version().String()+" became ")
	if err != nil {
		return StateVersionView{}, err
	}
	return versionView(journal.StateInfo{State: s}, s, true, nil), nil
}

// editState keeps a state as the newest, unless a run works or the newest is not the expected one. The audit's detail ends with its version.
func (c *Client) editState(ctx context.Context, in journal.EditInput, expect string, a catalog.Audit, detail string) (s journal.State, err error) {
	if in.Expect, err = journal.ParseVersion(expect); err != nil {
		return s, &Problem{Code: CodeRefused, Title: "the newest version that you saw is not named", Detail: err.Error(), Next: "look at the states again: meridian state list " + in.Stack.Name + " " + in.Stack.Region}
	}
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	in.ID = hex.EncodeToString(raw[:])
	err = c.catalog.Quiet(ctx, in.Stack.Incarnation, a, func(tx *store.Tx) (string, error) {
		if s, err = c.journal.EditState(ctx, tx, in); err != nil {
			return "", err
		}
		return detail + s.Version().String(), nil
	})
	what := "the state of " + in.Stack.Name + " in " + in.Stack.Region
	switch {
	case errors.Is(err, catalog.ErrRefused), errors.Is(err, journal.ErrRunning):
		return s, &Problem{Code: CodeConflict, Title: what + " is being worked on", Detail: err.Error(), Next: "wait for the run to end, or cancel it; then look again"}
	case errors.Is(err, journal.ErrStale), errors.Is(err, journal.ErrFenced):
		return s, &Problem{Code: CodeConflict, Title: what + " has moved on meanwhile", Detail: err.Error(), Next: "look at it again, then decide"}
	case err != nil:
		return s, c.problem(err, what)
	}
	return s, nil
}

// stackOf finds the stack of a region of a living database.
func (c *Client) stackOf(ctx context.Context, namespace, name, region string) (stacks.StackID, error) {
	db, err := c.catalog.Database(ctx, namespace, name)
	if err != nil {
		return stacks.StackID{}, c.problem(err, "database "+namespace+"/"+name)
	}
	id := stacks.StackID{Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Region: region}
	heads, err := c.journal.Heads(ctx, db.Incarnation)
	if err != nil {
		return id, err
	}
	var known []string
	for _, h := range heads {
		if h.Stack == id {
			return id, nil
		}
		known = append(known, h.Stack.Region)
	}
	next := "none of its regions has a state yet; see meridian describe " + name
	if len(known) > 0 {
		next = "its regions with a state are " + strings.Join(known, ", ")
	}
	return id, &Problem{Code: CodeNotFound, Title: fmt.Sprintf("%s/%s has no state of a region %q", namespace, name, region), Next: next}
}

// stateOf reads a kept state.
func (c *Client) stateOf(ctx context.Context, ref StateRef) (id stacks.StackID, v StateVersionView, s journal.State, err error) {
	if id, err = c.stackOf(ctx, ref.Namespace, ref.Name, ref.Region); err != nil {
		return id, v, s, err
	}
	list, err := c.journal.States(ctx, id)
	if err != nil {
		return id, v, s, err
	}
	for i, info := range list {
		if ref.Version != "" && ref.Version != info.Version().String() {
			continue
		}
		s, err = c.journal.State(ctx, id, info.Version())
		if errors.Is(err, journal.ErrChecksum) {
			return id, v, s, unreadable(id, info.Version())
		}
		return id, versionView(info, s, i == 0, err), s, err
	}
	return id, v, s, &Problem{
		Code: CodeNotFound, Title: fmt.Sprintf("no version %q of the state of %s in %s is kept", ref.Version, ref.Name, ref.Region),
		Next: "see meridian state list " + ref.Name + " " + ref.Region,
	}
}

func unreadable(id stacks.StackID, v journal.Version) error {
	return &Problem{
		Code: CodeConflict, Title: fmt.Sprintf("version %s of the state of %s in %s is damaged", v, id.Name, id.Region),
		Detail: "what is stored is not what was written", Next: fmt.Sprintf("restore another version: meridian state list %s %s", id.Name, id.Region),
	}
}

// RemoteState is a state with a region's outputs and nothing else, for terraform_remote_state of other stacks.
func (c *Client) RemoteState(ctx context.Context, namespace, name, region string) ([]byte, error) {
	id, _, s, err := c.stateOf(ctx, StateRef{Namespace: namespace, Name: name, Region: region})
	if err != nil {
		return nil, err
	}
	text, err := terraform.OutputsOnly(s.Payload)
	if err != nil {
		return nil, unreadable(id, s.Version())
	}
	return text, nil
}
