package launch

import "meridian/stacks/terraform"

// PlanOptions says what kind of plan it is.
type PlanOptions struct {
	// Destroy plans the removal of everything.
	Destroy bool
	// RefreshOnly only looks.
	RefreshOnly bool
	// Check takes no lock: the plan is made in a scratch copy and is never applied.
	Check bool
	// Targets limit the plan to these addresses and what they depend on.
	Targets []string
}

// PlanArgs are the arguments of a plan in the work directory; exit code 0 is no change, 2 is changes, 1 is an error.
func PlanArgs(o PlanOptions) []string {
	args := []string{"plan", "-json", "-input=false", "-detailed-exitcode", "-out=" + terraform.PlanFile}
	if o.Destroy {
		args = append(args, "-destroy")
	}
	if o.RefreshOnly {
		args = append(args, "-refresh-only")
	}
	if o.Check {
		args = append(args, "-lock=false")
	}
	for _, address := range o.Targets {
		args = append(args, "-target="+address)
	}
	return args
}

// ApplyArgs are the arguments that apply the plan in the work directory.
func ApplyArgs() []string { return []string{"apply", "-json", "-input=false", terraform.PlanFile} }
