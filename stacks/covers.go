package stacks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Covers answers whether a yes to the approved changes of one stack is a yes to what is planned now, after the apply of them was
// interrupted; where it is not, why says what is new. It compares address, action and values before and after, and is strict: what it
// cannot tell is not covered. Both must be of one rendering of the stack, so that a sensitive value, which is not here, is the same.
//
// What was approved may be done in part, so less is covered. "Create A" covers the import of A and the update of it in place to the values
// that were approved. A replacement, a forgetting and an update of something that exists are covered by exactly the same alone, a delete by the
// delete of the same object. Of a replacement that was cut short between its halves the other half is covered: the making of the new object, with
// the values that were shown or kept, where the old one is gone; the delete of the old one, which the state calls deposed, where the new one is there. An engine's version or
// a deletion protection changes only where exactly that change was approved. "Known after apply" covers what it has become. Where the update
// of an object was cut short (its address is among halfway), what that left of it may go back to what the state says: a server that was
// being restarted is started.
func Covers(approved, now []Change, halfway ...string) (ok bool, why string) {
	for _, n := range now {
		if n.Action == ActionRead {
			continue // a look changes nothing
		}
		i := slices.IndexFunc(approved, func(a Change) bool { return a.Address == n.Address })
		if i < 0 {
			if old, is := n.deposed(); is && slices.ContainsFunc(approved, func(a Change) bool { return a.Address == old && endsReplacement(a, n) }) {
				continue
			}
			return false, fmt.Sprintf("%s of %s was not part of it", n.Action, n.Address)
		}
		if slices.Contains(halfway, n.Address) && approved[i].Action == ActionUpdate && n.Action == ActionUpdate {
			n = n.withoutRestored()
		}
		if why := beyond(approved[i], n); why != "" {
			return false, fmt.Sprintf("%s of %s: %s", n.Action, n.Address, why)
		}
	}
	return true, ""
}

// withoutRestored leaves out what only undoes what an interruption did, unless it is an engine's version or a protection.
func (c Change) withoutRestored() Change {
	c.Attributes = slices.DeleteFunc(slices.Clone(c.Attributes), func(a AttributeChange) bool {
		return slices.Contains(c.Restores, a.Path) && !guarded(a.Path)
	})
	return c
}

// beyond says what of a change goes beyond the approved one of the same address; "" where nothing does.
func beyond(a, n Change) string {
	switch {
	case n.Type != a.Type:
		return "it was of type " + a.Type
	case n.PreviousAddress != "" && n.PreviousAddress != a.PreviousAddress:
		return "it moves from " + n.PreviousAddress
	case strings.HasPrefix(n.Address, "output."):
		return beyondOutput(a, n)
	}
	makes := a.Action == ActionCreate || a.Action == ActionReplace
	switch n.Action {
	case ActionNoop:
		if !n.Importing || makes || a.Importing {
			return ""
		}
		return "its import was not approved"
	case ActionCreate:
		if makes {
			return beyondMaking(a, n)
		}
	case ActionUpdate:
		if a.Action == ActionCreate || makes && n.Importing { // what is in the state under the address of a replacement may be the old object
			return beyondMaking(a, n)
		}
		if a.Action == ActionUpdate {
			return beyondUpdate(a, n)
		}
	case ActionDelete:
		if a.Action == ActionDelete {
			return beyondDelete(a, n)
		}
	case ActionReplace, ActionForget:
		if a.Action == n.Action {
			return beyondSame(a, n)
		}
	}
	return "approved was " + string(a.Action)
}

// beyondOutput compares what an output becomes: it changes no object.
func beyondOutput(a, n Change) string {
	if (n.Action == ActionDelete) != (a.Action == ActionDelete) {
		return "approved was " + string(a.Action)
	}
	return beyondMaking(a, n)
}

// beyondMaking compares what is to be made or finished with what was approved to be made. A create makes all of it, an update the rest.
func beyondMaking(a, n Change) string {
	want := leavesOf(slices.Concat(a.Keeps, a.Attributes))
	for _, c := range n.Attributes {
		if n.Action == ActionUpdate && guarded(c.Path) && !c.Unknown {
			return c.Path + " of something that exists may only change where exactly that was approved"
		}
		if why := want.beyond(c); why != "" {
			return why
		}
	}
	if n.Action != ActionCreate {
		return ""
	}
	have := leavesOf(n.Attributes)
	for _, path := range sortedKeys(want.values) {
		if _, there := have.values[path]; !there && !have.under(path) {
			return path + " is not set any more"
		}
	}
	return ""
}

// beyondUpdate wants each attribute to change exactly as was approved; some may have changed already.
func beyondUpdate(a, n Change) string {
	for _, c := range n.Attributes {
		i := slices.IndexFunc(a.Attributes, func(x AttributeChange) bool { return x.Path == c.Path })
		if i < 0 {
			return "the change of " + c.Path + " was not approved"
		}
		if x := a.Attributes[i]; !sameAttribute(x, c) {
			return c.Path + " changes otherwise than was approved"
		}
	}
	return ""
}

// sameAttribute compares two changes of one attribute. What is computed (known after apply) has no value to compare.
func sameAttribute(a, n AttributeChange) bool {
	if a.Unknown && n.Unknown && a.Sensitive == n.Sensitive && !n.Forces {
		return true
	}
	return a == n
}

