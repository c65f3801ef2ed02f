package terraform

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/stacks"
)

// The runner's protocol: `meridian-runner VERB`, arguments are IDs and paths only, answers are JSON on standard output.
//
//	find      --data DIR                     -> FindAnswer
//	template  --data DIR --step STEP         -> TemplateAnswer (made if missing)
//	show      --data DIR --artifact ID       -> terraform show -json of a plan (fallback and oracle of the plan file reader)
//	step      --data DIR --step STEP --attempt ID [--adopt]
//	state     --data DIR --step STEP         -> StateAnswer of a StateOrder on standard input, on a copy of the newest state
//	resolve   --data DIR                     -> ResolveAnswer of a ResolveOrder on standard input
//	sweep     --data DIR                     -> what it cleaned of runners that died after their result
//	spooled   --data DIR --file FILE --with-secrets   -> the state in a spool's file, in clear, for a person
//	drain     --data DIR [--finish TIME] [--undo]   the host shuts down: waits for the site's runners, starts nothing more in this boot
//
// step detaches nothing by itself: its caller starts it in a session of its own. It exits 0 when the step has a result or another
// runner works on the stack, 1 when it could not work (its log says why), 75 when the store could not be reached and all is in the spool, or
// when the host shuts down and nothing is started any more. SIGTERM tells a runner that its host shuts down.

// The runner's verbs.
const (
	VerbFind     = "find"
	VerbTemplate = "template"
	VerbShow     = "show"
	VerbStep     = "step"
	VerbShim     = "shim"
	VerbSweep    = "sweep"
	VerbState    = "state"
	VerbDrain    = "drain"
	VerbSpooled  = "spooled"
	VerbResolve  = "resolve"
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
	// EnvPluginDir names directories (a list like PATH) that are filesystem mirrors of Terraform providers; they are looked into first.
	EnvPluginDir = "MERIDIAN_PLUGIN_DIR"
	// EnvTiming is a JSON object of stacks.Timing, for tests.
	EnvTiming = "MERIDIAN_TIMING"
	// EnvKeyring is the keyring's key, base64, where it does not come from the file.
	EnvKeyring = "MERIDIAN_KEYRING"
)

// ResolveOrder asks for a module that is not ours. Files are those of a local one, and Dir is where it lies among them.
type ResolveOrder struct {
	Source stacks.ModuleSource `json:"source"`
	Files  []stacks.File       `json:"files,omitempty"`
	Dir    string              `json:"dir,omitempty"`
}

// ResolveAnswer is the module with all that it calls, or why there is none.
type ResolveAnswer struct {
	Package *stacks.Package `json:"package,omitempty"`
	Refused string          `json:"refused,omitempty"`
}

// StateOrder is a verb on a stack's state, as a person typed it: see ParseStateVerb.
type StateOrder struct {
	Args []string `json:"args"`
	// Serial is that of the state that the person saw.
	Serial int64 `json:"serial"`
}

// StateAnswer is what a verb on a state printed, and the state that it left.
type StateAnswer struct {
	Output string `json:"output"`
	State  []byte `json:"state"`
	// Refused is terraform's own word where it refused.
	Refused string `json:"refused,omitempty"`
}

// ParseStateVerb checks a verb on a state: `state list|show|mv|rm ...` or `import ADDRESS ID`, without any option: those would name other
// states. writes reports whether it changes the state.
func ParseStateVerb(args []string) (writes bool, err error) {
	for _, a := range args {
		if a == "" || strings.HasPrefix(a, "-") {
			return false, fmt.Errorf("%q: no option of terraform's is taken here", a)
		}
	}
	n := len(args)
	switch {
	case n >= 2 && args[0] == "state" && args[1] == "list", n == 3 && args[0] == "state" && args[1] == "show":
		return false, nil
	case n == 4 && args[0] == "state" && args[1] == "mv", n >= 3 && args[0] == "state" && args[1] == "rm", n == 3 && args[0] == "import":
		return true, nil
	}
	return false, errors.New("want state list [ADDRESS...], state show ADDRESS, state mv FROM TO, state rm ADDRESS... or import ADDRESS ID")
}
