package terraform

import (
	"errors"

	"meridian/stacks"
)

// ErrPlanVersion says that a plan file is of a format that ReadPlan does not know; the caller falls back to `terraform show -json`.
var ErrPlanVersion = errors.New("plan file: unknown format version")

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
	// Changes are in order of address; no-ops are left out unless something moves or is imported; a root output has the address "output.NAME".
	Changes []stacks.Change
	// Drift is what differs from the state, found by the refresh.
	Drift   []stacks.Change
	Errored bool
	Mode    PlanMode
}

// ReadPlan reads a plan file (a zip). dataBearing lists the resource types whose loss loses data.
// A format version other than 3 gives ErrPlanVersion. Sensitive values are left out.
func ReadPlan(zip []byte, dataBearing []string) (Plan, error) { panic("todo") }

// ChangesFromShow reads what `terraform show -json` of a plan prints, to the same result as ReadPlan.
func ChangesFromShow(show []byte, dataBearing []string) (Plan, error) { panic("todo") }
