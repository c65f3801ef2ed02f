package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"meridian/stacks"
)

// StateObject is one object of a state, or one of its root outputs ("output.NAME"), as people may see it.
type StateObject struct {
	StateResource
	// Attributes has the values in After; those of sensitive attributes are left out.
	Attributes []stacks.AttributeChange
}

// statusPath is the path of what a state says of an object beside its attributes.
const statusPath = "(status)"

// ShowState reads what is in a state, in order of address, resources before outputs. No sensitive value is in what it returns.
func ShowState(data []byte) ([]StateObject, error) {
	read, err := ReadState(data)
	if err != nil {
		return nil, err
	}
	objects, outputs, err := stateParts(data)
	if err != nil {
		return nil, err
	}
	hide := hider{}
	for _, o := range append(objects[:len(objects):len(objects)], outputs...) {
		hide.learn(o.after)
	}
	var out []StateObject
	for _, r := range read.Resources {
		o := StateObject{StateResource: r}
		for _, c := range objects {
			if c.address == r.Address && c.deposed == r.Deposed {
				o.Attributes = hide.shown(c.after)
			}
		}
		out = append(out, o)
	}
	for _, c := range outputs {
		out = append(out, StateObject{StateResource: StateResource{Address: c.address}, Attributes: hide.shown(c.after)})
	}
	return out, nil
}

// shown lists the attributes of a value, without what is sensitive anywhere.
func (h *hider) shown(v *value) []stacks.AttributeChange {
	var d differ
	d.diff(nil, nil, v)
	h.mask(d.changes)
	return d.changes
}

