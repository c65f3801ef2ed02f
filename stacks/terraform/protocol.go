package terraform

import (
	"slices"

	"meridian/stacks"
)

// The runner's protocol: `meridian-runner VERB`, arguments are IDs and paths only, answers are JSON on standard output.
//
//	find      --data DIR                     -> FindAnswer
//	template  --data DIR --step STEP         -> TemplateAnswer (made if missing)
//	show      --data DIR --artifact ID       -> terraform show -json of a plan (fallback and oracle of the plan file reader)
//	step      --data DIR --step STEP --attempt ID [--adopt]
//	sweep     --data DIR                     -> what it cleaned of runners that died after their result
//
// step detaches nothing by itself: its caller starts it in a session of its own. It exits 0 when the step has a result or another
// runner works on the stack, 1 when it could not work (its log says why), 75 when the store could not be reached and all is in the spool.

// The runner's verbs.
const (
	VerbFind     = "find"
	VerbTemplate = "template"
	VerbShow     = "show"
	VerbStep     = "step"
	VerbShim     = "shim"
	VerbSweep    = "sweep"
)

// Exit codes of `meridian-runner step`.
const (
	ExitDone   = 0
	ExitError  = 1
	ExitParked = 75
)

// Binary is a terraform or OpenTofu that was found or installed.
type Binary struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Product is "terraform" or "tofu".
	Product string `json:"product"`
}

// Plugin is one of our own Terraform plugins, laid out in the site's mirror. Version is derived from its content.
type Plugin struct {
	Source  string `json:"source"`
	Version string `json:"version"`
	Path    string `json:"path"`
}

// FindAnswer is what `meridian-runner find` prints.
type FindAnswer struct {
	Terraform Binary   `json:"terraform"`
	Plugins   []Plugin `json:"plugins"`
}

// TemplateAnswer is what `meridian-runner template` prints.
type TemplateAnswer struct {
	Hash string `json:"hash"`
	Dir  string `json:"dir"`
}

// The rules in the diagnostic of an apply whose plan does not fit; stable.
const (
	RulePlanStale     = "plan.stale"     // the state or the stack moved
	RulePlanMissing   = "plan.missing"   // its artifact is not there
	RulePlanVersion   = "plan.version"   // made by another terraform: a new run has to plan anew
	RulePlanElsewhere = "plan.elsewhere" // made under another work path: a new run has to plan anew
)

// PlanAgain reports whether a failed apply says that its plan has to be made anew within the same run.
func PlanAgain(ds []stacks.Diagnostic) bool {
	return slices.ContainsFunc(ds, func(d stacks.Diagnostic) bool { return d.Rule == RulePlanStale || d.Rule == RulePlanMissing })
}

// LocalDBSource is the address of our own plugin.
const LocalDBSource = "meridian.internal/meridian/localdb"

// Environment variables that the runner reads.
const (
	// EnvTerraform names the terraform or tofu to use (a path).
	EnvTerraform = "MERIDIAN_TERRAFORM"
	// EnvTiming is a JSON object of stacks.Timing, for tests.
	EnvTiming = "MERIDIAN_TIMING"
	// EnvKeyring is the keyring's key, base64, where it does not come from the file.
	EnvKeyring = "MERIDIAN_KEYRING"
)
