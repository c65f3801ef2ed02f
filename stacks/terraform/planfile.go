package terraform

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"meridian/stacks"
)

// The numbers are those of OpenTofu's published planfile.proto (MPL-2.0), format version 3; HashiCorp's are the same.
const (
	planFormat = 3

	planVersion, planChanges, planOutputs, planWriter, planMode, planDrift, planErrored protowire.Number = 1, 3, 4, 14, 17, 18, 20

	changeDeposed, changeProvider, changeChange, changeReplace, changeReason, changeAddress, changePrevious protowire.Number = 7, 8, 9, 11, 12, 13, 14

	outputName, outputChange, outputSensitive protowire.Number = 1, 2, 3

	deltaAction, deltaValues, deltaBeforePaths, deltaAfterPaths, deltaImporting protowire.Number = 1, 2, 3, 4, 5
)

var planActions = map[uint64]stacks.Action{
	0: stacks.ActionNoop, 1: stacks.ActionCreate, 2: stacks.ActionRead, 3: stacks.ActionUpdate, 5: stacks.ActionDelete,
	6: stacks.ActionReplace, 7: stacks.ActionReplace, 8: stacks.ActionForget,
}

// planReasons are in the words of `show -json`.
var planReasons = map[uint64]string{
	1: "replace_because_tainted", 2: "replace_by_request", 3: "replace_because_cannot_update", 4: "delete_because_no_resource_config",
	5: "delete_because_wrong_repetition", 6: "delete_because_count_index", 7: "delete_because_each_key", 8: "delete_because_no_module",
	9: "replace_by_triggers", 10: "read_because_config_unknown", 11: "read_because_dependency_pending",
	12: "delete_because_no_move_target", 13: "read_because_check_nested",
}

var planModes = map[uint64]PlanMode{0: PlanNormal, 1: PlanDestroy, 2: PlanRefreshOnly}

// The plan files whose marks of sensitive values were tried with providers: what terraform, not tofu, of these versions writes.
const (
	triedVersions = "1.11."
	triedWriter   = `maintained automatically by "terraform init"`
	builtinSource = `provider["terraform.io/builtin/`
)

// ReadPlan reads a plan file (a zip). dataBearing lists the resource types whose loss loses data. Sensitive values are left out.
// It gives ErrPlanVersion for a format version other than 3 or an action that it does not know, and its kind ErrPlanSensitive where
// the file may not mark all that is sensitive: a replacement by a provider with a schema of its own, a plan by tofu or by an untried version.
func ReadPlan(file []byte, dataBearing []string) (Plan, error) {
	body, lock, err := unpackPlan(file)
	if err != nil {
		return Plan{}, err
	}
	var p rawPlan
	if err := eachField(body, p.field); err != nil {
		return Plan{}, fmt.Errorf("plan file: %w", err)
	}
	if p.version != planFormat {
		return Plan{}, fmt.Errorf("%w: format version %d, want %d", ErrPlanVersion, p.version, planFormat)
	}
	plan := Plan{TerraformVersion: p.writer, Errored: p.errored, Mode: planModes[p.mode]}
	var r planReader
	var parts planParts
	if parts.resources, err = r.resources(p.changes); err != nil {
		return Plan{}, err
	}
	if parts.outputs, err = r.outputs(p.outputs); err != nil {
		return Plan{}, err
	}
	if parts.drift, err = r.resources(p.drift); err != nil {
		return Plan{}, err
	}
	tried := strings.HasPrefix(p.writer, triedVersions) && bytes.Contains(lock, []byte(triedWriter))
	if r.replacement || r.plugins && !tried {
		return Plan{}, ErrPlanSensitive
	}
	parts.fill(&plan, dataBearing)
	return plan, nil
}

type rawPlan struct {
	version, mode           uint64
	writer                  string
	errored                 bool
	changes, outputs, drift [][]byte
}

