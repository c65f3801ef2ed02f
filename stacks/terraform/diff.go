package terraform

import (
	"fmt"
	"regexp"
	"strings"

	"meridian/stacks"
)

// differ collects the attributes that differ between two values.
type differ struct {
	replace [][]step
	changes []stacks.AttributeChange
	// keeping collects in kept what stays the same too.
	keeping bool
	kept    []stacks.AttributeChange
}

func (d *differ) diff(path []step, before, after *value) {
	hidden := before != nil && before.sensitive || after != nil && after.sensitive
	switch {
	case hidden:
		d.hidden(path, before, after)
	case after != nil && after.unknown || before != nil && before.unknown:
		d.shown(path, before, after)
	case !before.marked() && !after.marked() && same(before, after):
		d.keep(path, after)
	case before.plain() && after.plain():
		d.shown(path, before, after)
	default:
		d.descend(path, before, after)
	}
}

// hidden reports a sensitive attribute without its values, where the value or the mark changes.
func (d *differ) hidden(path []step, before, after *value) {
	unknown := after != nil && after.unknown
	markMoved := before != nil && after != nil && before.sensitive != after.sensitive
	if unknown || markMoved || !same(before, after) {
		d.add(stacks.AttributeChange{Path: pathText(path), Sensitive: true, Unknown: unknown, Forces: d.forces(path)})
	} else if d.keeping {
		d.kept = append(d.kept, stacks.AttributeChange{Path: pathText(path), Sensitive: true})
	}
}

// keep notes a value that stays as it is, in the words that its making would have. Nothing in it is sensitive.
func (d *differ) keep(path []step, stays *value) {
	if !d.keeping || len(path) == 0 {
		return
	}
	made := differ{}
	made.diff(path, nil, stays)
	for _, c := range made.changes {
		d.kept = append(d.kept, stacks.AttributeChange{Path: c.Path, Before: c.After, After: c.After})
	}
}

func (d *differ) shown(path []step, before, after *value) {
	c := stacks.AttributeChange{Path: pathText(path), Forces: d.forces(path)}
	if before != nil && !before.unknown {
		c.Before = before.json()
	}
	switch {
	case after != nil && after.unknown:
		c.Unknown = true
	case after != nil:
		c.After = after.json()
	}
	d.add(c)
}

// descend compares the parts of two containers. Parts of different kinds are a removal and an addition.
func (d *differ) descend(path []step, before, after *value) {
	if before != nil && after != nil && before.kind != after.kind {
		d.diff(path, before, nil)
		d.diff(path, nil, after)
		return
	}
	b, a := parts(before), parts(after)
	for i := range max(len(b.list), len(a.list)) {
		d.diff(append(path[:len(path):len(path)], step{index: i}), b.at(i), a.at(i))
	}
	keys := map[string]*value{}
	for k := range b.fields {
		keys[k] = nil
	}
	for k := range a.fields {
		keys[k] = nil
	}
	for _, k := range sortedKeys(keys) {
		d.diff(append(path[:len(path):len(path)], step{name: k, named: true}), b.fields[k], a.fields[k])
	}
}

func parts(v *value) value {
	if v == nil {
		return value{}
	}
	return *v
}

func (v value) at(i int) *value {
	if i < len(v.list) {
		return v.list[i]
	}
	return nil
}

func (d *differ) add(c stacks.AttributeChange) {
	if c.Path == "" {
		c.Path = outputValue
	}
	d.changes = append(d.changes, c)
}

// forces reports whether the path lies at or under one that forces a replacement, or above it.
func (d *differ) forces(path []step) bool {
	for _, r := range d.replace {
		n := min(len(r), len(path))
		match := true
		for i := range n {
			match = match && r[i] == path[i]
		}
		if match {
			return true
		}
	}
	return false
}

var bareKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// pathText writes a path as people do: settings.max_connections, tags["a b"], subnets[0].id.
func pathText(path []step) string {
	var b strings.Builder
	for i, s := range path {
		switch {
		case !s.named:
			fmt.Fprintf(&b, "[%d]", s.index)
		case !bareKey.MatchString(s.name):
			fmt.Fprintf(&b, "[%s]", jsonText(s.name))
		case i > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}
