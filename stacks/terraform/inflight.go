package terraform

import (
	"errors"
	"slices"
	"time"

	"meridian/stacks"
)

// ApplyAttempt is what one launch of an apply has left: its events in order and how it ended.
type ApplyAttempt struct {
	// Step is the ID of the step whose attempt it was.
	Step   string
	Events []StreamEvent
	// Replaces are the addresses of the objects that its plan replaces.
	Replaces []string
	// StoppedAt is when terraform was told to stop, zero where it was not: what fails after it was stopped by us, not by itself.
	StoppedAt time.Time
}

// InFlight is one object that terraform was working on when it was interrupted.
type InFlight struct {
	Address string
	Type    string
	// Action is what terraform was doing: create, update, delete.
	Action stacks.Action
	// InState says that the state has the object.
	InState bool
	// Tainted says that the state has the object as tainted, which only the interruption did: its create did not fail by itself, and no
	// provisioner was at work (one that was cut short cannot be run again by an untaint).
	Tainted bool
	// Beside says that it was being made beside the object that it replaces, which the state still has under its address, as deposed or not.
	// Whatever there is of the new one cannot be taken into the state there: terraform passes over such an import, and says nothing.
	Beside bool
	// Begun is the step in which terraform began this, the last time that it did.
	Begun string
}

// FindInFlight tells which objects the last attempts at applying one stack (oldest first) have left unfinished, by address. The state is
// the newest one: an object that is being made is not unfinished any more once the state has it whole, and one that is being changed or
// deleted not once the state has it no more.
func FindInFlight(attempts []ApplyAttempt, state StateFile) []InFlight {
	open := map[string]work{}
	for _, a := range attempts {
		a.follow(open)
	}
	have, deposed := map[string]StateResource{}, map[string]bool{}
	for _, r := range state.Resources {
		if r.Deposed == "" {
			have[r.Address] = r
		} else {
			deposed[r.Address] = true
		}
	}
	var out []InFlight
	for address, w := range open {
		r, known := have[address]
		object := InFlight{Address: address, Type: w.typ, Action: w.action, InState: known, Begun: w.step}
		switch {
		case w.action == stacks.ActionCreate && known && !w.done && w.beside && !deposed[address]:
			object.Beside = true
		case w.action == stacks.ActionCreate && known && (!r.Tainted || w.done):
			continue
		case w.action == stacks.ActionCreate && known:
			object.Tainted = !w.provisioned && !w.unsaid
		case w.action == stacks.ActionCreate:
			object.Beside = deposed[address]
		case !known:
			continue
		}
		out = append(out, object)
	}
	slices.SortFunc(out, func(a, b InFlight) int {
		if a.Address < b.Address {
			return -1
		}
		return 1
	})
	return out
}

// work is what terraform has begun on one address.
type work struct {
	step, typ   string
	action      stacks.Action
	provisioned bool
	done        bool
	// beside is set where it replaces something that was not deleted before.
	beside bool
	// unsaid is set where it failed and terraform was killed before it said why: that may have been the object's own fault.
	unsaid bool
}

// follow moves what is open by the events of one attempt.
func (a ApplyAttempt) follow(open map[string]work) {
	deleted := map[string]bool{}
	died, own, exists := false, map[string]bool{}, map[string]bool{} // that a plugin died is said of no address
	for _, e := range a.Events {
		if d, ok := DiagnosticOf(e); ok && d.Severity == stacks.SeverityError {
			died = died || pluginDied(d)
			own[d.Address] = own[d.Address] || !pluginDied(d)
			exists[d.Address] = exists[d.Address] || errors.Is(ErrorOf([]stacks.Diagnostic{d}), ErrExists)
		}
	}
	jumped := setBack(a.Events)
	for _, e := range a.Events {
		switch e.Type {
		case EventApplyStart:
			if changes(e.Action) {
				open[e.Address] = work{
					step: a.Step, typ: e.Resource, action: e.Action,
					beside: e.Action == stacks.ActionCreate && slices.Contains(a.Replaces, e.Address) && !deleted[e.Address],
				}
			}
		case EventProvisionStart:
			if w, ok := open[e.Address]; ok {
				w.provisioned = true
				open[e.Address] = w
			}
		case EventApplyComplete:
			if w, ok := open[e.Address]; ok && w.action == stacks.ActionCreate {
				w.done = true // and yet the state may not have it: terraform says so before it writes it
				open[e.Address] = w
				continue
			}
			deleted[e.Address] = deleted[e.Address] || open[e.Address].action == stacks.ActionDelete
			delete(open, e.Address)
		case EventApplyErrored:
			stopped := !a.StoppedAt.IsZero() && (jumped || !e.Time.Before(a.StoppedAt))
			w, ok := open[e.Address]
			if exists[e.Address] && w.action == stacks.ActionCreate {
				continue // it is there and no state has it: an attempt before this one, or one whose state was lost, has made it, so look again
			}
			switch {
			case stopped || !ok:
			case own[e.Address] || own[""] && !died:
				delete(open, e.Address) // it failed by itself: the state says what there is
			case !died:
				w.unsaid = true // reasons are given at the very end
				open[e.Address] = w
			}
		}
	}
}

// outOfOrder is how much earlier than its predecessor an event may be that two of terraform's threads wrote at once.
const outOfOrder = 100 * time.Millisecond

// setBack reports whether the clock that dates these events was set back between them. Then nobody knows what failed before terraform was
// told to stop, and what failed by itself is looked up too.
func setBack(events []StreamEvent) bool {
	var last time.Time
	for _, e := range events {
		if e.Time.IsZero() {
			continue
		}
		if e.Time.Before(last.Add(-outOfOrder)) {
			return true
		}
		last = e.Time
	}
	return false
}

// Began reports whether the attempt began to change the world.
func (a ApplyAttempt) Began() bool {
	return slices.ContainsFunc(a.Events, func(e StreamEvent) bool { return e.Type == EventApplyStart && changes(e.Action) })
}

func changes(a stacks.Action) bool {
	return a == stacks.ActionCreate || a == stacks.ActionUpdate || a == stacks.ActionDelete
}

// Balance says what an apply that was cut short had done of its plan, by address, in order.
type Balance struct{ Finished, InFlight, Left []string }

// BalanceOf compares what was planned with what happened.
func BalanceOf(planned []stacks.Change, a ApplyAttempt) Balance {
	open := map[string]work{}
	a.follow(open)
	begun, ended := map[string]bool{}, map[string]bool{}
	for _, e := range a.Events {
		switch e.Type {
		case EventApplyStart:
			begun[e.Address] = true
		case EventApplyComplete:
			ended[e.Address] = true
		}
	}
	var b Balance
	for _, c := range planned {
		w, unfinished := open[c.Address]
		unfinished = unfinished && !w.done
		switch {
		case c.Type == "" || c.Action == stacks.ActionNoop || c.Action == stacks.ActionRead: // an output, or nothing to do
		case unfinished:
			b.InFlight = append(b.InFlight, c.Address)
		case begun[c.Address] && ended[c.Address]:
			b.Finished = append(b.Finished, c.Address)
		default:
			b.Left = append(b.Left, c.Address)
		}
	}
	return b
}
