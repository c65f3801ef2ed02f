package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// The rules that a refused step names in its diagnostic; stable.
const (
	RuleTerraformMissing = "terraform.missing" // no usable terraform
	RuleTemplate         = "terraform.template"
	RuleStart            = "terraform.start" // terraform could not be started
	RuleExit             = "terraform.exit"  // terraform failed and said nothing
	RuleInterrupted      = "terraform.interrupted"
	RuleCancelled        = "run.cancelled"
	RuleGate             = "run.refused" // the catalog's gate is closed
	RulePlanUnreadable   = "plan.unreadable"
	RuleSecretMissing    = "secret.missing"
	RuleDisk             = "site.disk"
	RuleStage            = "site.stage"
	RuleStackHeld        = "stack.held" // a foreign process holds the stack's lock
	RuleStateDamaged     = "state.damaged"
	RuleSpoolDamaged     = "site.spool"
	RuleSpoolUnknown     = "site.unknown" // what an apply left was never shipped to this store
)

// refusal ends a step with a result before terraform is started.
type refusal struct {
	outcome   journal.Outcome
	retryable bool
	diag      stacks.Diagnostic
}

func (r *refusal) Error() string { return r.diag.Summary + ": " + r.diag.Detail }

// refuse is a failed step for the reason of a rule.
func refuse(rule, summary, detail, next string) *refusal {
	return &refusal{outcome: journal.OutcomeFailed, diag: stacks.Diagnostic{
		Severity: stacks.SeverityError, Rule: rule, Summary: summary, Detail: detail, Next: next,
	}}
}

// prepared is all that one launch of terraform needs.
type prepared struct {
	step     journal.Step
	binary   terraform.Binary
	template launch.Template
	state    journal.State
	artifact *journal.Artifact // of an apply
	secrets  map[string]string
}

// prepare reads and finds what the step needs. A *refusal is an error that ends the step; any other may be tried again.
func (w *worker) prepare(ctx context.Context, step journal.Step) (*prepared, error) {
	p := &prepared{step: step}
	var err error
	p.binary, err = launch.Find(ctx, w.site, os.Getenv(terraform.EnvTerraform))
	if step.Kind == journal.StepApply {
		if p.artifact, err = w.artifactOf(ctx, step); err != nil {
			return nil, err
		}
		err = w.planner(ctx, p)
	}
	if err != nil {
		return nil, refuse(RuleTerraformMissing, "No terraform that Meridian can use", err.Error(),
			"install Terraform or OpenTofu 1.11 or newer, or name one with "+terraform.EnvTerraform)
	}
	if step.Kind == journal.StepPlan {
		if err := launch.Pin(w.site, p.binary); err != nil {
			w.log.Warn("terraform is not kept: a plan can be applied while the machine has this one", "error", err)
		}
	}
	p.template, err = launch.EnsureTemplate(ctx, launch.TemplateInput{
		Site: w.site, Binary: p.binary, Providers: step.Stack.Providers, Install: step.Stack.Install, Environ: os.Environ(),
	})
	if err != nil {
		r := refuse(RuleTemplate, "The stack's providers could not be made ready", err.Error(),
			"see that the providers can be reached or lie in a mirror of this machine, then try again")
		r.retryable = terraform.Classify([]stacks.Diagnostic{r.diag})
		return nil, r
	}
	if p.state, err = w.stateFor(ctx, step); errors.Is(err, journal.ErrChecksum) {
		return nil, refuse(RuleStateDamaged, "The newest state of the stack is damaged", err.Error(),
			fmt.Sprintf("make an older version the newest: meridian state list %[1]s %[2]s, then meridian state restore %[1]s %[2]s VERSION", step.Stack.ID.Name, step.Stack.ID.Region))
	}
	if err != nil {
		return nil, err
	}
	if step.Kind == journal.StepApply {
		if err = w.fitArtifact(p); err != nil {
			return nil, err
		}
	}
	p.secrets, err = w.secrets(ctx, step)
	return p, err
}

// stateFor is the state that a step starts from. A check of a stack that is yet to be born looks at an empty one and makes no head.
func (w *worker) stateFor(ctx context.Context, step journal.Step) (journal.State, error) {
	id := step.Stack.ID
	if step.Kind != journal.StepCheck {
		return w.newestState(ctx, id)
	}
	st, err := w.journal.LatestState(ctx, id)
	if !errors.Is(err, journal.ErrNotFound) {
		return st, err
	}
	empty := terraform.EmptyState(id)
	file, err := terraform.ReadState(empty)
	if err != nil {
		return st, fmt.Errorf("empty state: %w", err)
	}
	return journal.State{Stack: id, Serial: file.Serial, Lineage: file.Lineage, Payload: empty}, nil
}

// newestState reads the newest state; a stack that has none is born first.
func (w *worker) newestState(ctx context.Context, id stacks.StackID) (journal.State, error) {
	st, err := w.journal.LatestState(ctx, id)
	if !errors.Is(err, journal.ErrNotFound) {
		return st, err
	}
	empty := terraform.EmptyState(id)
	file, err := terraform.ReadState(empty)
	if err != nil {
		return st, fmt.Errorf("empty state: %w", err)
	}
	if err := w.journal.EnsureStack(ctx, id, empty, file.Lineage); err != nil {
		return st, err
	}
	return w.journal.LatestState(ctx, id)
}