// identities are the attributes by which an object is known as the one that was shown. Others move by themselves: a server that is
// being destroyed is stopped first.
var identities = []string{
	"id", "arn", "self_link", "resource_id", "identifier", "name", "owner", "data_dir", "path", "system_identifier",
}

// beyondDelete wants the object to be the one that was shown.
func beyondDelete(a, n Change) string {
	for _, c := range a.Attributes {
		if !slices.Contains(identities, c.Path) {
			continue
		}
		i := slices.IndexFunc(n.Attributes, func(x AttributeChange) bool { return x.Path == c.Path })
		if i < 0 || n.Attributes[i].Before != c.Before || n.Attributes[i].Sensitive != c.Sensitive {
			return "it is another object: " + c.Path + " differs"
		}
	}
	for _, c := range n.Attributes {
		if slices.Contains(identities, c.Path) && !slices.ContainsFunc(a.Attributes, func(x AttributeChange) bool { return x.Path == c.Path }) {
			return "it is another object: " + c.Path + " differs"
		}
	}
	return ""
}

// deposed tells the address of the object that replaced this one, where this one is only still there to be deleted.
func (c Change) deposed() (address string, is bool) {
	address, _, is = strings.Cut(c.Address, " (deposed ")
	return address, is
}

// endsReplacement reports whether n is the delete of the old object of the replacement a: by an identity that the new one does not have, and
// against none that was shown or kept.
func endsReplacement(a, n Change) bool {
	if a.Action != ActionReplace || n.Action != ActionDelete || a.Type != n.Type {
		return false
	}
	proven := false
	for _, c := range n.Attributes {
		if !slices.Contains(identities, c.Path) {
			continue
		}
		same := func(x AttributeChange) bool {
			return x.Path == c.Path && x.Before == c.Before && !x.Sensitive && !c.Sensitive
		}
		switch i := slices.IndexFunc(a.Attributes, same); {
		case i >= 0:
			proven = proven || c.Before != "" && c.Before != "null" && (a.Attributes[i].Unknown || a.Attributes[i].After != c.Before)
		case !slices.ContainsFunc(a.Keeps, same):
			return false
		}
	}
	return proven
}

// beyondSame wants exactly the same change.
func beyondSame(a, n Change) string {
	if a.Importing == n.Importing && a.Reason == n.Reason && slices.Equal(a.Attributes, n.Attributes) && slices.Equal(a.Keeps, n.Keeps) {
		return ""
	}
	return "it is not exactly what was approved"
}

// guardedNames are the last words of attributes whose change upgrades an engine or lifts a protection.
var guardedNames = []string{
	"engine_version", "database_version", "server_version", "version", "engine",
	"deletion_protection", "deletion_protection_enabled", "deletion_policy", "prevent_destroy", "protect",
}

func guarded(path string) bool {
	return slices.Contains(guardedNames, lastWord(path))
}

// leaves are the values of changes by the path of each leaf: a list is shown whole or by its elements.
type leaves struct {
	values map[string]string
	// open are paths whose value is not here: known after apply, or sensitive.
	open map[string]AttributeChange
}

// leavesOf cuts the values after the changes into leaves; a null is none.
func leavesOf(list []AttributeChange) leaves {
	l := leaves{values: map[string]string{}, open: map[string]AttributeChange{}}
	for _, c := range list {
		if c.Sensitive || c.Unknown {
			l.open[c.Path] = c
		} else {
			l.cut(c.Path, c.After)
		}
	}
	return l
}

func (l leaves) cut(path, text string) {
	if text == "" || text == "null" {
		return
	}
	var list []json.RawMessage
	if text[0] != '[' || json.Unmarshal([]byte(text), &list) != nil || len(list) == 0 {
		l.values[path] = text
		return
	}
	for i, e := range list {
		l.cut(path+"["+strconv.Itoa(i)+"]", string(e))
	}
}

// under reports whether a path lies at or under one whose value is not here.
func (l leaves) under(path string) bool {
	for open := range l.open {
		if rest, ok := strings.CutPrefix(path, open); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// beyond says what of an attribute's new value was not approved.
func (l leaves) beyond(c AttributeChange) string {
	differs := c.Path + " would not get the value that was approved"
	if o, there := l.open[c.Path]; there && (c.Sensitive && o.Sensitive || o.Unknown && (c.Unknown || !c.Sensitive)) {
		return ""
	}
	if c.Sensitive || c.Unknown {
		return differs
	}
	now, was := leaves{values: map[string]string{}}, leaves{values: map[string]string{}}
	now.cut(c.Path, c.After)
	was.cut(c.Path, c.Before)
	for path, text := range now.values {
		if l.values[path] != text && !l.unknown(path) {
			return differs
		}
	}
	for path := range was.values { // what goes must be nothing that was approved
		if _, stays := now.values[path]; stays {
			continue
		}
		if _, wanted := l.values[path]; wanted || l.under(path) {
			return differs
		}
	}
	return ""
}

// unknown reports whether a path was approved as known after apply.
func (l leaves) unknown(path string) bool {
	for open, c := range l.open {
		if rest, ok := strings.CutPrefix(path, open); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && c.Unknown && !c.Sensitive {
			return true
		}
	}
	return false
}