func (p *rawPlan) field(f field) error {
	switch f.id {
	case planVersion:
		p.version = f.number
	case planMode:
		p.mode = f.number
	case planErrored:
		p.errored = f.bool()
	case planWriter:
		p.writer = string(f.bytes)
	case planChanges:
		p.changes = append(p.changes, f.bytes)
	case planOutputs:
		p.outputs = append(p.outputs, f.bytes)
	case planDrift:
		p.drift = append(p.drift, f.bytes)
	}
	return nil
}

// planReader turns messages into changes; its counter bounds what one plan may hold.
type planReader struct {
	values int
	// plugins is set where a provider other than the builtin has a part in the plan, replacement where it replaces something.
	plugins, replacement bool
}

func (r *planReader) resources(messages [][]byte) ([]objectChange, error) {
	var changes []objectChange
	for _, m := range messages {
		var o objectChange
		var d delta
		builtin := false
		err := eachField(m, func(f field) error {
			var err error
			switch f.id {
			case changeProvider:
				builtin = bytes.Contains(f.bytes, []byte(builtinSource))
			case changeAddress:
				o.address = string(f.bytes)
			case changePrevious:
				o.previous = string(f.bytes)
			case changeDeposed:
				o.deposed = string(f.bytes)
			case changeReason:
				o.reason = planReasons[f.number]
			case changeReplace:
				var path []step
				path, err = r.path(f.bytes)
				o.replace = append(o.replace, path)
			case changeChange:
				d, err = r.delta(f.bytes)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("plan file: %s: %w", o.address, err)
		}
		r.plugins = r.plugins || !builtin
		r.replacement = r.replacement || !builtin && d.action == stacks.ActionReplace
		o.typ, o.action, o.importing, o.before, o.after = ResourceType(o.address), d.action, d.importing, d.before, d.after
		changes = append(changes, o)
	}
	return changes, nil
}

func (r *planReader) outputs(messages [][]byte) ([]objectChange, error) {
	var changes []objectChange
	for _, m := range messages {
		var o objectChange
		var d delta
		var sensitive bool
		err := eachField(m, func(f field) error {
			var err error
			switch f.id {
			case outputName:
				o.address = "output." + string(f.bytes)
			case outputSensitive:
				sensitive = f.bool()
			case outputChange:
				d, err = r.delta(f.bytes)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("plan file: %s: %w", o.address, err)
		}
		if sensitive {
			d.before.mark(nil)
			d.after.mark(nil)
		}
		o.action, o.before, o.after = d.action, d.before, d.after
		changes = append(changes, o)
	}
	return changes, nil
}

// delta is the message Change: an action and the values before and after.
type delta struct {
	action        stacks.Action
	importing     bool
	before, after *value
}

func (r *planReader) delta(msg []byte) (delta, error) {
	d := delta{action: stacks.ActionNoop}
	var values []*value
	var before, after [][]step
	err := eachField(msg, func(f field) error {
		switch f.id {
		case deltaAction:
			action, known := planActions[f.number]
			if !known {
				return fmt.Errorf("%w: action %d", ErrPlanVersion, f.number)
			}
			d.action = action
		case deltaImporting:
			d.importing = true
		case deltaValues:
			v, err := r.dynamic(f.bytes)
			values = append(values, v)
			return err
		case deltaBeforePaths, deltaAfterPaths:
			path, err := r.path(f.bytes)
			if f.id == deltaBeforePaths {
				before = append(before, path)
			} else {
				after = append(after, path)
			}
			return err
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	d.place(values)
	for _, p := range before {
		d.before.mark(p)
	}
	for _, p := range after {
		d.after.mark(p)
	}
	return d, nil
}

// place says which value is which: one for a create, a delete and what stays, two otherwise.
func (d *delta) place(values []*value) {
	switch {
	case len(values) >= 2:
		d.before, d.after = values[0], values[1]
	case len(values) == 1 && (d.action == stacks.ActionDelete || d.action == stacks.ActionForget):
		d.before = values[0]
	case len(values) == 1:
		d.after = values[0]
	}
}