// planner takes the terraform that made the plan of an apply, where this machine's is another one by now and the site has kept it.
func (w *worker) planner(ctx context.Context, p *prepared) error {
	if p.binary.Version == p.artifact.Terraform {
		return nil
	}
	for _, b := range launch.Pinned(ctx, w.site, p.artifact.Terraform) {
		in := launch.TemplateInput{Binary: b, Providers: p.step.Stack.Providers, Install: p.step.Stack.Install}
		if launch.TemplateHash(in) == p.artifact.Template {
			w.log.Info("apply with the terraform that made the plan", "version", b.Version, "here", p.binary.Version)
			p.binary = b
			return nil
		}
	}
	if p.binary.Path == "" {
		return fmt.Errorf("the plan was made with %s, which is here no more, and neither is another one", p.artifact.Terraform)
	}
	return nil
}

// artifactOf reads the artifact of an apply.
func (w *worker) artifactOf(ctx context.Context, step journal.Step) (*journal.Artifact, error) {
	a, err := w.journal.Artifact(ctx, step.Artifact)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, refuse(terraform.RulePlanMissing, "The plan is not in the journal", "artifact "+step.Artifact, "plan again")
	}
	if errors.Is(err, journal.ErrChecksum) || errors.Is(err, keyring.ErrTampered) {
		return nil, refuse(terraform.RulePlanMissing, "The plan in the journal is damaged", err.Error(), "plan again")
	}
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// fitArtifact refuses an artifact that does not fit what is there now.
func (w *worker) fitArtifact(p *prepared) error {
	const again = "nothing was changed; plan again"
	switch a := p.artifact; {
	case a.Stack != p.step.Stack.ID:
		return refuse(terraform.RulePlanMissing, "The plan belongs to another stack", a.Stack.String(), "plan again")
	case a.StateSerial != p.state.Serial:
		return refuse(terraform.RulePlanStale, "The plan is stale",
			fmt.Sprintf("it was made on state %d, the newest state is %d", a.StateSerial, p.state.Serial), again)
	case p.step.Stack.Digest != "" && a.StackDigest != p.step.Stack.Digest:
		return refuse(terraform.RulePlanStale, "The plan is stale", "it was made of another rendering of the stack", again)
	case a.Terraform != p.binary.Version || a.Template != p.template.Hash:
		return refuse(terraform.RulePlanVersion, "The plan was made by another terraform or other providers",
			fmt.Sprintf("planned with %s, here is %s", a.Terraform, p.binary.Version), again)
	case a.WorkPath != w.site.WorkDir(a.Stack):
		return refuse(terraform.RulePlanElsewhere, "The plan can only be applied where it was made",
			"it was made in "+a.WorkPath, again)
	}
	return nil
}

// secrets opens the secrets of a stack's ephemeral variables. They go nowhere but into terraform's environment. A check makes up those
// that are yet to be made: no plan shows an ephemeral value.
func (w *worker) secrets(ctx context.Context, step journal.Step) (map[string]string, error) {
	out := map[string]string{}
	for variable, secret := range step.Stack.Secrets {
		if step.Kind == journal.StepApply && slices.Contains(step.Stack.Kept, variable) {
			continue // the plan has it
		}
		value, err := w.catalog.Secret(ctx, step.Stack.ID.Incarnation, secret)
		if errors.Is(err, catalog.ErrNotFound) && step.Kind == journal.StepCheck {
			out[variable] = rand.Text()
			continue
		}
		if errors.Is(err, catalog.ErrNotFound) {
			return nil, refuse(RuleSecretMissing, "A secret of the stack does not exist", secret, "submit the database again")
		}
		if err != nil {
			return nil, err
		}
		out[variable] = value
	}
	return out, nil
}

// pluginVariables start the names of variables that our own plugins read beyond the allow-list.
var pluginVariables = []string{"MERIDIAN_LOCALDB_", "MERIDIAN_POSTGRES_"}

// uncollected keeps terraform and its plugins from collecting garbage in a launch whose only plugin is ours: all that they ever allocate
// is less than the 70 MB that they need anyway, and collecting takes a seventh of their time. The limit is for a stack that is not so small.
var uncollected = map[string]string{"GOGC": "off", "GOMEMLIMIT": "256MiB"}

// environment is terraform's whole environment in a work directory.
func environment(workDir string, secrets map[string]string) []string {
	return environmentWith(workDir, secrets, nil)
}

// environment is the environment of a launch.
func (p *prepared) environment(workDir string) []string {
	for _, r := range p.step.Stack.Providers {
		if r.Source != terraform.LocalDBSource {
			return environmentWith(workDir, p.secrets, nil)
		}
	}
	return environmentWith(workDir, p.secrets, uncollected)
}

func environmentWith(workDir string, secrets, more map[string]string) []string {
	extra := map[string]string{"TF_CLI_CONFIG_FILE": workDir + "/" + terraform.CLIConfigFile}
	maps.Copy(extra, more)
	for _, kv := range os.Environ() {
		for _, prefix := range pluginVariables {
			if key, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(key, prefix) {
				extra[key] = value
			}
		}
	}
	return terraform.Environment(os.Environ(), secrets, extra)
}
