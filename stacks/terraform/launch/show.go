package launch

import (
	"context"

	"meridian/stacks/terraform"
)

// ShowPlan returns `terraform show -json` of the plan file in the work directory. It holds sensitive values in clear: read it with
// terraform.ChangesFromShow and keep nothing else.
func ShowPlan(ctx context.Context, c Call) ([]byte, error) {
	return c.run(ctx, "show", "-json", "-no-color", terraform.PlanFile)
}
