package terraform

import (
	"encoding/json"
	"fmt"

	tfjson "github.com/hashicorp/terraform-json"

	"meridian/stacks"
)

// ChangesFromShow reads what `terraform show -json` of a plan prints, to the same result as ReadPlan, except for its Mode.
func ChangesFromShow(show []byte, dataBearing []string) (Plan, error) {
	var p tfjson.Plan
	p.UseJSONNumber(true)
	if err := json.Unmarshal(show, &p); err != nil {
		return Plan{}, fmt.Errorf("plan from show: %w", err)
	}
	var more struct {
		Errored bool `json:"errored"`
	}
	if err := json.Unmarshal(show, &more); err != nil {
		return Plan{}, fmt.Errorf("plan from show: %w", err)
	}
	plan := Plan{TerraformVersion: p.TerraformVersion, Errored: more.Errored}
	var parts planParts
	var err error
	if parts.resources, err = shownResources(p.ResourceChanges); err != nil {
		return Plan{}, err
	}
	for name, c := range p.OutputChanges {
		o, err := shownChange(c)
		if err != nil {
			return Plan{}, fmt.Errorf("plan from show: output %s: %w", name, err)
		}
		o.address = "output." + name
		parts.outputs = append(parts.outputs, o)
	}
	if parts.drift, err = shownResources(p.ResourceDrift); err != nil {
		return Plan{}, err
	}
	parts.fill(&plan, dataBearing)
	return plan, nil
}

func shownResources(list []*tfjson.ResourceChange) ([]objectChange, error) {
	var changes []objectChange
	for _, r := range list {
		if r == nil || r.Change == nil {
			continue
		}
		o, err := shownChange(r.Change)
		if err != nil {
			return nil, fmt.Errorf("plan from show: %s: %w", r.Address, err)
		}
		o.address, o.previous, o.deposed = r.Address, r.PreviousAddress, r.DeposedKey
		o.typ, o.reason = r.Type, string(r.ActionReason)
		changes = append(changes, o)
	}
	return changes, nil
}

func shownChange(c *tfjson.Change) (objectChange, error) {
	o := objectChange{action: shownAction(c.Actions), importing: c.Importing != nil}
	if o.action == "" {
		return o, fmt.Errorf("%w: actions %v", ErrPlanVersion, c.Actions)
	}
	o.before = shownValue(c.Before, nil, c.BeforeSensitive)
	o.after = shownValue(c.After, c.AfterUnknown, c.AfterSensitive)
	for _, p := range c.ReplacePaths {
		steps, _ := p.([]any)
		path := make([]step, 0, len(steps))
		for _, s := range steps {
			path = append(path, shownStep(s))
		}
		o.replace = append(o.replace, path)
	}
	return o, nil
}

func shownAction(a tfjson.Actions) stacks.Action {
	switch {
	case a.Replace():
		return stacks.ActionReplace
	case len(a) == 1:
		for _, known := range planActions {
			if string(known) == string(a[0]) {
				return known
			}
		}
	}
	return ""
}

func shownStep(s any) step {
	switch s := s.(type) {
	case string:
		return step{name: s, named: true}
	case json.Number:
		if i, err := s.Int64(); err == nil {
			return step{index: int(i)}
		}
	}
	return step{index: -1}
}

// shownValue joins a value with the two trees that lie beside it: true at a place means unknown or sensitive there.
func shownValue(v, unknown, sensitive any) *value {
	out := shownBare(v, unknown, sensitive)
	if unknown == true {
		out = &value{unknown: true}
	}
	if sensitive == true && out != nil {
		out.sensitive = true
	}
	return out
}

func shownBare(v, unknown, sensitive any) *value {
	unknownFields, _ := unknown.(map[string]any)
	unknownList, _ := unknown.([]any)
	sensitiveFields, _ := sensitive.(map[string]any)
	sensitiveList, _ := sensitive.([]any)
	switch v := v.(type) {
	case bool:
		if v {
			return &value{text: "true"}
		}
		return &value{text: "false"}
	case string:
		return stringLeaf(v)
	case json.Number:
		return numberLeaf(v.String())
	case []any:
		out := &value{kind: listValue}
		for i, e := range v {
			out.list = append(out.list, shownValue(e, at(unknownList, i), at(sensitiveList, i)))
		}
		return out
	case map[string]any:
		out := &value{kind: mapValue, fields: map[string]*value{}}
		for k, e := range v {
			out.fields[k] = shownValue(e, unknownFields[k], sensitiveFields[k])
		}
		for k, u := range unknownFields {
			if _, there := v[k]; !there {
				if e := shownValue(nil, u, sensitiveFields[k]); e != nil {
					out.fields[k] = e
				}
			}
		}
		return out
	}
	return nil
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}