// DiffStates tells what differs between two states of one stack, attribute by attribute, as changes that lead from one to the other: what
// only before holds is a delete (the object itself is not touched), what only after holds a create, and an object with another address
// and the same values a move. No sensitive value is in what it returns.
func DiffStates(before, after []byte, dataBearing []string) ([]stacks.Change, error) {
	beforeObjects, beforeOutputs, err := stateParts(before)
	if err != nil {
		return nil, err
	}
	afterObjects, afterOutputs, err := stateParts(after)
	if err != nil {
		return nil, err
	}
	parts := planParts{resources: moved(paired(beforeObjects, afterObjects)), outputs: paired(beforeOutputs, afterOutputs)}
	var plan Plan
	parts.fill(&plan, dataBearing)
	var out []stacks.Change
	for _, c := range plan.Changes {
		if c.Action != stacks.ActionUpdate || len(c.Attributes) > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}

// paired joins the objects of two states by their addresses.
func paired(before, after []objectChange) []objectChange {
	key := func(o objectChange) string { return o.address + " " + o.deposed }
	all := map[string]objectChange{}
	for _, o := range before {
		o.before, o.after, o.action = o.after, nil, stacks.ActionDelete
		all[key(o)] = o
	}
	for _, o := range after {
		o.action = stacks.ActionCreate
		if was, ok := all[key(o)]; ok {
			o.before, o.action = was.before, stacks.ActionUpdate
		}
		all[key(o)] = o
	}
	keys := make([]string, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	out := make([]objectChange, 0, len(keys))
	for _, k := range keys {
		out = append(out, all[k])
	}
	return out
}

// moved joins what went away with what came under another address, where both are the same object of the same type.
func moved(list []objectChange) []objectChange {
	gone := map[int]bool{}
	for i := range list {
		if list[i].action != stacks.ActionCreate {
			continue
		}
		for k := range list {
			if list[k].action == stacks.ActionDelete && !gone[k] && list[k].typ == list[i].typ && same(list[k].before, list[i].after) {
				list[i].action, list[i].previous, list[i].before = stacks.ActionNoop, list[k].address, list[k].before
				gone[k] = true
				break
			}
		}
	}
	var out []objectChange
	for i, o := range list {
		if !gone[i] {
			out = append(out, o)
		}
	}
	return out
}

// wireObjects is what stateParts reads of a state beside ReadState.
type wireObjects struct {
	Outputs   map[string]wireOutput `json:"outputs"`
	Resources []struct {
		wireStateResource
		Instances []struct {
			IndexKey   json.RawMessage  `json:"index_key"`
			Status     string           `json:"status"`
			Deposed    string           `json:"deposed"`
			Attributes json.RawMessage  `json:"attributes"`
			Sensitive  [][]wirePathStep `json:"sensitive_attributes"`
		} `json:"instances"`
	} `json:"resources"`
}

// wirePathStep is one step of a path in a state: get_attr with a name, or index with a value.
type wirePathStep struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

// stateParts reads objects and outputs with their values, as what is there after.
func stateParts(data []byte) (objects, outputs []objectChange, err error) {
	if _, err := decodeState(data); err != nil {
		return nil, nil, err
	}
	var w wireObjects
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, nil, fmt.Errorf("state file: %w", err)
	}
	for _, r := range w.Resources {
		for _, i := range r.Instances {
			o := objectChange{typ: r.Type, deposed: i.Deposed}
			if o.address, err = instanceAddress(r.wireStateResource, i.IndexKey); err != nil {
				return nil, nil, err
			}
			if o.after, err = stateValue(i.Attributes); err != nil {
				return nil, nil, fmt.Errorf("state file: attributes of %s: %w", o.address, err)
			}
			for _, path := range i.Sensitive {
				o.after.mark(statePath(path))
			}
			if i.Status != "" && o.after != nil && o.after.kind == mapValue {
				o.after.fields[statusPath] = stringLeaf(i.Status)
			}
			objects = append(objects, o)
		}
	}
	for name, output := range w.Outputs {
		o := objectChange{address: "output." + name}
		if o.after, err = stateValue(output.Value); err != nil {
			return nil, nil, fmt.Errorf("state file: output %s: %w", name, err)
		}
		if output.Sensitive && o.after != nil {
			o.after.sensitive = true
		}
		outputs = append(outputs, o)
	}
	sort.Slice(outputs, func(i, k int) bool { return strings.Compare(outputs[i].address, outputs[k].address) < 0 })
	return objects, outputs, nil
}

// stateValue reads a JSON value; nil where there is none.
func stateValue(text json.RawMessage) (*value, error) {
	if len(text) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return shownBare(v, nil, nil), nil
}

// statePath reads a path of a state. A step that is not known ends it: hiding too much is safe.
func statePath(steps []wirePathStep) []step {
	var out []step
	for _, s := range steps {
		var name string
		var key struct {
			Value json.RawMessage `json:"value"`
		}
		switch s.Type {
		case "get_attr":
			if json.Unmarshal(s.Value, &name) != nil {
				return out
			}
			out = append(out, step{name: name, named: true})
		case "index":
			if json.Unmarshal(s.Value, &key) != nil {
				return out
			}
			var n json.Number
			switch {
			case json.Unmarshal(key.Value, &name) == nil:
				out = append(out, step{name: name, named: true})
			case json.Unmarshal(key.Value, &n) == nil:
				i, err := n.Int64()
				if err != nil {
					return out
				}
				out = append(out, step{index: int(i)})
			default:
				return out
			}
		default:
			return out
		}
	}
	return out
}

// OutputsOnly is a state with its outputs and nothing else: what another stack may read by terraform_remote_state. Sensitive outputs are
// left out.
func OutputsOnly(data []byte) ([]byte, error) {
	w, err := decodeState(data)
	if err != nil {
		return nil, err
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	var outputs map[string]json.RawMessage
	if err := json.Unmarshal(whole["outputs"], &outputs); err != nil && len(whole["outputs"]) > 0 {
		return nil, fmt.Errorf("state file: outputs: %w", err)
	}
	shown := map[string]json.RawMessage{}
	for name, text := range outputs {
		if !w.Outputs[name].Sensitive {
			shown[name] = text
		}
	}
	return json.MarshalIndent(struct {
		Version          int                        `json:"version"`
		TerraformVersion string                     `json:"terraform_version"`
		Serial           int64                      `json:"serial"`
		Lineage          string                     `json:"lineage"`
		Outputs          map[string]json.RawMessage `json:"outputs"`
		Resources        []struct{}                 `json:"resources"`
	}{w.Version, w.TerraformVersion, *w.Serial, w.Lineage, shown, []struct{}{}}, "", "  ")
}
