package terraform

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"meridian/stacks"
)

// ErrPlanVersion says that a plan file cannot be read without its terraform: its format, or something in it, is not known here.
// The caller falls back to `terraform show -json`.
var ErrPlanVersion = errors.New("plan file: only terraform show can tell")

// ErrPlanSensitive is an ErrPlanVersion: the plan file does not mark all that a provider's schema calls sensitive. Terraform leaves
// those marks out of the new values of replacements (seen in 1.11.4), OpenTofu leaves them out altogether.
var ErrPlanSensitive = fmt.Errorf("%w what is sensitive", ErrPlanVersion)

// ErrPlanSize says that a plan file is larger than any real plan.
var ErrPlanSize = errors.New("plan file: too large")

// PlanMode is what kind of plan it is.
type PlanMode string

// The modes of a plan.
const (
	PlanNormal      PlanMode = "normal"
	PlanDestroy     PlanMode = "destroy"
	PlanRefreshOnly PlanMode = "refresh-only"
)

// Plan is what people see and approve of a plan file.
type Plan struct {
	TerraformVersion string
	// Changes are in order of address, resources before outputs. No-ops are left out unless something moves or is imported.
	// A root output has the address "output.NAME" and one attribute, "value"; a deposed object has its key behind its address.
	Changes []stacks.Change
	// Drift is what differs from the state, found by the refresh.
	Drift   []stacks.Change
	Errored bool
	// Mode is empty where it was read from `show -json`, which does not say.
	Mode PlanMode
}

// outputValue is the path of the one attribute of an output.
const outputValue = "value"

// objectChange is one change as both sources give it, before it is made ready for people.
type objectChange struct {
	address, previous, deposed string
	typ                        string
	action                     stacks.Action
	reason                     string
	importing                  bool
	before, after              *value
	// replace are the paths that force a replacement.
	replace [][]step
}

// planParts are all changes of a plan, as both sources give them.
type planParts struct{ resources, outputs, drift []objectChange }

// fill makes the parts ready for people.
func (p planParts) fill(plan *Plan, dataBearing []string) {
	hide := hider{}
	for _, list := range [][]objectChange{p.resources, p.outputs, p.drift} {
		for _, o := range list {
			hide.learn(o.before)
			hide.learn(o.after)
		}
	}
	plan.Changes = append(readyChanges(p.resources, dataBearing, hide), readyChanges(p.outputs, nil, hide)...)
	for _, c := range readyChanges(p.drift, dataBearing, hide) {
		if c.Action != stacks.ActionNoop {
			plan.Drift = append(plan.Drift, c)
		}
	}
	for i := range plan.Changes {
		plan.Changes[i].Restores = restores(plan.Changes[i], plan.Drift)
	}
}

// restores are the paths of an update that only undo what the refresh found.
func restores(c stacks.Change, drift []stacks.Change) (out []string) {
	i := slices.IndexFunc(drift, func(d stacks.Change) bool { return d.Address == c.Address && d.Action == stacks.ActionUpdate })
	if c.Action != stacks.ActionUpdate || i < 0 {
		return nil
	}
	for _, now := range c.Attributes {
		if now.Sensitive || now.Unknown {
			continue
		}
		if slices.ContainsFunc(drift[i].Attributes, func(was stacks.AttributeChange) bool {
			return was.Path == now.Path && !was.Sensitive && was.Before == now.After && was.After == now.Before
		}) {
			out = append(out, now.Path)
		}
	}
	return out
}

func readyChanges(list []objectChange, dataBearing []string, hide hider) []stacks.Change {
	var changes []stacks.Change
	for _, o := range list {
		if c, ok := o.change(dataBearing); ok {
			hide.mask(c.Attributes)
			hide.mask(c.Keeps)
			changes = append(changes, c)
		}
	}
	sort.SliceStable(changes, func(i, j int) bool { return changes[i].Address < changes[j].Address })
	return changes
}

// change turns an object's change into what people read. It is false where nothing happens.
func (o objectChange) change(dataBearing []string) (stacks.Change, bool) {
	moved := o.previous != "" && o.previous != o.address
	if o.action == stacks.ActionNoop && !moved && !o.importing {
		return stacks.Change{}, false
	}
	c := stacks.Change{Address: o.address, Type: o.typ, Action: o.action, Reason: o.reason, Importing: o.importing}
	if moved {
		c.PreviousAddress = o.previous
	}
	if o.deposed != "" {
		c.Address += " (deposed " + o.deposed + ")"
	}
	c.DataBearing = slices.Contains(dataBearing, o.typ) && !strings.HasPrefix(localAddress(o.address), "data.")
	d := differ{replace: o.replace, keeping: o.action == stacks.ActionReplace}
	if o.action != stacks.ActionForget && o.action != stacks.ActionNoop {
		d.diff(nil, o.before, o.after)
	}
	c.Attributes, c.Keeps = d.changes, d.kept
	return c, true
}

// localAddress is an address without the modules in front of it: `data.aws_vpc.x[0]` of `module.a["k.1"].data.aws_vpc.x[0]`.
func localAddress(address string) string {
	for strings.HasPrefix(address, "module.") {
		rest := address[len("module."):]
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			return address
		}
		rest = rest[end:]
		if rest[0] == '[' {
			end := indexEnd(rest)
			if end < 0 {
				return address
			}
			rest = rest[end+1:]
		}
		address = strings.TrimPrefix(rest, ".")
	}
	return address
}

// indexEnd is where the bracket that s starts with closes; quoted text may hold brackets.
func indexEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == ']':
			return i
		}
	}
	return -1
}

// ResourceType is the type in a resource's address.
func ResourceType(address string) string {
	typ, _, _ := strings.Cut(strings.TrimPrefix(localAddress(address), "data."), ".")
	return typ
}
