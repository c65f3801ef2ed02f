package launch

import (
	"context"

	"meridian/stacks/terraform"
)

// Call is where and with what a verb of the binary runs.
type Call struct {
	Binary terraform.Binary
	Dir    string
	// Env is the whole environment: terraform.Environment's.
	Env []string
}

// ShowPlan returns `terraform show -json` of the plan file in the work directory.
func ShowPlan(ctx context.Context, c Call) ([]byte, error) { panic("todo") }

// Untaint takes the taint from one resource in the state in the work directory.
func Untaint(ctx context.Context, c Call, address string) error { panic("todo") }
